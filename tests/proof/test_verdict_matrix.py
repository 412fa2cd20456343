"""Every body with every status: the verdict of the table, the number of sends, the exit code.

What is expected is written here from the facts of the API alone, in the order that they give:
codes that are known, then codes that are not, then the status.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bulk_unenroll.capillary import judge
from bulk_unenroll.capillary.calls import Reply
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.capillary.verdicts import Verdict
from bulk_unenroll.ledger.counts import count
from bulk_unenroll.model import Enrollment, State, Target
from bulk_unenroll.reports.summary import conclude
from tests.kit.command import CREDENTIALS, Desk
from tests.kit.tiers import long, thorough
from tests.proof.kit.rude_server import RudeServer, answer, replies
from tests.sending.scripted import Basic, Job, ScriptedApi

CUSTOMER: Final = 423789336
ATTEMPTS: Final = 3
WITH_RETRY_AFTER: Final = 1503
"""Means 503 with ``Retry-After: 0``."""

STATUSES: Final = (
    *(200, 201, 202, 204, 206),
    *(301, 302, 303, 307, 308),
    *(400, 401, 402, 403, 404, 405, 409, 410, 415, 422, 429, 498),
    *(500, 501, 502, 503, WITH_RETRY_AFTER, 504, 520, 524),
)


def errors(*codes: object, data: object = None) -> dict[str, object]:
    return {"data": data, "errors": [{"code": code, "message": "so it is"} for code in codes]}


def nested(code: object) -> dict[str, object]:
    return {"response": {"status": {"success": "true", "code": code, "message": "no"}}}


@dataclass(frozen=True)
class End:
    """How a row ends, after how many sends, and the command's exit code."""

    state: str
    sends: int
    exit: int


GOOD, NOT_ENROLLED = End("succeeded", 1, 0), End("not_enrolled", 1, 0)
FAILED, BLOCKED, REVIEW = End("failed", 1, 1), End("blocked", 1, 1), End("review", 1, 1)
IN_DOUBT = End("in_doubt", ATTEMPTS, 3)
NOT_APPLIED = End("failed", ATTEMPTS, 1)
REFUSED, WRONG_PLACE = End("pending", 1, 77), End("pending", 1, 78)
WRONG_TOKEN = End("pending", 2, 77)
"""With a token: sent once more with a new one."""

BY_STATUS, UNKNOWN_CODE, NO_CODE = "by status", "an unknown code", "an error without a code"

BODIES: Final[Mapping[str, tuple[object, End | str]]] = {
    "success": ({"data": CUSTOMER, "errors": None, "warnings": None}, BY_STATUS),
    "no errors": ({"data": CUSTOMER, "errors": []}, BY_STATUS),
    "the customer as text": ({"data": str(CUSTOMER), "errors": None}, BY_STATUS),
    "another customer": ({"data": 345651201, "errors": None}, BY_STATUS),
    "no data": ({"data": None, "errors": None}, "no data"),
    "an empty object": ({}, "no data"),
    "310149": (errors(310149), NOT_ENROLLED),
    "310011": (errors(310011), FAILED),
    "310011 as text": (errors("310011"), FAILED),
    "310011 as a float": (errors(310011.0), FAILED),
    "310011 beside data": (errors(310011, data=CUSTOMER), FAILED),
    "310019": (errors(310019), FAILED),
    "300004": (errors(300004), FAILED),
    "310018": (errors(310018), BLOCKED),
    "310017": (errors(310017), BLOCKED),
    "310011 and 310017": (errors(310011, 310017), BLOCKED),
    "310141": (errors(310141), WRONG_PLACE),
    "310144": (errors(310144), WRONG_PLACE),
    "310017 and 310144": (errors(310017, 310144), WRONG_PLACE),
    "310119": (errors(310119), REVIEW),
    "an unknown number": (errors(777777), UNKNOWN_CODE),
    "an unknown word": (errors("E_NEW"), UNKNOWN_CODE),
    "an unknown code beside data": (errors(777777, data=CUSTOMER), UNKNOWN_CODE),
    "an unknown and a known code": (errors(777777, 310011), FAILED),
    "no code": (errors(None), NO_CODE),
    "text for an error": ({"data": None, "errors": ["no"]}, NO_CODE),
    "401 in the body": (nested(401), WRONG_TOKEN),
    "498 in the body": (errors(498), WRONG_TOKEN),
    "403 in the body": (nested(403), REFUSED),
    "4000": ({"errorCode": 4000, "errorMessage": "denied"}, REFUSED),
    "320001": (errors(320001), REFUSED),
    "4001": ({"errorCode": 4001, "errorMessage": "down"}, NOT_APPLIED),
    "521": (errors(521), NOT_APPLIED),
    "a gateway's page": (b"<html><h1>Bad Gateway</h1></html>", "unreadable"),
    "nothing": (b"", "unreadable"),
    "half of it": (b'{"data": 4237', "unreadable"),
    "a list": ([CUSTOMER], "unreadable"),
    "null": (None, "unreadable"),
}


