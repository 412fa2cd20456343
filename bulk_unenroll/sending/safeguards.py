"""What stops a run because of the outcomes of its calls: canary, pilot, two limits. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from bulk_unenroll.ledger.sharing import Others
from bulk_unenroll.model import BAD, Call, Decision, Known, State, Target
from bulk_unenroll.option_values import Limit

PERCENT_FROM: Final = 100
"""A limit in percent counts only once this many calls are settled."""


@dataclass(slots=True)
class Canary:
    """The first calls of a run: ``--canary``. The others wait for enough successes among these.

    It has passed once each admitted call was answered and ``least`` of them succeeded; calls for
    the same targets that the folder knows of count, too. It has died once all have ended, and too
    few of them well. The sets hold ids of calls.
    """

    size: int
    least: Limit
    known: Mapping[Target, Known] = field(default_factory=dict)
    admitted: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    succeeded: int = 0
    not_enrolled: int = 0
    _targets: set[Target] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether no more calls may join."""
        return len(self.admitted) >= self.size

    @property
    def passed(self) -> bool:
        """Whether the other calls may go."""
        if self.size == 0:
            return True
        return self.full and self.answered >= self.admitted and self._enough()

    @property
    def died(self) -> bool:
        """Whether no call may go any more."""
        return self.size > 0 and self.full and self.ended >= self.admitted and not self.passed

    @property
    def waits(self) -> bool:
        """Whether only admitted calls may go."""
        return self.full and not (self.passed or self.died)

    @property
    def reason(self) -> str:
        """Why the run stops once it has died."""
        return (
            f"the canary failed: {self.succeeded} of the first {len(self.admitted)} calls"
            f" succeeded, and {self.not_enrolled} were not enrolled; --canary-good asks for"
            f" {self.least}"
        )

    def close(self) -> None:
        """Nothing more will come of the admitted calls."""
        self.answered |= self.admitted
        self.ended |= self.admitted

    def record(self, call: Call, decision: Decision) -> None:
        """Take into account what was decided on one of the first calls.

        Another call takes the place of one that tells nothing.
        """
        if not call.tells(decision.state):
            for calls in (self.admitted, self.answered, self.ended):
                calls.discard(call.id)
            return
        self._targets.add(call.enrollment.target)
        if decision.left:
            self.answered.add(call.id)
        if decision.wait_s is None:
            self.ended.add(call.id)
            self.succeeded += decision.state is State.SUCCEEDED
            self.not_enrolled += decision.state is State.NOT_ENROLLED

    def _enough(self) -> bool:
        known = [self.known[target] for target in self._targets if target in self.known]
        of = len(self.admitted) + sum(one.settled for one in known)
        good = self.succeeded + sum(one.succeeded for one in known)
        return good * 100 >= self.least.value * of


@dataclass(slots=True)
class Pilot:
    """``--limit``: how many customers/targets this run may call; None: all.

    ``waiting`` holds the ids of those that it began with and that have not ended.
    """

    size: int | None = None
    admitted: int = 0
    waiting: set[int] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether no other customer/target may be called."""
        return self.size is not None and self.admitted >= self.size

    @property
    def reason(self) -> str:
        """Why the run stops."""
        return f"--limit {self.size} is reached"

    def room(self) -> float:
        """How many more may begin."""
        return math.inf if self.size is None else self.size - self.admitted

    def admit(self, call: Call) -> None:
        """A call was claimed, for the first time or again."""
        if self.size is not None and call.id not in self.waiting:
            self.admitted += 1
            self.waiting.add(call.id)

    def end(self, call: int) -> None:
        """A call will not be made again in this run."""
        self.waiting.discard(call)


@dataclass(slots=True)
class OutcomeLimit:
    """How many of the settled calls may end in some ``states``."""

    limit: Limit
    states: frozenset[State]
    words: str
    settled: int = 0
    counted: int = 0
    others_settled: int = 0
    others_counted: int = 0

    @classmethod
    def of_failures(cls, limit: Limit) -> Self:
        """``--max-failures``, of the calls that this run settled."""
        return cls(limit, BAD, "failed: above --max-failures")

    @classmethod
    def of_not_enrolled(cls, limit: Limit, known: Mapping[Target, Known]) -> Self:
        """``--max-not-enrolled``; what the folder knows counts, too."""
        return cls(
            limit,
            frozenset({State.NOT_ENROLLED}),
            "were not enrolled: above --max-not-enrolled",
            sum(one.settled for one in known.values()),
            sum(one.not_enrolled for one in known.values()),
        )

    @property
    def reason(self) -> str:
        """Why the run stops when the limit is exceeded."""
        counted, settled = self._all
        return f"{counted} of {settled} calls {self.words}"

    def record(self, decision: Decision) -> bool:
        """Count a settled call; True when it is one too many."""
        if decision.wait_s is not None or decision.state in (State.PENDING, State.IN_DOUBT):
            return False
        self.settled += 1
        self.counted += decision.state in self.states
        return self.exceeded

    def hear_of_others(self, others: Others) -> bool:
        """What other senders of the run settled by now; True when it is one too many."""
        self.others_settled = others.settled
        self.others_counted = (
            others.not_enrolled if State.NOT_ENROLLED in self.states else others.bad
        )
        return self.exceeded

    @property
    def exceeded(self) -> bool:
        """Whether it is one too many."""
        counted, settled = self._all
        return self.limit.exceeded(counted, settled, least=PERCENT_FROM)

    @property
    def _all(self) -> tuple[int, int]:
        return self.counted + self.others_counted, self.settled + self.others_settled
