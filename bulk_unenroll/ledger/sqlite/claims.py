"""What a run claims: first what is due again, then what was never tried, in the order of rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.ledger.claiming import SPREAD_ROWS, ClaimFilter, call_of
from bulk_unenroll.ledger.places import LAST_ROW, place_of
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import Call
from bulk_unenroll.settings import LONGEST_WAIT_S

SENDING_CACHE_KB: Final = 16_384
"""Calls go by the order of rows: a page is seldom needed again."""


@dataclass(slots=True)
class _Line:
    """Calls of a source that were never tried: after which place to look for the next."""

    statement: str
    after: int
    last: int


class Claims:
    """The claims of one run over ``sources``; those of run 0 are none. Within transactions."""

    def __init__(self, connection: Writer, run: int = 0, sources: Sequence[int] = ()) -> None:
        self._connection = connection
        self.run = run
        self._lines = deque(
            _Line(statement, place_of(source, 0), place_of(source, LAST_ROW))
            for source in sources
            for statement in ("fresh", "fresh_known")
        )
        self._spread: deque[tuple[int, int]] | None = None

    def claim(self, most: int, wanted: ClaimFilter) -> list[Call]:
        """Up to ``most`` calls, with their intents."""
        found = self._fetch("due", wanted, now=wanted.now_s, only=wanted.only, most=most)
        self._claim_all(found, wanted)
        while wanted.only is None and len(found) < most and self.has_fresh(wanted):
            fresh = (wanted.spread and self._spread_call(wanted)) or self._next_calls(
                most - len(found), wanted
            )
            self._claim_all(fresh, wanted)
            found += fresh
        return [call_of(row) for row in found]

    def next_due_s(self, wanted: ClaimFilter) -> float | None:
        """When the next call is due that waits."""
        due = self._fetch("next_due", wanted, only=wanted.only)
        return due[0][0] if due else None

    def has_fresh(self, wanted: ClaimFilter) -> bool:
        """Whether a call is left that was never tried; the first line has one then."""
        while self._lines:
            found = self._look(1, wanted)
            if found:
                self._lines[0].after = found[0][-1] - 1
                return True
            self._lines.popleft()
        return False

    def _claim_all(self, found: list[Row], wanted: ClaimFilter) -> None:
        rows = ({"item": row[0], "run": self.run, "now": wanted.now_s} for row in found)
        self._connection.execute_many("claim", rows)

    def _look(self, most: int, wanted: ClaimFilter) -> list[Row]:
        line = self._lines[0]
        return self._connection.fetch_all(
            line.statement, after=line.after, last=line.last, halted=wanted.halted, most=most
        )

    def _next_calls(self, most: int, wanted: ClaimFilter) -> list[Row]:
        """Up to ``most`` calls in the order of their rows, from the first line."""
        found = self._look(most, wanted)
        self._lines[0].after = found[-1][-1]
        return found

    def _spread_call(self, wanted: ClaimFilter) -> list[Row]:
        """A call of the target whose turn it is, if any has one near where it was last found."""
        if self._spread is None:
            self._spread = self._begin_spread(wanted)
        while self._spread:
            target, after = self._spread.popleft()
            last = after + SPREAD_ROWS
            found = self._fetch("fresh_of_target", wanted, target=target, after=after, last=last)
            if found:
                self._spread.append((target, found[0][0]))
                return found
        return []

    def _begin_spread(self, wanted: ClaimFilter) -> deque[tuple[int, int]]:
        line = self._lines[0]
        # whatever is before the first call in line was tried
        least = self._look(1, wanted)[0][-1] - 1 if line.statement == "fresh" else 0
        targets = self._connection.fetch_all("targets_of_ledger")
        return deque((target, max(first - 1, least)) for target, first in targets)

    def _fetch(self, statement: str, wanted: ClaimFilter, **values: object) -> list[Row]:
        return self._connection.fetch_all(statement, run=self.run, halted=wanted.halted, **values)


def begin_run(
    connection: Writer,
    run_id: str,
    command: str,
    sources: Sequence[int],
    *,
    now_s: float,
    resend_after_s: float,
    started_by: str | None,
) -> Claims:
    """Begin a run; see ``Ledger.begin_run``."""
    connection.tune(SENDING_CACHE_KB)
    with connection.transaction():
        (run,) = connection.fetch_one(
            "add_run", run_id=run_id, command=command, now=now_s, started_by=started_by
        )
        connection.set_meta("pace", "")
        for source in sources:
            connection.execute("add_run_source", run=run, source=source)
        connection.execute("expired_backoffs", now=now_s)
        connection.execute("backoffs_by_a_clock_ahead", now=now_s, longest=LONGEST_WAIT_S)
        connection.execute(
            "schedule_doubts",
            run=run,
            now=now_s,
            resend=resend_after_s != float("inf"),
            cutoff=resend_after_s,
            longest=LONGEST_WAIT_S,
        )
    return Claims(connection, run, sources)