def expected(body: str, status: int, *, token: bool) -> End:
    """The table's word on a cell; ``token``: the credentials can be renewed."""
    kind = BODIES[body][1] if has_body(status) else "unreadable"
    end = kind if isinstance(kind, End) else by_status(kind, status)
    return REFUSED if end == WRONG_TOKEN and not token else end


def by_status(kind: str, status: int) -> End:
    speaks = status in (401, 403, 429, 498) or status >= 500
    if kind == UNKNOWN_CODE and not speaks:
        return REVIEW
    if 200 <= status < 300:
        return of_success(kind, status)
    if status in (401, 498):
        return WRONG_TOKEN
    if status == 403:
        return REFUSED
    if status in (429, WITH_RETRY_AFTER):
        return NOT_APPLIED
    if status < 400 or status in (404, 405, 415):
        return WRONG_PLACE
    return FAILED if status < 500 else IN_DOUBT


def of_success(kind: str, status: int) -> End:
    if status == 204 or kind in ("no data", NO_CODE):
        return REVIEW
    return IN_DOUBT if kind == "unreadable" else GOOD


def has_body(status: int) -> bool:
    """HTTP allows none to these."""
    return status != 204


def content(body: str, status: int) -> bytes:
    given = BODIES[body][0]
    if not has_body(status):
        return b""
    return given if isinstance(given, bytes) else json.dumps(given).encode()


def reply(body: str, status: int) -> Reply:
    retry_after = ("0",) if status == WITH_RETRY_AFTER else ()
    number = 503 if status == WITH_RETRY_AFTER else status
    return Reply(number, content(body, status), retry_after=retry_after)


CELLS: Final = [(body, status) for body in BODIES for status in STATUSES]


def test_the_matrix_is_as_large_as_it_is_said_to_be() -> None:
    assert len(BODIES) >= 26
    assert len(STATUSES) >= 28


# ── the real runner and ledger, on a virtual clock ───────────────────────────────────────────────


class Token(Basic):
    """A token that is renewed as often as it is refused."""

    renewable = True

    def __init__(self) -> None:
        self.generation = 0
        self._fresh = False

    def stale(self, now_s: float) -> bool:
        return not self._fresh

    def invalidate(self, generation: int) -> None:
        self._fresh = self._fresh and generation != self.generation

    async def renew(self, now_s: float) -> Verdict | None:
        self.generation += 1
        self._fresh = True
        return None


async def came_to(job: Job, number: int, body: str, status: int, *, token: bool) -> End:
    """Run one row, in its own input, that always gets this answer."""
    source = job.plan([Enrollment(CUSTOMER, Target(None, 1001, number))], f"{number}.csv")
    api = ScriptedApi(lambda key, attempt, at_s: reply(body, status))
    auth = Token() if token else Basic()
    endings = await job.run(api, auth=auth, sources=[source], max_attempts=ATTEMPTS)
    counts = count(job.ledger.reader, [source])
    (state,) = [state for state, rows in counts.states.items() if rows]
    doubts = counts.states[State.IN_DOUBT]
    return End(state.value, len(api.starts), conclude(counts, endings, doubts).code)


