"""The progress of a run: a live line on a terminal, events in the log otherwise."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bulk_unenroll.cli.screens import duration
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import GOOD, Call, Decision, State

LOG_EVERY_S: Final = 10.0

log = structlog.get_logger()


class ProgressDisplay:
    """Shows the progress of one run, whose folder holds ``counts`` from earlier ones.

    ``to_call``: how many calls the run will make. ``live`` is shown; without it, progress is
    logged every ten seconds.
    """

    def __init__(
        self, counts: Counts, to_call: int, *, log_ids: bool, live: Progress | None
    ) -> None:
        self._states = dict(counts.states)
        self._to_call = to_call
        self._done = self._answered = 0
        self._log_ids = log_ids
        self._logs_calls = log.is_enabled_for(logging.DEBUG)
        self._live = live
        self._task: TaskID | None = None
        self._began_s = self._logged_s = time.monotonic()
        self._codes_seen: set[str] = set()
        if live:
            self._task = live.add_task("sending", total=to_call, states="", pace="")

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was answered or given up, and it was decided what becomes of it."""
        self._log_call(call, decision)
        if decision.wait_s is None:
            self._done += 1
            self._answered += 1
            before = call.waiting
            self._states[before] = max(self._states[before] - 1, 0)
            self._states[decision.state] += 1
        self._show()

    def blocked(self, number: int) -> None:
        """This many customers/targets will not be sent."""
        log.warning("blocked", customers=number)
        self._done += number
        self._states[State.PENDING] = max(self._states[State.PENDING] - number, 0)
        self._states[State.BLOCKED] += number
        self._show()

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for a while."""
        log.warning("paused", seconds=round(seconds, 1), why=why)

    def _log_call(self, call: Call, decision: Decision) -> None:
        outcome, code, target = decision.outcome, decision.code, str(call.enrollment.target)
        if self._logs_calls:
            who = {"customer_id": call.enrollment.customer} if self._log_ids else {}
            log.debug("call", outcome=outcome, code=code, target=target, **who)
        if code and code not in self._codes_seen:
            self._codes_seen.add(code)
            say = log.info if decision.state in GOOD else log.warning
            say("first_of_code", code=code, outcome=outcome, target=target)

    def _show(self) -> None:
        if self._live and self._task is not None:
            pace, states = self._pace(), self._shown_states()
            self._live.update(self._task, completed=self._done, states=states, pace=pace)
        elif time.monotonic() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = time.monotonic()
            log.info("progress", done=self._done, of=self._to_call, **self._counted())

    def _pace(self) -> str:
        # what was blocked took no time, and says nothing of how fast the rest will be
        per_s = self._answered / max(time.monotonic() - self._began_s, 0.001)
        left = max(self._to_call - self._done, 0)
        remaining = f", {duration(left / per_s)} left" if per_s else ""
        return f"{per_s * 60:,.0f}/min{remaining}"

    def _counted(self) -> dict[str, int]:
        return {state.value: number for state, number in self._states.items() if number}

    def _shown_states(self) -> str:
        return "  ".join(f"{number:,} {name}" for name, number in self._counted().items())


@contextmanager
def watching(
    counts: Counts, to_call: int, *, log_ids: bool, live: bool
) -> Iterator[ProgressDisplay]:
    """A ``ProgressDisplay`` for one run; ``live`` only if standard error is a terminal."""
    if not live or not sys.stderr.isatty():
        yield ProgressDisplay(counts, to_call, log_ids=log_ids, live=None)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[states]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield ProgressDisplay(counts, to_call, log_ids=log_ids, live=shown)
