"""The rate that is promised, at the server in real time, and over virtual hours of bad luck."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.model import Enrollment
from bulk_unenroll.option_values import Rate, parse_rate
from bulk_unenroll.sending.dispatcher import Dispatcher
from bulk_unenroll.sending.landing import Flight
from bulk_unenroll.sending.rate_limit import MARGIN
from bulk_unenroll.sending.runner import Runner
from tests.kit.command import Desk, Witness, people
from tests.kit.tiers import long
from tests.proof.kit.virtual_time import Mortal, in_virtual_time
from tests.sending.scripted import LOST, Answer, error, http, keys, success
from tests.sending.test_rate_limit import most_within

PROMISE = "no sliding window above the limit; at least 97 % of it used when there is work"
HOUR_S = 3600.0


def assert_kept(rate: Rate, starts: list[float], where: str) -> None:
    """Not one start too many in a window of the unit, nor of a tenth of it."""
    found = most_within(starts, rate.unit_s)
    assert found <= rate.count, f"{found} starts within a window of {rate}; {where}"
    found = most_within(starts, rate.unit_s / 10)
    assert found <= rate.count / 10 * 1.1 + 1, f"{found} starts in a tenth of {rate}; {where}"


def used(rate: Rate, starts: list[float]) -> float:
    """The share of the rate that was used between the first start and the last."""
    return (len(starts) - 1) / (starts[-1] - starts[0]) / rate.per_s


# ── real time ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.attack("pace", PROMISE)
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("100/min", 8, marks=pytest.mark.thorough),
        pytest.param("600/min", 45, marks=pytest.mark.thorough),
        pytest.param("100/min", 400, marks=pytest.mark.long),
        pytest.param("600/min", 1800, marks=pytest.mark.long),
    ],
)
def test_the_server_sees_no_more_than_the_rate_and_nearly_all_of_it(
    desk: Desk, witness: Callable[..., Witness], proof: Callable[..., None], text: str, rows: int
) -> None:
    rate, seen = parse_rate(text), witness()
    desk.write("job.csv", [(customer, 1001, 2001) for customer in people(rows)])
    ended = desk.do("run", "job.csv", "--yes", "--rate", text, "--canary", 0, timeout_s=600)
    assert ended.code == 0, ended.err
    starts = [entry["at_s"] for entry in seen.seen()]
    assert len(starts) == rows
    assert_kept(rate, starts, f"{rows} rows")
    late_s = rate.unit_s * MARGIN / 2  # a new connection may take so long without a new start
    for width_s in (1.0, 5.0):  # windows that a short run fills: spread evenly, no burst
        assert most_within(starts, width_s) <= (width_s + late_s) * rate.per_s * 1.1 + 1
    assert used(rate, starts) >= (0.97 if rows > 100 else 0.9)
    proof(**{f"used of {text}": f"{used(rate, starts):.1%}", f"requests at {text}": rows})


# ── virtual hours ────────────────────────────────────────────────────────────────────────────────


@dataclass
class Server:
    """Answers slowly, refuses, loses and asks for pauses now and then; connections are slow too.

    ``starts`` are the times at which requests reached it.
    """

    dice: random.Random
    starts: list[float] = field(default_factory=list)
    slow_until_s: float = 0.0

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        loop = asyncio.get_running_loop()
        if self.dice.random() < 0.01:  # a burst of slow connections
            self.slow_until_s = loop.time() + self.dice.uniform(0, 20)
        if loop.time() < self.slow_until_s:
            await asyncio.sleep(self.dice.uniform(0, 8))
            await connected()
        self.starts.append(loop.time())
        await asyncio.sleep(self.dice.expovariate(1 / 0.3))
        return self._answer(key)

    def _answer(self, key: Enrollment) -> Answer:
        chance = self.dice.random()
        if chance < 0.02:
            return http(429, str(self.dice.randrange(4)))
        if chance < 0.06:
            return http(500)
        return error(310011) if chance < 0.08 else success(key.customer)


async def hours(folder: Path, seed: str, rate: Rate) -> list[float]:
    """Runs, stops, kills, rests and steps of the clock, until the rows are done."""
    dice = random.Random(seed)
    server = Server(dice)
    with Mortal(folder) as job:
        job.plan(keys(range(1, 5 * rate.count + 100)))
        for _ in range(30):
            for_s = dice.uniform(0, rate.unit_s) / dice.choice([1, 40, 40])
            how: dict[str, Any] = {"rate": rate, "concurrency": dice.choice([1, 4, 32])}
            if dice.random() < 0.5:
                await job.live(server, kill_after_s=for_s, **how)
            else:
                await job.live(server, stop_after_s=for_s, **how)
            await job.rest(dice.choice([0.0, 0.0, 0.0, 0.1, dice.uniform(0, rate.unit_s)]))
            job.now_s -= dice.choice([0.0, 0.0, HOUR_S, 5 * HOUR_S])  # the clock is set back
    return server.starts


RATES = ["7/s", "50/s", "100/min", "600/min", "60/h", "500/s"]


@pytest.mark.attack("pace", PROMISE)
@pytest.mark.parametrize("text", RATES)
@pytest.mark.parametrize("rounds", [1, *long(40)])
def test_the_rate_is_kept_over_kills_pauses_and_steps_of_the_clock(
    tmp_path: Path, seed: int, proof: Callable[..., None], text: str, rounds: int
) -> None:
    rate, sent = parse_rate(text), 0
    for nth in range(rounds):
        folder, this = tmp_path / str(nth), f"{seed}/{text}/{nth}"
        folder.mkdir()
        starts = in_virtual_time(hours(folder, this, rate))
        assert_kept(rate, sorted(starts), f"seed {this}")
        sent += len(starts)
    proof(**{f"virtual starts at {text}": sent})


async def undisturbed(folder: Path, rate: Rate, concurrency: int) -> list[float]:
    """A healthy API, work for three units, and a clock that somebody sets during the run."""
    server = Prompt()
    with Mortal(folder) as job:
        job.plan(keys(range(1, max(3 * rate.count, 60))))
        turning = asyncio.create_task(_turn_clock(job))
        await job.live(server, rate=rate, concurrency=concurrency, canary=10)
        turning.cancel()
    return server.starts


async def _turn_clock(job: Mortal) -> None:
    for step_s in (HOUR_S, -5 * HOUR_S, 3 * HOUR_S) * 1000:
        await asyncio.sleep(1.7)
        job.now_s += step_s


class Prompt:
    """An API that answers at once, but loses the first call of every nth customer."""

    def __init__(self, loses_every: int = 10**9) -> None:
        self.starts: list[float] = []
        self._loses_every = loses_every
        self._lost: set[Enrollment] = set()

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        self.starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        if key.customer % self._loses_every == 0 and key not in self._lost:
            self._lost.add(key)
            return LOST
        return success(key.customer)


@pytest.mark.attack("pace", PROMISE)
@pytest.mark.parametrize(
    ("text", "concurrency"),
    [
        ("7/s", 1),
        ("50/s", 32),
        ("100/min", 1),
        ("60/h", 32),
        pytest.param("600/min", 8, marks=pytest.mark.long),
        pytest.param("500/s", 64, marks=pytest.mark.long),
    ],
)
def test_the_rate_is_used_whatever_the_clock_does(
    tmp_path: Path, proof: Callable[..., None], text: str, concurrency: int
) -> None:
    rate = parse_rate(text)
    starts = in_virtual_time(undisturbed(tmp_path, rate, concurrency))
    assert_kept(rate, starts, f"{concurrency} in flight")
    assert used(rate, starts) >= 0.97
    proof(**{f"used of {text} in virtual time": f"{used(rate, starts):.1%}"})


async def killed_again_and_again(folder: Path, rate: Rate) -> list[float]:
    server = Prompt()
    with Mortal(folder) as job:
        job.plan(keys(range(1, rate.count + 100)))
        for _ in range(50):
            await job.live(server, kill_after_s=rate.unit_s / 200, rate=rate)
    return server.starts


async def retried(folder: Path, rate: Rate) -> list[float]:
    server = Prompt(loses_every=4)
    with Mortal(folder) as job:
        job.plan(keys(range(1, 2 * rate.count)))
        await job.live(server, rate=rate)
    return server.starts


TEN_A_SECOND = Rate(600, 60.0)


def test_the_rate_is_kept_by_a_run_that_is_killed_again_and_again(tmp_path: Path) -> None:
    starts = in_virtual_time(killed_again_and_again(tmp_path, TEN_A_SECOND))
    assert_kept(TEN_A_SECOND, starts, "killed 50 times")


def test_retries_count_like_first_attempts(tmp_path: Path) -> None:
    starts = in_virtual_time(retried(tmp_path, TEN_A_SECOND))
    assert_kept(TEN_A_SECOND, starts, "every fourth call lost")
    assert used(TEN_A_SECOND, starts) >= 0.97


# ── controls ─────────────────────────────────────────────────────────────────────────────────────


def test_control_a_run_without_memory_of_the_one_before_breaks_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner.run
    monkeypatch.setattr(Runner, "run", lambda self, earlier: run(self))
    starts = in_virtual_time(killed_again_and_again(tmp_path, TEN_A_SECOND))
    with pytest.raises(AssertionError, match=r"starts in a tenth"):
        assert_kept(TEN_A_SECOND, starts, "control")


def test_control_a_limiter_that_retries_bypass_breaks_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_ = Dispatcher._next

    async def lax(dispatcher: Dispatcher) -> Flight:
        ready = dispatcher._run.ready
        if ready and ready[0].doubtful:
            return dispatcher._take_off()
        return await next_(dispatcher)

    monkeypatch.setattr(Dispatcher, "_next", lax)
    starts = in_virtual_time(retried(tmp_path, TEN_A_SECOND))
    with pytest.raises(AssertionError, match=r"starts within a window"):
        assert_kept(TEN_A_SECOND, starts, "control")
