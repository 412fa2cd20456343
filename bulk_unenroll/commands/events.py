"""The events of a run, as values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from bulk_unenroll.errors import Interrupted
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision
from bulk_unenroll.observers import Observer
from bulk_unenroll.reports.alarms.raising import AlarmsRaised
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.progress import Progress, ProgressCounter
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.stopping import StopRequest

PROGRESS_EVERY_S: Final = 0.1
POLL_S: Final = 0.2


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


T = TypeVar("T")
Event = Planned | Started | Progress | Paused | Ended
OnEvent = Callable[[Event], object]


class EventFrontend:
    """The frontend of a Python caller: it asks no questions, and passes events to ``on_event``.

    The command works in a thread of its own, where it may run an event loop beside the caller's.
    ``on_event`` is called in the caller's thread, so a slow one does not slow the calls. An alarm
    that is not allowed refuses the run.
    """

    owns_process = False

    def __init__(self, on_event: OnEvent, stop: StopRequest) -> None:
        self._on_event = on_event
        self._stop = stop
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._agreed = threading.Event()
        self._raised: BaseException | None = None

    def work(self, task: Callable[[], T]) -> T:
        """Do ``task``. What is raised in the caller's thread stops it cleanly.

        That is what ``on_event`` raises, and an interrupt. It is raised again once all is recorded.
        """
        done: Future[T] = Future()
        thread = threading.Thread(target=self._do, args=(task, done), name="bulk-unenroll")
        try:
            thread.start()
            self._listen(done)
        except BaseException:  # a second interrupt waits for nothing
            self._stop.stop()
            raise
        if self._raised:
            raise self._raised
        return done.result()

    def confirm(self, plan: Plan) -> Collection[str]:
        """Raise ``AlarmsRaised`` (65), or what the caller raised at the plan; allow nothing."""
        if plan.alarms_raised:
            raise AlarmsRaised(plan.alarms_raised)
        self._events.put(Planned(plan))
        while not self._agreed.wait(POLL_S):
            if self._stop.requested:
                break
        if self._stop.requested:
            raise Interrupted(ExitCode.LEFT_OVER, "stopped by the caller: nothing was sent")
        return ()

    def goes_on(self, question: str) -> bool:
        """Nobody is asked: the run holds, and ``resume`` goes on."""
        return False

    @contextmanager
    def watch(self, before: Counts, to_call: int) -> Iterator[EventObserver]:
        """Report the progress of a run as events."""
        self._events.put(Started(to_call))
        counter = ProgressCounter(before, to_call, time.monotonic())
        observer = EventObserver(counter, self._events.put)
        yield observer
        observer.report(time.monotonic())

    def ended(self, summary: Summary) -> None:
        """Report the end."""
        self._events.put(Ended(summary))

    def abandoned(self, summary: Summary) -> None:
        """Never called: this frontend leaves signals to its caller."""

    def _listen(self, done: Future[T]) -> None:
        while not done.done() or not self._events.empty():
            try:
                self._pass_on(self._events.get(timeout=POLL_S))
            except Empty:
                continue
            except BaseException as error:
                if self._raised:
                    raise
                self._raised = error
                self._stop.stop()

    def _do(self, task: Callable[[], T], done: Future[T]) -> None:
        try:
            done.set_result(task())
        except BaseException as error:  # raised by ``work``, in the caller's thread
            done.set_exception(error)
        self._events.put(None)

    def _pass_on(self, event: Event | None) -> None:
        if event is not None and not self._raised:
            self._on_event(event)
        if isinstance(event, Planned):
            self._agreed.set()


class EventObserver(Observer):
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

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders of the run have settled so many by now."""
        self._counter.others_settled(settled, not_enrolled, bad)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``."""
        self._on_event(Paused(seconds, why))

    def report(self, now_s: float) -> None:
        """Report the progress at ``now_s``, monotonic."""
        self._reported_s = now_s
        self._on_event(self._counter.progress(now_s))
