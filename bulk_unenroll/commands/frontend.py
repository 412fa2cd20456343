"""The interface of whoever starts a command: it confirms the plan and follows the run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.summary import Summary

if TYPE_CHECKING:
    from bulk_unenroll.sending.observers import Observer
    from bulk_unenroll.sending.stopping import StopRequest

T = TypeVar("T")


class Frontend(Protocol):
    """A command line, a page, or a Python caller.

    ``owns_process``: the process belongs to the command, so it handles signals and works in the
    calling thread.
    """

    @property
    def owns_process(self) -> bool: ...

    def confirm(self, plan: Plan) -> None:
        """Raise ``Stop`` unless the calls of ``plan`` may be made."""

    def watch(self, before: Counts, to_call: int) -> AbstractContextManager[Observer]:
        """Follow a run with ``to_call`` calls to make; ``before`` are the counts at its start."""

    def ended(self, summary: Summary) -> None:
        """The run ended, and its results are written."""

    def abandoned(self, summary: Summary) -> None:
        """A second signal ends the process now, with calls in flight left in doubt."""


def work(task: Callable[[], T], frontend: Frontend, stop: StopRequest) -> T:
    """Do ``task`` in this thread if the frontend owns the process, otherwise in a new one.

    In a new thread it can run an event loop although the caller's thread has one.
    ``KeyboardInterrupt`` stops it cleanly, and is raised once calls in flight are recorded.
    """
    if frontend.owns_process:
        return task()
    with ThreadPoolExecutor(1, "bulk-unenroll") as executor:
        done = executor.submit(task)
        try:
            return done.result()
        except KeyboardInterrupt:
            stop.stop()
            raise
