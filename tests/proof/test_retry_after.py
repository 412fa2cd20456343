"""Whatever ``Retry-After`` says: nobody early, no stall beyond the cap, nothing breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest

from bulk_unenroll.capillary.calls import Fault, Reply
from bulk_unenroll.capillary.client import MOST_HEADER_BYTES
from bulk_unenroll.capillary.judge import judge
from bulk_unenroll.capillary.retry_after import RETRY_AFTER_CAP_S
from bulk_unenroll.capillary.verdicts import Retry
from bulk_unenroll.model import Enrollment, State
from tests.capillary.test_client import ENROLLMENT, answer, at_once, says, wired
from tests.kit.tiers import long
from tests.proof.kit.virtual_time import in_virtual_time
from tests.sending.scripted import Answer, Job, keys, success

PROMISE = "none early, no stall past the cap, no traceback"
BACKOFF_S = (0.9, 10.0)
"""What a pause may take that nobody said the length of."""
HOUR_S = 3600.0
CAP = (RETRY_AFTER_CAP_S, RETRY_AFTER_CAP_S + 10)
LONG_AGO_S = 784111777.0


def http_date(at_s: float) -> str:
    return formatdate(at_s, usegmt=True)


def rfc_850(at_s: float) -> str:
    return time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at_s))


def asctime(at_s: float) -> str:
    return time.asctime(time.gmtime(at_s))


def lasts(seconds: float) -> tuple[float, float]:
    """A wait of ``seconds``; a date is cut to whole seconds, and a little is added."""
    return (seconds - 1e-6, seconds + 10)


@dataclass(frozen=True)
class Said:
    """What a server says at ``now_s`` of its clock, and how long a pause of everyone then is.

    ``skew_s``: by how much its clock is ahead of ours. ``dated``: whether it sends ``Date``.
    """

    values: Callable[[float], tuple[str, ...]]
    wait_s: tuple[float, float]
    skew_s: float = 0.0
    dated: bool = True


def said(*values: str, wait_s: tuple[float, float]) -> Said:
    return Said(lambda now_s: values, wait_s)


def dated(
    write: Callable[[float], str], in_s: float, wait_s: tuple[float, float], skew_s: float = 0.0
) -> Said:
    return Said(lambda now_s: (write(now_s + in_s),), wait_s, skew_s)


CASES = {
    "zero": said("0", wait_s=(0.0, 10.0)),
    "seconds": said("30", wait_s=lasts(30)),
    "fractional": said("2.5", wait_s=lasts(2.5)),
    "large": said("86400", wait_s=CAP),
    "ten thousand digits": said("9" * 10_000, wait_s=CAP),
    "ten thousand zeros": said("0" * 10_000 + "7", wait_s=lasts(7)),
    "negative": said("-5", wait_s=BACKOFF_S),
    "spaces": said("  12\t", wait_s=lasts(12)),
    "plus sign": said("+12", wait_s=lasts(12)),
    "twice, the longer counts": said("5", "40", wait_s=lasts(40)),
    "twice, the longer first": said("40", "5", wait_s=lasts(40)),
    "twice, one of them garbage": said("soon", "9", wait_s=lasts(9)),
    "empty": said("", wait_s=BACKOFF_S),
    "nothing": said(wait_s=BACKOFF_S),
    "a word": said("soon", wait_s=BACKOFF_S),
    "not a number": said("nan", wait_s=BACKOFF_S),
    "with a unit": said("10s", wait_s=BACKOFF_S),
    "hexadecimal": said("0x10", wait_s=BACKOFF_S),
    "a list": said("1, 2", wait_s=BACKOFF_S),
    "control characters": said("\x00\x1b[2J", wait_s=BACKOFF_S),
    "half a date": said("Sun, 06 Nov", wait_s=BACKOFF_S),
    "a day that is none": said("Sun, 99 Nov 2094 08:49:37 GMT", wait_s=BACKOFF_S),
    "infinity": said("inf", wait_s=(0.9, CAP[1])),
    "digits of other scripts": said("١٢", wait_s=(0.9, 22.0)),
    "superscript": said("²", wait_s=BACKOFF_S),
    "an underscore": said("1_0", wait_s=(0.9, 20.0)),
    "a date": dated(http_date, 30, lasts(29)),
    "a date long past": dated(lambda now_s: http_date(LONG_AGO_S), 0, (0.0, 10.0)),
    "a date beyond the cap": dated(http_date, 10 * HOUR_S, CAP),
    "an RFC 850 date": dated(rfc_850, 30, lasts(29)),
    "an asctime date": dated(asctime, 30, lasts(29)),
    "a date, clock five hours ahead": dated(http_date, 30, lasts(29), 5 * HOUR_S),
    "a date, clock five hours behind": dated(http_date, 30, lasts(29), -5 * HOUR_S),
    "a date, clock ahead, no Date": Said(
        lambda now_s: (http_date(now_s + 30),), CAP, 5 * HOUR_S, dated=False
    ),
    "seconds, clock five hours ahead": Said(lambda now_s: ("30",), lasts(30), 5 * HOUR_S),
}


@dataclass
class Asking:
    """An API that answers its fifth call with ``status`` and what it has to say."""

    status: int
    said: Said
    wall_s: float
    starts: list[float] = field(default_factory=list)
    asked_s: float | None = None

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        await asyncio.sleep(0.02)
        if len(self.starts) < 5 or self.asked_s is not None:
            return success(key.customer)
        self.asked_s = loop.time()
        now_s = self.wall_s + loop.time() + self.said.skew_s
        date = http_date(now_s) if self.said.dated else None
        return Reply(self.status, b"", None, self.said.values(now_s), date)


async def waited(folder: Path, status: int, what: Said) -> tuple[float, dict[State, int]]:
    """Seconds in which nobody called after the API had asked for a pause; how the rows ended."""
    with Job(folder) as job:
        job.plan(keys(range(1, 31)))
        api = Asking(status, what, job.now_s)
        assert await job.run(api, concurrency=1) == {}
        assert api.asked_s is not None
        return min(at_s for at_s in api.starts if at_s > api.asked_s) - api.asked_s, job.states()


@pytest.mark.attack("`Retry-After`", PROMISE)
@pytest.mark.parametrize("status", [429, *long(503)])
def test_nobody_goes_early_and_nothing_stalls(
    tmp_path: Path, proof: Callable[..., None], status: int
) -> None:
    for nth, (name, what) in enumerate(CASES.items()):
        if status == 503 and not what.values(0.0):
            continue  # without the header a 503 asks for nothing: it is in doubt
        folder = tmp_path / str(nth)
        folder.mkdir()
        wait_s, states = in_virtual_time(waited(folder, status, what))
        least_s, most_s = what.wait_s
        assert least_s <= wait_s <= most_s, f"{name}: {wait_s} s"
        assert states == {State.SUCCEEDED: 30}, name
    proof(cases=len(CASES), early=0, stalled=0)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        (["Retry-After: 3", "Retry-After: 9"], 9),
        (["retry-after: 9", "RETRY-AFTER: 3"], 9),
        (["Retry-After:\t 7 \t"], 7),
        (["Retry-After:"], None),
        (["Retry-After: soon", "Retry-After: 4"], 4),
        ([f"Retry-After: {'9' * 4000}"], RETRY_AFTER_CAP_S),
        (["Retry-After: \xd9\xa1\xd9\xa2"], None),
        (["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 08:49:50 GMT"], 13),
    ],
)
async def test_it_is_read_off_the_wire(headers: list[str], wait_s: float | None) -> None:
    content = answer(b"", *headers, status="429 Too Many Requests")
    async with wired(says(content)) as (client, _):
        reply = await client.unenroll(ENROLLMENT, {}, at_once)
    verdict = judge(reply, ENROLLMENT.customer, time.time())
    assert isinstance(verdict, Retry)
    assert verdict.retry_after_s == wait_s


async def test_one_too_long_to_be_read_leaves_the_call_in_doubt() -> None:
    too_long = "9" * 2 * MOST_HEADER_BYTES
    content = answer(b"", f"Retry-After: {too_long}", status="429 Too Many Requests")
    async with wired(says(content)) as (client, _):
        assert isinstance(await client.unenroll(ENROLLMENT, {}, at_once), Fault)


@pytest.mark.parametrize("name", ["seconds", "a date", "large"])
def test_control_deaf_to_it_the_next_call_goes_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("bulk_unenroll.capillary.judge.retry_after_s", lambda *_: None)
    wait_s, _ = in_virtual_time(waited(tmp_path, 429, CASES[name]))
    assert wait_s < CASES[name].wait_s[0]


def test_control_without_a_cap_it_stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bulk_unenroll.capillary.retry_after.RETRY_AFTER_CAP_S", 1e9)
    wait_s, _ = in_virtual_time(waited(tmp_path, 429, CASES["large"]))
    assert wait_s > CASES["large"].wait_s[1]
