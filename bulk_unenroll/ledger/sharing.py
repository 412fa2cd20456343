"""What the senders of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sharing:
    """How senders share a run. In seconds.

    One that took no turn for ``ttl_s`` is given up: others call whom it would have called, and what
    it had in flight is in doubt. So it takes one every ``beat_s``, but no more than one in
    ``turn_s``, for each costs a round trip.
    """

    ttl_s: float
    beat_s: float
    turn_s: float


@dataclass(frozen=True, slots=True)
class Beat:
    """What a sender tells the others with a turn, and asks of what they share.

    ``starts``: so many times of starts are wanted, none sooner than in ``lead_s``. ``pause_s``: the
    API asks for a pause. ``stop``: exit code and reason for which all must stop.
    """

    starts: int = 0
    lead_s: float = 0.0
    pause_s: float = 0.0
    canary_passed: bool = False
    stop: tuple[int, str] | None = None


class Part(StrEnum):
    """What a sender may do: make the first calls, wait for those of another one, or send."""

    CANARY = "canary"
    WAIT = "wait"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Others:
    """What other senders of the run have settled, and how many of that ended badly."""

    settled: int = 0
    bad: int = 0
    not_enrolled: int = 0


class SharedRun(Protocol):
    """What the senders of a run share. Used by the ledger's thread."""

    @property
    def sharing(self) -> Sharing:
        """How they share it."""

    def share_rate(self, credential: str, interval_s: float) -> float:
        """Take starts from those of ``credential``, which others use, too; their interval.

        That is the longest of those that are asked for now.
        """

    def part(self) -> Part:
        """What this sender may do now."""

    def leave(self) -> None:
        """Give back what it would have called."""
