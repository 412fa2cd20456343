"""Who receives the progress of a run, as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bulk_unenroll.model import Call, Decision


class Stage(StrEnum):
    """What a run does: its first calls, all others, or no more but to record those in flight."""

    CANARY = "canary"
    SENDING = "sending"
    STOPPING = "stopping"


class Observer:
    """Receives the progress of a run, in the run's thread: what is slow here slows sending.

    It does nothing: a class that inherits it defines what it wants to know.
    """

    def entered(self, stage: Stage) -> None:
        """The run begins ``stage``."""

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call came back, and was decided on."""

    def blocked(self, number: int) -> None:
        """The ledger blocked ``number`` enrollments: they will not be called."""

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders of the run have settled so many by now, of which these ended otherwise."""

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``. ``why`` names no customer."""


@dataclass(frozen=True, slots=True)
class Observers(Observer):
    """Several observers as one."""

    observers: Sequence[Observer]

    def entered(self, stage: Stage) -> None:
        """The run begins ``stage``."""
        for observer in self.observers:
            observer.entered(stage)

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call came back, and was decided on."""
        for observer in self.observers:
            observer.recorded(call, decision)

    def blocked(self, number: int) -> None:
        """The ledger blocked ``number`` enrollments: they will not be called."""
        for observer in self.observers:
            observer.blocked(number)

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders of the run have settled so many by now."""
        for observer in self.observers:
            observer.others_settled(settled, not_enrolled, bad)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``. ``why`` names no customer."""
        for observer in self.observers:
            observer.paused(seconds, why)
