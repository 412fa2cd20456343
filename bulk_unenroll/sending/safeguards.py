"""What stops a whole run when its calls fail: the canary and the limit of failures. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bulk_unenroll.model import BAD, GOOD, Decision, State
from bulk_unenroll.settings import Limit

PERCENT_FROM: Final = 100
"""A limit in percent counts only once this many calls are settled."""


@dataclass(slots=True)
class Canary:
    """The first calls of a run: ``--canary``. The others wait until one of these succeeds.

    It has passed once each admitted call was answered and one of them ended well. It has died once
    all have ended, and none of them well. The sets hold ids of calls.
    """

    size: int
    admitted: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    good: int = 0

    @property
    def full(self) -> bool:
        """Whether no more calls may join."""
        return len(self.admitted) >= self.size

    @property
    def passed(self) -> bool:
        """Whether the other calls may go."""
        return self.size == 0 or (self.full and self.good > 0 and self.answered >= self.admitted)

    @property
    def died(self) -> bool:
        """Whether no call may go any more."""
        return self.good == 0 and self.size > 0 and self.full and self.ended >= self.admitted

    @property
    def waits(self) -> bool:
        """Whether only admitted calls may go."""
        return self.full and not (self.passed or self.died)

    def close(self) -> None:
        """Nothing more will come of the admitted calls."""
        self.answered |= self.admitted
        self.ended |= self.admitted

    def record(self, call: int, decision: Decision) -> None:
        """Take into account what was decided on one of the first calls."""
        if decision.left:
            self.answered.add(call)
        if decision.wait_s is None:
            self.ended.add(call)
            self.good += decision.state in GOOD


@dataclass(slots=True)
class FailureLimit:
    """``--max-failures``: how many of the calls that this run settled may be bad."""

    limit: Limit
    settled: int = 0
    bad: int = 0

    @property
    def reason(self) -> str:
        """Why the run stops when the limit is exceeded."""
        return f"{self.bad} of {self.settled} calls failed: above --max-failures"

    def record(self, decision: Decision) -> bool:
        """Count a settled call; True when the limit is exceeded."""
        if decision.wait_s is not None or decision.state in (State.PENDING, State.IN_DOUBT):
            return False
        self.settled += 1
        self.bad += decision.state in BAD
        return self.limit.exceeded(self.bad, self.settled, least=PERCENT_FROM)
