"""What starts a command implements this: it confirms the plan and follows the run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.summary import Summary

if TYPE_CHECKING:
    from bulk_unenroll.observers import Observer

T = TypeVar("T")


class Frontend(Protocol):
    """A command line, a page, or a Python caller.

    ``owns_process``: the process belongs to the command, so it handles signals.
    """

    @property
    def owns_process(self) -> bool: ...

    def work(self, task: Callable[[], T]) -> T:
        """Do ``task``, which calls the other methods; return what it returns."""

    def confirm(self, plan: Plan) -> Collection[str]:
        """Raise ``Stop`` unless the calls of ``plan`` may be made.

        Return the names of the alarms that a person let pass.
        """

    def goes_on(self, question: str) -> bool:
        """Whether a person says that a run which holds after its first calls goes on."""

    def watch(self, before: Counts, to_call: int) -> AbstractContextManager[Observer]:
        """Follow a run with ``to_call`` calls to make; ``before`` are the counts at its start."""

    def ended(self, summary: Summary) -> None:
        """The run ended, and its results are written."""

    def abandoned(self, summary: Summary) -> None:
        """A second signal ends the process now, with calls in flight left in doubt."""
