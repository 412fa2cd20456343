"""Whoever starts a command: asked before anything is sent, and shown how it goes."""

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

    ``owns_process``: the process is the command's own, so that it handles signals, and works in the
    thread that called it.
    """

    @property
    def owns_process(self) -> bool: ...

    def confirm(self, plan: Plan) -> None:
        """Raise ``Stop`` unless the calls of ``plan`` may be made."""

    def watch(self, before: Counts, to_call: int) -> AbstractContextManager[Observer]:
        """Watch a run that would make ``to_call`` calls; ``before`` is the accounting until now."""

    def ended(self, summary: Summary) -> None:
        """The run ended, and its results are written."""

    def abandoned(self, summary: Summary) -> None:
        """A second signal ends the process now, with calls in flight left in doubt."""


def work(task: Callable[[], T], frontend: Frontend, stop: StopRequest) -> T:
    """Do ``task``: here if the process is the command's own, otherwise in a thread of its own.

    There it works beside a running event loop. ``KeyboardInterrupt`` stops it cleanly, and is
    raised once calls in flight are recorded.
    """
    if frontend.owns_process:
        return task()
    with ThreadPoolExecutor(1, "bulk-unenroll") as executor:
        done = executor.submit(task)
        try:
            return done.result()
        except KeyboardInterrupt:
            stop.stop("interrupted")
            raise
