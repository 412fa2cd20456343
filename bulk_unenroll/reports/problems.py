"""What did not succeed, by code and target, with an example row. One pass, bounded memory."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from pathlib import PurePath
from typing import Generic, TypeVar

from bulk_unenroll.ledger.facts import StateCount
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import TROUBLED, Enrollment, State, Target, row_name

T = TypeVar("T")


def full_name(target: Target) -> str:
    """A target with its org, unless that is SELF."""
    return f"org {target.org} {target}" if target.org else str(target)


@dataclass(slots=True)
class TargetFact:
    """One target: how many customers it has by state."""

    target: Target
    states: dict[State, int] = field(default_factory=dict)

    @property
    def unique(self) -> int:
        """All customers of this target."""
        return sum(self.states.values())

    def add(self, some: StateCount) -> None:
        """Count some of its customers."""
        self.states[some.state] = self.states.get(some.state, 0) + some.number

    def __str__(self) -> str:
        return full_name(self.target)


@dataclass(frozen=True, slots=True)
class Problem:
    """``number`` customers of one target that ended in the same bad state with the same code.

    ``customer`` is one of them, from ``row`` of ``source``, in line ``line``; ``message`` is the
    server's about it.
    """

    where: TargetFact
    state: State
    code: str | None
    number: int
    customer: int
    source: str = ""
    row: int | None = None
    message: str = ""
    line: int | None = None

    @property
    def target(self) -> Target:
        """The target, as a command names it."""
        return self.where.target

    @property
    def example(self) -> str:
        """The row that is an example, and its file, for a short line; "" if there is none."""
        if self.row is None:
            return ""
        return f"{row_name(self.row, self.line, self.source)} of {PurePath(self.source).name}"


@dataclass(slots=True)
class Most(Generic[T]):
    """Keeps the ``limit`` heaviest things offered; counts the others and their weight."""

    limit: int
    others: int = 0
    others_weight: int = 0
    _heap: list[tuple[int, int, T]] = field(default_factory=list)

    def offer(self, weight: int, thing: T) -> None:
        """Keep ``thing`` if it is among the heaviest; of equal weight, the first ones stay."""
        entry = (weight, -(len(self._heap) + self.others), thing)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
            return
        dropped = heapq.heappushpop(self._heap, entry)
        self.others += 1
        self.others_weight += dropped[0]

    def listed(self) -> list[T]:
        """The things kept, the heaviest first."""
        return [thing for *_, thing in sorted(self._heap, key=itemgetter(0, 1), reverse=True)]


@dataclass(slots=True)
class Problems:
    """The largest targets, the most frequent problems, and all their codes.

    ``states`` are all states that occur; ``shown`` are the problems with an example each.
    """

    targets: Most[TargetFact]
    problems: Most[Problem]
    codes: Counter[tuple[State, str | None]]
    states: set[State] = field(default_factory=set)
    shown: list[Problem] = field(default_factory=list)


def find_problems(
    reader: LedgerReader,
    sources: Sequence[int],
    by_target: Iterable[StateCount],
    *,
    targets: int,
    problems: int,
) -> Problems:
    """Find problems in ``by_target``, the answer of ``counts_by_target``.

    Keeps the ``targets`` largest targets and the ``problems`` most frequent problems.
    """
    found = Problems(Most(targets), Most(problems), Counter())
    for target, counts in itertools.groupby(by_target, key=attrgetter("target")):
        _add(found, TargetFact(target), counts)
    found.shown = [_with_example(reader, sources, problem) for problem in found.problems.listed()]
    return found


def _add(found: Problems, fact: TargetFact, counts: Iterable[StateCount]) -> None:
    for some in counts:
        fact.add(some)
        found.states.add(some.state)
        if some.state in TROUBLED and some.customer is not None:
            found.codes[some.state, some.code] += some.number
            problem = Problem(fact, some.state, some.code, some.number, some.customer)
            found.problems.offer(some.number, problem)
    found.targets.offer(fact.unique, fact)


def _with_example(reader: LedgerReader, sources: Sequence[int], problem: Problem) -> Problem:
    example = reader.example(Enrollment(problem.customer, problem.where.target), sources)
    if example is None:
        return problem
    return replace(
        problem,
        source=example.source,
        row=example.row,
        message=example.message or "",
        line=example.line,
    )
