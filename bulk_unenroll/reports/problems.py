"""What did not end well, by code and target: how many, an example row. One pass, bounded memory."""

from __future__ import annotations

import heapq
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import PurePath
from typing import Generic, TypeVar

from bulk_unenroll.ledger.counts import known_state
from bulk_unenroll.ledger.sqlite.reader import Row, ask
from bulk_unenroll.model import TROUBLED, State, Target

T = TypeVar("T")


@dataclass(slots=True)
class TargetFact:
    """One target: how many customers it has by state."""

    org: int | None
    group: int
    target: int
    states: dict[State, int]

    @property
    def unique(self) -> int:
        """Customers of this target."""
        return sum(self.states.values())

    def __str__(self) -> str:
        scope = f"org {self.org} " if self.org else ""
        return f"{scope}{self.group}/{self.target}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Customers of one target that ended alike, badly.

    ``customer`` is one of them, who stands in ``row`` of ``source`` and of whom ``message`` tells.
    """

    where: TargetFact
    state: State
    code: str | None
    number: int
    customer: int
    source: str = ""
    row: int | None = None
    message: str = ""

    @property
    def target(self) -> Target:
        """The target, as a command names it."""
        return Target(self.where.org, self.where.group, self.where.target)

    @property
    def file(self) -> str:
        """The source's name without its folder, for a short line."""
        return PurePath(self.source).name


@dataclass(slots=True)
class Most(Generic[T]):
    """The ``limit`` heaviest of all that were offered; how many others, and their weight."""

    limit: int
    others: int = 0
    others_weight: int = 0
    _heap: list[tuple[int, int, T]] = field(default_factory=list)

    def offer(self, weight: int, thing: T) -> None:
        """Keep ``thing`` if it is among the heaviest; of equals those that came first."""
        entry = (weight, -(len(self._heap) + self.others), thing)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
            return
        dropped = heapq.heappushpop(self._heap, entry)
        self.others += 1
        self.others_weight += dropped[0]

    def listed(self) -> list[T]:
        """What is kept, the heaviest first."""
        return [thing for *_, thing in sorted(self._heap, key=itemgetter(0, 1), reverse=True)]


@dataclass(slots=True)
class Problems:
    """Targets, problems and the codes of these: each the most frequent, and what is left out."""

    targets: Most[TargetFact]
    problems: Most[Problem]
    codes: Counter[tuple[State, str | None]]
    states: set[State] = field(default_factory=set)
    shown: list[Problem] = field(default_factory=list)


def find_problems(
    connection: sqlite3.Connection,
    sources: Sequence[int],
    tallied: Iterable[Row],
    *,
    targets: int,
    problems: int,
) -> Problems:
    """Digest the ``tally`` of ``sources`` down to so many ``targets`` and ``problems``."""
    listed = json.dumps(list(sources))
    made = Problems(Most(targets), Most(problems), Counter())
    for (org, group, target), rows in itertools.groupby(tallied, key=_place):
        _add(made, TargetFact(org, group, target, {}), rows)
    made.shown = [_with_example(connection, listed, found) for found in made.problems.listed()]
    return made


def _place(row: Row) -> tuple[int | None, int, int]:
    org, group, target, *_ = row
    return org, group, target


def _add(made: Problems, fact: TargetFact, rows: Iterable[Row]) -> None:
    for _, _, _, name, code, number, customer, *_ in rows:
        state = known_state(name)
        fact.states[state] = fact.states.get(state, 0) + number
        made.states.add(state)
        if state in TROUBLED:
            made.codes[state, code] += number
            made.problems.offer(number, Problem(fact, state, code, number, customer))
    made.targets.offer(fact.unique, fact)


def _with_example(connection: sqlite3.Connection, sources: str, found: Problem) -> Problem:
    where = found.where
    example = ask(
        connection,
        "row_of",
        customer=found.customer,
        org=where.org,
        group=where.group,
        target=where.target,
        sources=sources,
    )
    if not example:
        return found
    source, row, message = example[0]
    return replace(found, source=source, row=row, message=message or "")
