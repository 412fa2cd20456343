"""What a run claims: first what is due again, then what was never tried, in the order of rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from bulk_unenroll.ledger.claiming import SPREAD_ROWS, ClaimFilter, call_of
from bulk_unenroll.ledger.places import LAST_ROW
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import Call
from bulk_unenroll.settings import LONGEST_WAIT_S


@dataclass(slots=True)
class _Line:
    """A slice with calls that were never tried: after which place to look for the next."""

    id: int
    statement: str
    after: int
    last: int
    passed_over: bool = False
    """Some may have been left out, for their org is halted."""


class Claims:
    """What one sender claims of a run over ``sources``. Within transactions.

    Calls that were never tried are claimed from one slice after the other; each is one sender's.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        sender: int = 0,
        run: int = 0,
        sources: Sequence[int] = (),
    ) -> None:
        self._connect = connection
        self.sender = sender
        self.run = run
        self.sources = list(sources)
        self._line: _Line | None = None
        self._spread: deque[tuple[int, int]] | None = None

    def begin(self, most: int, wanted: ClaimFilter) -> psycopg.Cursor[Row]:
        """Claim what is due, and in the usual case what comes next as well, at one go."""
        if wanted.only is None and not wanted.spread and self._is_in_order():
            return self._send("claim", wanted, most=most, **self._range())
        return self._send("claim_due", wanted, most=most)

    def finish(self, begun: psycopg.Cursor[Row], most: int, wanted: ClaimFilter) -> list[Call]:
        """What was claimed by ``begin``, and as much more as is wanted, with their intents."""
        found = begun.fetchall()
        self._move(found)
        while wanted.only is None and len(found) < most and self.has_fresh(wanted):
            fresh = (wanted.spread and self._spread_call(wanted)) or self._next_calls(
                most - len(found), wanted
            )
            found += fresh
        return [call_of(row) for row in found]

    def ask_next_due(self, wanted: ClaimFilter) -> psycopg.Cursor[Row]:
        """When the next call is due that waits: one row, or none."""
        return self._send("next_due", wanted)

    def is_any_left(self, wanted: ClaimFilter) -> bool:
        """Whether a call waits, or another sender has calls in flight, or rows to call."""
        found = self._send("is_any_left", wanted).fetchone()
        return bool(found and found[0])

    def has_fresh(self, wanted: ClaimFilter) -> bool:
        """Whether a call is left for this sender that was never tried; its slice has one then."""
        while line := self._line or self._take_slice():
            found = self._send(line.statement, wanted, **self._range()).fetchall()
            if found:
                line.after = found[0][0] - 1
                return True
            self._connect().send("slice_done", slice=line.id, all_tried=not line.passed_over)
            self._line = None
        return False

    def forget(self) -> None:
        """Forget the slice of a turn that did not take effect: another sender may have it."""
        self._line = None

    def _take_slice(self) -> _Line | None:
        taken = self._connect().send("take_slice", run=self.run, sender=self.sender).fetchone()
        if taken is None:
            return None
        self._line = _Line(*taken)
        return self._line

    def _is_in_order(self) -> bool:
        return self._line is not None and self._line.statement == "fresh"

    def _range(self) -> dict[str, int]:
        return {"after": self._line.after, "last": self._line.last} if self._line else {}

    def _move(self, found: list[Row]) -> None:
        """Continue after the last of ``found`` next time; calls that were due are in no slice."""
        if self._line and found and found[-1][-1] > LAST_ROW:
            self._line.after = found[-1][-1]

    def _next_calls(self, most: int, wanted: ClaimFilter) -> list[Row]:
        """Up to ``most`` calls in the order of their rows, from this sender's slice."""
        if self._line is None:
            return []
        statement = f"claim_{self._line.statement}"
        found = self._send(statement, wanted, most=most, **self._range()).fetchall()
        self._move(found)
        return found

    def _spread_call(self, wanted: ClaimFilter) -> list[Row]:
        """A call of the target whose turn it is, if any has one near where it was last found."""
        if self._spread is None:
            self._spread = self._begin_spread()
        while self._spread:
            target, after = self._spread.popleft()
            found = self._send(
                "claim_fresh_of_target", wanted, target=target, after=after,
                last=after + SPREAD_ROWS,
            ).fetchall()  # fmt: skip
            if found:
                self._spread.append((target, found[0][0]))
                return found
        return []

    def _begin_spread(self) -> deque[tuple[int, int]]:
        # whatever is before the first call of the first slice was tried
        least = self._line.after if self._line and self._is_in_order() else 0
        targets = self._connect().fetch_all("targets_of_ledger")
        return deque((target, max(first - 1, least)) for target, first in targets)

    def _send(self, statement: str, wanted: ClaimFilter, **values: object) -> psycopg.Cursor[Row]:
        if self._line and wanted.halted:
            self._line.passed_over = True
        return self._connect().send(
            statement, sender=self.sender, run=self.run, sources=self.sources, now=wanted.now_s,
            halted=wanted.halted, only=wanted.only, **values,
        )  # fmt: skip


def begin_run(
    connection: Connection,
    run_id: str,
    command: str,
    sources: Sequence[int],
    *,
    now_s: float,
    resend_after_s: float,
    started_by: str | None,
    joinable: bool,
) -> int:
    """Begin a run, cut into slices; return its number. See ``Ledger.begin_run``."""
    planned = list(sources)
    with connection.transaction():
        (run,) = connection.fetch_one(
            "add_run", run_id=run_id, command=command, sources=planned, now=now_s,
            started_by=started_by, joinable=joinable,
        )  # fmt: skip
        connection.execute("add_slices", run=run, sources=planned)
        connection.set_meta("pace", "")
        connection.execute("expired_backoffs", now=now_s)
        connection.execute("backoffs_by_a_clock_ahead", now=now_s, longest=LONGEST_WAIT_S)
        connection.execute(
            "schedule_doubts",
            sources=planned,
            now=now_s,
            resend=resend_after_s != float("inf"),
            cutoff=resend_after_s,
            longest=LONGEST_WAIT_S,
        )
    return int(run)
