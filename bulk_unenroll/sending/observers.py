"""Who receives the progress of a run, as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bulk_unenroll.model import Call, Decision


class Observer(Protocol):
    """Receives the progress of a run, in the run's thread: what is slow here slows sending."""

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call came back, and was decided on."""

    def blocked(self, number: int) -> None:
        """The ledger blocked ``number`` enrollments: they will not be called."""

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``. ``why`` names no customer."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Several observers as one."""

    observers: Sequence[Observer]

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call came back, and was decided on."""
        for observer in self.observers:
            observer.recorded(call, decision)

    def blocked(self, number: int) -> None:
        """The ledger blocked ``number`` enrollments: they will not be called."""
        for observer in self.observers:
            observer.blocked(number)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``. ``why`` names no customer."""
        for observer in self.observers:
            observer.paused(seconds, why)
