"""The progress of a run: a live line on a terminal, events in the log otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from bulk_unenroll.cli.screens.console import window
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import TROUBLED, Call, Decision, State
from bulk_unenroll.observers import Observer
from bulk_unenroll.reports.progress import Progress, ProgressCounter
from bulk_unenroll.reports.wording import duration

LOG_EVERY_S: Final = 10.0
BAR_LEAST: Final = 8
BAR_MOST: Final = 40
GAP: Final = "  "
WAITING: Final = (State.PENDING, State.SENDING)

log = get_logger()


class ProgressDisplay(Observer):
    """Shows the progress of one run, whose folder holds ``counts`` from earlier ones.

    ``to_call``: how many calls the run will make. ``live``: somebody draws it; otherwise progress
    is logged every ten seconds.
    """

    def __init__(self, counts: Counts, to_call: int, *, live: bool) -> None:
        self._counter = ProgressCounter(counts, to_call, time.monotonic())
        self._live = live
        self._logged_s = time.monotonic()

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was answered or given up, and it was decided what becomes of it."""
        self._counter.recorded(call, decision)
        self._log()

    def blocked(self, number: int) -> None:
        """This many customers/targets will not be sent."""
        self._counter.blocked(number)
        self._log()

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders of the run have settled so many by now."""
        self._counter.others_settled(settled, not_enrolled, bad)
        self._log()

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield line(self._counter.progress(time.monotonic()), options.max_width)

    def _log(self) -> None:
        now_s = time.monotonic()
        if not self._live and now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            found = self._counter.progress(now_s)
            by_name = {state.value: number for state, number in found.states.items()}
            log.info("progress", done=found.done, of=found.of, **by_name)


def line(found: Progress, width: int) -> Text:
    """One line that fits into ``width`` columns.

    How much is done and how much time is left come first, then the rate, a bar, and the states:
    those that need a look before the others, and not those that still wait.
    """
    count = f"{found.done:,}/{found.of:,}"
    percent = f"{100 * found.done // max(found.of, 1)} %"
    left = "" if found.left_s is None else f"{duration(found.left_s)} left"
    told = _fitting([count, percent, left], [f"{found.per_min:,.0f}/min"], width)
    ended = [pair for pair in found.states.items() if pair[0] not in WAITING]
    ended.sort(key=lambda pair: pair[0] not in TROUBLED)
    states = [f"{number:,} {state}" for state, number in ended]
    wide = width - cell_len(told) - BAR_LEAST - len(GAP)
    if wide < 0:
        return Text(set_cell_size(told, min(width, cell_len(told))))
    beside = _fitting([], states, wide - len(GAP))
    bar_width = min(width - cell_len(GAP.join(filter(None, [" ", told, beside]))), BAR_MOST)
    full = bar_width * min(found.done, found.of) // max(found.of, 1)
    bar = Text("━" * full, style="green").append("━" * (bar_width - full), style="bright_black")
    return Text(GAP).join([bar, *map(Text, filter(None, [told, beside]))])


def _fitting(parts: list[str], more: list[str], width: int) -> str:
    """``parts`` beside each other, closer together if need be, and as many of ``more`` as fit."""
    chosen = [part for part in parts if part]
    for part in more:
        if cell_len(GAP.join([*chosen, part])) <= width:
            chosen.append(part)
    spread = GAP.join(chosen)
    return spread if cell_len(spread) <= width else " ".join(chosen)


@contextmanager
def watching(counts: Counts, to_call: int, *, live: bool) -> Iterator[ProgressDisplay]:
    """A ``ProgressDisplay`` for one run; ``live`` only if standard error is a terminal.

    While it is live, what is written to standard output or error appears above it.
    """
    console = window(stderr=True, soft_wrap=True)
    if not (live and console.is_interactive):
        yield ProgressDisplay(counts, to_call, live=False)
        return
    display = ProgressDisplay(counts, to_call, live=True)
    with Live(display, console=console, transient=True):
        yield display
