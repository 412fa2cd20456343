"""What a plan shows: counts, what was done before, what changed, and what looks wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.ledger.counts import Counts, known_state
from bulk_unenroll.ledger.sqlite.reader import Row, ask, callable_count, count, tally
from bulk_unenroll.reports.problems import TargetFact
from bulk_unenroll.settings import Rate

FAR_MORE: Final = 2
FAR_MORE_LEAST_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class SourceFact:
    """One input: its name, SHA-256 and rows."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class InvalidFact:
    """One reason why rows are invalid: how many, the first of them, and its message."""

    code: str
    number: int
    first_row: int
    example: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a plan shows. ``to_call`` customers/targets would be called."""

    sources: list[SourceFact]
    counts: Counts
    targets: list[TargetFact]
    invalid: list[InvalidFact]
    to_call: int
    known: int
    gone: int
    warnings: list[str]
    seconds: float
    """How long the calls take at this rate."""


def survey(
    connection: sqlite3.Connection, sources: Sequence[int], rate: Rate, resend_after_s: float
) -> Plan:
    """Look at ``sources`` as they stand in the ledger."""
    listed = list(sources)
    tallied = tally(connection, listed)
    counts = count(connection, listed, tallied)
    to_call = callable_count(connection, listed, resend_after_s, counts)
    targets = _targets(tallied)
    ((known,),) = ask(connection, "known_before", sources=listed)
    ((gone,),) = ask(connection, "gone", sources=listed)
    return Plan(
        sources=[
            SourceFact(name, sha256, rows)
            for _, name, _, sha256, rows, *_ in ask(connection, "source_facts", sources=listed)
        ],
        counts=counts,
        targets=targets,
        invalid=invalid_facts(connection, listed),
        to_call=to_call,
        known=known,
        gone=gone,
        warnings=_warnings(connection, listed, targets),
        seconds=to_call / rate.per_s,
    )


def invalid_facts(connection: sqlite3.Connection, sources: list[int]) -> list[InvalidFact]:
    """Why rows of ``sources`` are invalid, the most frequent reason first."""
    return [InvalidFact(*row) for row in ask(connection, "invalid_counts", sources=sources)]


def _targets(tallied: list[Row]) -> list[TargetFact]:
    facts: dict[tuple[int | None, int, int], TargetFact] = {}
    for org, group, target, state, _, number, *_ in tallied:
        fact = facts.setdefault((org, group, target), TargetFact(org, group, target, {}))
        known = known_state(state)
        fact.states[known] = fact.states.get(known, 0) + number
    return list(facts.values())


def _warnings(
    connection: sqlite3.Connection, sources: list[int], targets: list[TargetFact]
) -> list[str]:
    warnings = []
    ((number, phones),) = ask(connection, "phone_like", sources=sources)
    if number and phones * 2 > number:
        warnings.append(
            f"{phones} of {number} customer ids have 10 to 12 digits: are these phone numbers?"
        )
    ((swapped,),) = ask(connection, "swapped_before", sources=sources)
    if swapped or _look_swapped(targets):
        warnings.append("targetGroupId and targetId look swapped: a group holds targets")
    for source in sources:
        warnings += _growth(connection, source)
    return warnings


def _look_swapped(targets: list[TargetFact]) -> bool:
    """A target belongs to one group, so one "target" in many "groups" of one target each is odd."""
    groups = {(fact.org, fact.group) for fact in targets}
    rules = {(fact.org, fact.target) for fact in targets}
    return len(rules) < len(groups) == len(targets)


def _growth(connection: sqlite3.Connection, source: int) -> list[str]:
    before = ask(connection, "previous_rows", source=source)
    ((_, name, _, _, rows, *_),) = ask(connection, "source_facts", sources=[source])
    if not before:
        return []
    last = before[0][0]
    if rows > FAR_MORE * last and rows - last >= FAR_MORE_LEAST_ROWS:
        return [f"{name} has {rows} rows, far more than the {last} it had last time"]
    return []
