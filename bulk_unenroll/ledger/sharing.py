"""What the senders of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bulk_unenroll.model import Blocked


@dataclass(frozen=True, slots=True)
class Sharing:
    """The timing of a shared run, in seconds.

    A sender that took no turn for ``ttl_s`` counts as dead: others take over its remaining calls,
    and what it had in flight is in doubt. So it takes a turn at least every ``beat_s``, and at most
    one per ``turn_s``, since each costs a round trip.
    """

    ttl_s: float
    beat_s: float
    turn_s: float


@dataclass(frozen=True, slots=True)
class Beat:
    """What goes with a turn: news for the other senders, and a request for start times.

    ``starts``: how many start times are requested, none sooner than in ``lead_s``. ``pause_s``: the
    API asks for a pause. ``stop``: the exit code and reason with which all must stop.
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
    """What other senders of the run have settled, and how many of that ended badly.

    ``senders``: how many of them are at work. ``blocked``: what they found to be blocked since the
    last turn of this one.
    """

    settled: int = 0
    bad: int = 0
    not_enrolled: int = 0
    senders: int = 0
    blocked: tuple[Blocked, ...] = ()


class SharedRun(Protocol):
    """What the senders of a run share. Used by the ledger's thread."""

    @property
    def sharing(self) -> Sharing:
        """How they share it."""

    def share_rate(self, credential: str, interval_s: float) -> float:
        """Draw starts from the rate of ``credential``, which other jobs may share.

        Returns the seconds between two starts: the longest interval that any of them asks for now.
        """

    def part(self) -> Part:
        """What this sender may do now."""

    def leave(self) -> None:
        """Hand back the calls that this sender has not made."""
