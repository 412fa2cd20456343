"""The accounting of some sources."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bulk_unenroll.ledger.facts import StateCount
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import BAD, GOOD, Known, State, Target

SETTLED: Final = GOOD | BAD


@dataclass(slots=True)
class Counts:
    """The accounting of some sources. ``read = invalid + duplicate + the sum over states``.

    ``codes`` are those of all states but ``succeeded``, ``bad_codes`` those of what went wrong.
    """

    read: int = 0
    invalid: int = 0
    unique: int = 0
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    codes: dict[str, int] = field(default_factory=dict)
    bad_codes: dict[tuple[State, str], int] = field(default_factory=dict)
    attempts: int = 0
    mismatches: int = 0
    withdrawn: int = 0

    @property
    def duplicate(self) -> int:
        """Rows that repeat another one."""
        return self.read - self.invalid - self.unique

    @property
    def left(self) -> int:
        """Customers/targets that are not settled."""
        return sum(self.states[s] for s in (State.PENDING, State.SENDING, State.IN_DOUBT))

    @property
    def succeeded(self) -> int:
        """Customers/targets in the state ``succeeded``."""
        return self.states[State.SUCCEEDED]

    @property
    def not_enrolled(self) -> int:
        """Customers/targets in the state ``not_enrolled``."""
        return self.states[State.NOT_ENROLLED]

    @property
    def failed(self) -> int:
        """Customers/targets in the state ``failed``."""
        return self.states[State.FAILED]

    @property
    def blocked(self) -> int:
        """Customers/targets in the state ``blocked``."""
        return self.states[State.BLOCKED]

    @property
    def review(self) -> int:
        """Customers/targets in the state ``review``."""
        return self.states[State.REVIEW]

    @property
    def in_doubt(self) -> int:
        """Customers/targets in the state ``in_doubt``."""
        return self.states[State.IN_DOUBT]

    @property
    def pending(self) -> int:
        """Customers/targets in the state ``pending``."""
        return self.states[State.PENDING]

    @property
    def worst_code(self) -> tuple[State, str] | None:
        """The most frequent code of what went wrong, and its state; those to review come last."""
        ranked = sorted(
            self.bad_codes,
            key=lambda bad: (bad[0] is State.REVIEW, -self.bad_codes[bad], bad[1]),
        )
        return ranked[0] if ranked else None

    def add(self, some: StateCount) -> None:
        """Count customers/targets that are alike."""
        self.states[some.state] += some.number
        self.unique += some.number
        self.attempts += some.attempts
        self.mismatches += some.mismatches
        if some.code and some.state is not State.SUCCEEDED:
            self.codes[some.code] = self.codes.get(some.code, 0) + some.number
            if some.state in BAD:
                bad = some.state, some.code
                self.bad_codes[bad] = self.bad_codes.get(bad, 0) + some.number


def count(
    reader: LedgerReader, sources: Sequence[int], by_target: Iterable[StateCount] | None = None
) -> Counts:
    """Count the rows and states of ``sources``, each customer/target once.

    ``by_target`` is what ``counts_by_target`` said of them, if it was asked already.
    """
    read, invalid = reader.row_counts(sources)
    counts = Counts(read, invalid, withdrawn=reader.withdrawn_count())
    for some in reader.counts_by_target(sources) if by_target is None else by_target:
        counts.add(some)
    return counts


def known_by_target(reader: LedgerReader, sources: Sequence[int]) -> dict[Target, Known]:
    """What the folder knows of the calls for each target, of the rows of these sources."""
    known: dict[Target, Known] = {}
    for some in reader.counts_by_target(sources):
        if some.state in SETTLED:
            settled, succeeded, not_enrolled = known.get(some.target, Known(0, 0, 0))
            known[some.target] = Known(
                settled + some.number,
                succeeded + some.number * (some.state is State.SUCCEEDED),
                not_enrolled + some.number * (some.state is State.NOT_ENROLLED),
            )
    return known


def doubts_of_an_outage(
    reader: LedgerReader, sources: Sequence[int], resend_after_s: float, concurrency: int
) -> int:
    """How many calls in doubt are not sent again by themselves, for there are too many at once.

    A kill leaves at most twice ``concurrency`` in doubt. More come from an outage, of which nobody
    knows what it applied. Those that a person reopened do not count.
    """
    number = reader.callable_doubts(sources, resend_after_s)
    number -= reader.callable_doubts(sources, math.inf)
    return number if number > 2 * concurrency else 0


def callable_count(
    reader: LedgerReader,
    sources: Sequence[int],
    resend_after_s: float,
    counts: Counts | None = None,
) -> int:
    """How many customers/targets a run of ``sources``, with these ``counts``, would call now."""
    counts = counts or count(reader, sources)
    return counts.states[State.PENDING] + reader.callable_doubts(sources, resend_after_s)
