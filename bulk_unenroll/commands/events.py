"""The events of a run, as values."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.errors import InputRefused, Interrupted
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.progress import Progress, ProgressCounter
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.stopping import StopRequest

PROGRESS_EVERY_S: Final = 0.1
ALARMS_FROM: Final = 20
"""Alarms weigh shares: they refuse nothing with fewer customers/targets than this."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The inputs were read; nothing is sent yet. If ``on_event`` raises, nothing will be."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Started:
    """Sending begins: ``to_call`` enrollments are to be called."""

    to_call: int


@dataclass(frozen=True, slots=True)
class Paused:
    """No call starts for ``seconds``."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The run ended, and its results are written."""

    summary: Summary


Event = Planned | Started | Progress | Paused | Ended
OnEvent = Callable[[Event], object]


class EventFrontend:
    """The frontend of a Python caller: it asks no questions, and passes events to ``on_event``.

    An alarm refuses the run unless ``allow`` has its name. What ``on_event`` raises once sending
    began stops the run cleanly, and is raised when all is recorded.
    """

    owns_process = False

    def __init__(self, on_event: OnEvent, allow: Collection[str], stop: StopRequest) -> None:
        self._on_event = on_event
        self._allow = allow
        self._stop = stop
        self._raised: BaseException | None = None

    def confirm(self, plan: Plan) -> None:
        """Raise ``InputRefused`` (65) for an alarm, and whatever ``on_event`` raises."""
        refusing = plan.alarms if plan.counts.unique >= ALARMS_FROM else ()
        for alarm in refusing:
            if alarm.name not in self._allow:
                raise InputRefused(f"alarm {alarm.name}: {alarm.text}", f"allow={alarm.name!r}")
        self._on_event(Planned(plan))
        if self._stop.requested:
            raise Interrupted(ExitCode.LEFT_OVER, "stopped by the caller: nothing was sent")

    @contextmanager
    def watch(self, before: Counts, to_call: int) -> Iterator[EventObserver]:
        """Report the progress of a run as events."""
        self._report(Started(to_call))
        observer = EventObserver(ProgressCounter(before, to_call, time.monotonic()), self._report)
        yield observer
        observer.report(time.monotonic())

    def ended(self, summary: Summary) -> None:
        """Report the end; raise what ``on_event`` raised."""
        self._report(Ended(summary))
        if self._raised:
            raise self._raised

    def abandoned(self, summary: Summary) -> None:
        """Never called: this frontend leaves signals to its caller."""

    def _report(self, event: Event) -> None:
        if self._raised:
            return
        try:
            self._on_event(event)
        except BaseException as error:  # calls are in flight: they must be recorded first
            self._raised = error
            self._stop.stop()


class EventObserver:
    """Turns what a run does into events, with at most one ``Progress`` per ``PROGRESS_EVERY_S``."""

    def __init__(self, counter: ProgressCounter, on_event: OnEvent) -> None:
        self._counter = counter
        self._on_event = on_event
        self._reported_s = time.monotonic()

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        self._counter.recorded(call, decision)
        now_s = time.monotonic()
        if now_s - self._reported_s >= PROGRESS_EVERY_S:
            self.report(now_s)

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        self._counter.blocked(number)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``."""
        self._on_event(Paused(seconds, why))

    def report(self, now_s: float) -> None:
        """Report the progress at ``now_s``, monotonic."""
        self._reported_s = now_s
        self._on_event(self._counter.progress(now_s))