async def differences(
    folder: Path, cells: Sequence[tuple[str, int]], *, token: bool = False
) -> list[str]:
    """The cells whose end is not that of the table."""
    found = []
    job = Job(folder)
    with closing(job.ledger):
        job.ledger.connection.raw.execute("PRAGMA synchronous = OFF")  # no power is lost here
        for number, (body, status) in enumerate(cells, 1):
            end = await came_to(job, number, body, status, token=token)
            wanted = expected(body, status, token=token)
            if end != wanted:
                found.append(f"{body} with {status}: {end}, not {wanted}")
    return found


@pytest.mark.looptime
@pytest.mark.attack("verdict matrix", "each cell is the table's verdict, send count and exit code")
@pytest.mark.thorough
async def test_every_cell_is_the_table_s(tmp_path: Path, proof: Callable[..., None]) -> None:
    found = await differences(tmp_path, CELLS)
    proof(bodies=len(BODIES), statuses=len(STATUSES), cells=len(CELLS), wrong=len(found))
    assert found == []


@pytest.mark.looptime
@pytest.mark.attack("verdict matrix, with a token", "a refused token is renewed once, then exit 77")
async def test_every_refusal_of_a_token_is_the_table_s(
    tmp_path: Path, proof: Callable[..., None]
) -> None:
    cells = [cell for cell in CELLS if expected(*cell, token=True) == WRONG_TOKEN]
    found = await differences(tmp_path, cells, token=True)
    proof(cells=len(cells), wrong=len(found))
    assert found == []


@pytest.mark.looptime
async def test_a_judge_without_the_code_table_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(judge, "CODES", {})
    cells = [("310011", 200), ("310018", 400), ("310149", 200)]
    assert len(await differences(tmp_path, cells)) == len(cells)


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────


async def test_every_cell_comes_through_the_wire_as_it_is() -> None:
    """What the client passes to the judge is what the server sent."""
    with RudeServer(*(replies(on_the_wire(*cell)) for cell in CELLS)) as server:
        async with Client(server.base_url, connect_timeout_s=10, read_timeout_s=10) as client:
            for body, status in CELLS:
                given = await client.unenroll(
                    Enrollment(CUSTOMER, Target(None, 1001, 2001)), {}, at_once
                )
                assert given == reply(body, status), f"{body} with {status}"


async def at_once() -> None:
    """Nothing to wait for once connected."""


def on_the_wire(body: str, status: int) -> bytes:
    told = reply(body, status)
    headers = [f"Retry-After: {value}" for value in told.retry_after]
    return answer(told.body, *headers, status=f"{told.status} so it is")


AT_ONCE: Final = 6
"""Commands: they wait for their retries more than they work."""

SAMPLE: Final = [
    ("success", 200),
    ("310149", 400),
    ("310018", 200),
    ("an unknown word", 422),
    ("a gateway's page", 403),
    ("no data", 302),
]


@pytest.mark.attack(
    "verdict matrix, the real command", "each cell is the table's verdict, send count and exit code"
)
@pytest.mark.parametrize(
    "cells",
    [
        SAMPLE[:1],
        *thorough(SAMPLE),
        *long(CELLS),
    ],
)
def test_the_real_command_ends_as_the_table_says(
    desk: Desk, cells: Sequence[tuple[str, int]], proof: Callable[..., None]
) -> None:
    path = desk.write("job.csv", [(CUSTOMER, 1001, 2001)])

    def ends(number: int) -> End:
        folder = desk.folder / str(number)
        folder.mkdir()
        return commanded(Desk(folder), path, on_the_wire(*cells[number]))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(zip(cells, pool.map(ends, range(len(cells))), strict=True))
    wrong = [
        f"{body} with {status}: {end}"
        for (body, status), end in found
        if end != expected(body, status, token=False)
    ]
    proof(cells=len(cells), wrong=len(wrong))
    assert wrong == []


def commanded(desk: Desk, path: Path, told: bytes) -> End:
    """Run the command on one row that always gets this answer."""
    with RudeServer(*[replies(told)] * ATTEMPTS) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        options = ("--max-attempts", ATTEMPTS, "--rate", "50/s", "--out", "job.unenroll")
        # without a history: the cells use the same ports, one after the other
        ended = desk.do("run", path, "--yes", "--history", "off", *options)
    (row,) = desk.results()
    return End(row["unenroll_status"], server.seen(CUSTOMER), ended.code)
