"""What a plan shows: counts, what was done before, what changed, and what looks wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import InvalidCount, PhoneLike, Source, StateCount
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import Target
from bulk_unenroll.reports.problems import TargetFact
from bulk_unenroll.settings import Rate

FAR_MORE: Final = 2
FAR_MORE_LEAST_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a plan shows. ``to_call`` customers/targets would be called."""

    sources: list[Source]
    counts: Counts
    targets: list[TargetFact]
    invalid: list[InvalidCount]
    to_call: int
    known: int
    gone: int
    warnings: list[str]
    seconds: float
    """How long the calls take at this rate."""


def survey(reader: LedgerReader, sources: Sequence[int], rate: Rate, resend_after_s: float) -> Plan:
    """Look at ``sources`` as they are in the ledger."""
    by_target = reader.counts_by_target(sources)
    counts = count(reader, sources, by_target)
    to_call = callable_count(reader, sources, resend_after_s, counts)
    targets = _targets(by_target)
    compared = reader.compare(sources)
    every_source, planned = reader.sources(), frozenset(sources)
    return Plan(
        sources=[source for source in every_source if source.id in planned],
        counts=counts,
        targets=targets,
        invalid=reader.invalid_counts(sources),
        to_call=to_call,
        known=compared.known,
        gone=compared.gone,
        warnings=[
            *_phones(reader.phone_like(sources)),
            *_swaps(targets, swapped_before=reader.swapped_before(sources)),
            *_growth(planned, every_source),
        ],
        seconds=to_call / rate.per_s,
    )


def _targets(by_target: Iterable[StateCount]) -> list[TargetFact]:
    facts: dict[Target, TargetFact] = {}
    for some in by_target:
        facts.setdefault(some.target, TargetFact(some.target)).add(some)
    return list(facts.values())


def _phones(found: PhoneLike) -> Iterator[str]:
    number, phones = found
    if number and phones * 2 > number:
        yield f"{phones} of {number} customer ids have 10 to 12 digits: are these phone numbers?"


def _swaps(targets: Sequence[TargetFact], *, swapped_before: bool) -> Iterator[str]:
    if swapped_before or _look_swapped(targets):
        yield "targetGroupId and targetId look swapped: a group holds targets"


def _look_swapped(targets: Sequence[TargetFact]) -> bool:
    """A target belongs to one group, so one "target" in many "groups" of one target each is odd."""
    groups = {(fact.target.org, fact.target.group) for fact in targets}
    rules = {(fact.target.org, fact.target.rule) for fact in targets}
    return len(rules) < len(groups) == len(targets)


def _growth(planned: Collection[int], every_source: Iterable[Source]) -> Iterator[str]:
    rows_before: dict[str, int] = {}
    for source in every_source:
        rows, last = source.row_count, rows_before.get(source.path)
        rows_before[source.path] = rows
        if last is None or source.id not in planned:
            continue
        if rows > FAR_MORE * last and rows - last >= FAR_MORE_LEAST_ROWS:
            yield f"{source.name} has {rows} rows, far more than the {last} it had last time"
