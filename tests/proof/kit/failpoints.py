"""The program, killed at a named point: ``python -m tests.proof.kit.failpoints NAME:N COMMAND …``.

The N-th time that it passes the point, it ends as by ``kill -9``. The points are put in from
outside, so that the program has no hooks for its tests.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.capillary.client import Client
from bulk_unenroll.cli.main import main
from bulk_unenroll.ledger import moving
from bulk_unenroll.ledger.sqlite import ledger
from bulk_unenroll.ledger.sqlite.claims import Claims
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.loading import Loading
from bulk_unenroll.sending.runner import Runner

ON_THE_WAY_S: Final = 0.01
"""Enough for a request to leave; the slow server of these tests answers later."""


class Point:
    """Counts down to the end of the process."""

    def __init__(self, passes: int) -> None:
        self._left = passes

    def passed(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> Any:
    """At the beginning of a method, where ``when`` says so of its arguments."""

    def arm(point: Point) -> None:
        real = getattr(owner, name)

        @wraps(real)
        def method(*args: Any, **kwargs: Any) -> Any:
            if when(*args, **kwargs):
                point.passed()
            return real(*args, **kwargs)

        setattr(owner, name, method)

    return arm


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> Any:
    """At the end of a method that returned well."""

    def arm(point: Point) -> None:
        real = getattr(owner, name)

        @wraps(real)
        def method(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            if when(*args, **kwargs):
                point.passed()
            return result

        setattr(owner, name, method)

    return arm


def claims(*_: object, claim: int, **__: object) -> bool:
    return claim > 0


def records(_: object, entries: Any, *__: object, **___: object) -> bool:
    return any(entry.attempt for entry in entries)


def results(path: Path, *_: object) -> bool:
    return path.name == ".results.csv.part"


def in_flight(point: Point) -> None:
    real = Client.unenroll

    async def unenroll(self: Client, enrollment: Any, headers: Any, connected: Any) -> Any:
        asyncio.get_running_loop().call_later(ON_THE_WAY_S, point.passed)
        return await real(self, enrollment, headers, connected)

    Client.unenroll = unenroll  # type: ignore[method-assign]


def answered(point: Point) -> None:
    real = Client.unenroll

    async def unenroll(self: Client, enrollment: Any, headers: Any, connected: Any) -> Any:
        answer = await real(self, enrollment, headers, connected)
        point.passed()
        return answer

    Client.unenroll = unenroll  # type: ignore[method-assign]


POINTS: Final[Mapping[str, Callable[[Point], None]]] = {
    "before the source is loaded": before(Loading, "_finish"),
    "after the source is loaded": after(Loading, "_finish"),
    "before the sources are confirmed": before(SqliteLedger, "confirm"),
    "after the sources are confirmed": after(SqliteLedger, "confirm"),
    "after the run has begun": after(SqliteLedger, "begin_run"),
    "before the intents are committed": after(Claims, "claim"),
    "after the intents are committed": after(SqliteLedger, "turn", claims),
    "a request is on its way": in_flight,
    "an answer was read": answered,
    "a call has landed": after(Runner, "_land"),
    "before the results are committed": after(ledger, "record", records),
    "after the results are committed": after(SqliteLedger, "turn", records),
    "before results.csv is renamed": before(Path, "replace", results),
    "after results.csv is renamed": after(Path, "replace", results),
    "before the run has ended": before(SqliteLedger, "end_run"),
    "before the ledger is closed": before(SqliteLedger, "close"),
    "after the ledger is closed": after(SqliteLedger, "close"),
}
BULK_POINTS: Final[Mapping[str, Callable[[Point], None]]] = {
    "after the indexes are dropped": after(Loading, "_begin_bulk"),
    "within a batch of the bulk": after(Loading, "_add_batch"),
    "after the last batch of the bulk": before(Loading, "_finish"),
    "before the indexes are made again": before(Loading, "_end_bulk"),
    "after the indexes are made again": after(Loading, "_end_bulk"),
}
MOVE_POINTS: Final[Mapping[str, Callable[[Point], None]]] = {
    "a table is copied": lambda point: before(_moving(), "_copy")(point),
    "all is copied": lambda point: after(_moving(), "integrity_faults")(point),
    "the file that names the job is written": before(moving, "name_job"),
    "the ledger in the folder is closed": before(moving, "close_for_good"),
    "that ledger is closed": after(moving, "close_for_good"),
}
MOVE_CASES: Final = (
    ("a table is copied", 1, False),
    ("a table is copied", 9, False),
    ("all is copied", 1, False),
    ("the file that names the job is written", 1, False),
    ("the ledger in the folder is closed", 1, True),
    ("that ledger is closed", 1, True),
    ("the file that names the job is written", 2, True),
)
"""Where a move is killed, at which of its passes, and whether the job has moved by then."""
ONCE: Final = frozenset(name for name in POINTS if "source" in name or "results.csv" in name) | {
    "after the run has begun",
    "before the run has ended",
    "before the ledger is closed",
    "after the ledger is closed",
}
"""Points that a run passes once."""


def _moving() -> Any:
    from bulk_unenroll.ledger.postgres import moving  # psycopg may be missing

    return moving


def program(name: str, passes: int) -> tuple[str, ...]:
    """The command line for ``Desk(folder, program)``."""
    return (sys.executable, "-m", "tests.proof.kit.failpoints", f"{name}:{passes}")


if __name__ == "__main__":
    armed, _, count = sys.argv.pop(1).rpartition(":")
    {**POINTS, **BULK_POINTS, **MOVE_POINTS}[armed](Point(int(count)))
    main()
