"""The progress of a run: a live line on a terminal, events in the log otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import Call, Decision
from bulk_unenroll.reports import progress
from bulk_unenroll.reports.progress import ProgressCounter
from bulk_unenroll.reports.wording import duration

LOG_EVERY_S: Final = 10.0

log = get_logger()


class ProgressDisplay:
    """Shows the progress of one run, whose folder holds ``counts`` from earlier ones.

    ``to_call``: how many calls the run will make. ``live`` is shown; without it, progress is
    logged every ten seconds.
    """

    def __init__(self, counts: Counts, to_call: int, *, live: Progress | None) -> None:
        self._counter = ProgressCounter(counts, to_call, time.monotonic())
        self._live = live
        self._task: TaskID | None = None
        self._logged_s = time.monotonic()
        if live:
            self._task = live.add_task("sending", total=to_call, states="", pace="")

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was answered or given up, and it was decided what becomes of it."""
        self._counter.recorded(call, decision)
        self._show()

    def blocked(self, number: int) -> None:
        """This many customers/targets will not be sent."""
        self._counter.blocked(number)
        self._show()

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for a while: nothing to show."""

    def _show(self) -> None:
        now_s = time.monotonic()
        if self._live and self._task is not None:
            found = self._counter.progress(now_s)
            states = "  ".join(f"{number:,} {state}" for state, number in found.states.items())
            self._live.update(self._task, completed=found.done, states=states, pace=_pace(found))
        elif now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            found = self._counter.progress(now_s)
            by_name = {state.value: number for state, number in found.states.items()}
            log.info("progress", done=found.done, of=found.of, **by_name)


def _pace(found: progress.Progress) -> str:
    remaining = "" if found.left_s is None else f", {duration(found.left_s)} left"
    return f"{found.per_min:,.0f}/min{remaining}"


@contextmanager
def watching(counts: Counts, to_call: int, *, live: bool) -> Iterator[ProgressDisplay]:
    """A ``ProgressDisplay`` for one run; ``live`` only if standard error is a terminal."""
    if not live or not sys.stderr.isatty():
        yield ProgressDisplay(counts, to_call, live=None)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[states]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield ProgressDisplay(counts, to_call, live=shown)
