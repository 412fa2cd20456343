"""The plan: counts, what earlier runs settled, what changed, and what looks wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import InvalidCount, PhoneLike, Source, StateCount
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import Target
from bulk_unenroll.reports.problems import TargetFact
from bulk_unenroll.settings import RUN_MAX_INVALID, Limit, Rate

FAR_MORE: Final = 2
FAR_MORE_LEAST_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about the inputs that looks wrong: its name, and a description."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a plan shows. ``to_call`` customers/targets would be called.

    ``id`` changes with the contents of the inputs, how they are read, and their targets. ``known``
    counts enrollments that the ledger had before, ``gone`` those no longer in the file. ``exit`` is
    how ``plan`` ends; ``run_refuses``: too many rows are invalid for a run. ``estimate_s`` is how
    long the calls take at the given rate.
    """

    folder: str
    id: str
    exit: Exit
    sources: list[Source]
    counts: Counts
    targets: list[TargetFact]
    invalid: list[InvalidCount]
    to_call: int
    known: int
    gone: int
    alarms: list[Alarm]
    run_refuses: bool
    estimate_s: float


class TooManyInvalid(InputRefused):
    """More rows are invalid than ``--max-invalid`` allows. ``plan`` is that of a refused run."""

    def __init__(self, invalid: int, read: int, plan: Plan | None = None) -> None:
        super().__init__(
            f"{invalid} of {read} rows are invalid: more than --max-invalid allows",
            "fix the file, or allow more",
        )
        self.plan = plan


def survey(
    reader: LedgerReader,
    folder: str,
    sources: Sequence[int],
    *,
    reading: str,
    rate: Rate,
    resend_after_s: float,
    max_invalid: Limit | None,
) -> Plan:
    """Return the plan of ``sources`` in the ledger of ``folder``.

    ``reading`` is the signature of how they were read. With ``max_invalid`` None no number of
    invalid rows is refused.
    """
    by_target = reader.counts_by_target(sources)
    counts = count(reader, sources, by_target)
    to_call = callable_count(reader, sources, resend_after_s, counts)
    targets = _targets(by_target)
    compared = reader.compare(sources)
    every_source, planned = reader.sources(), frozenset(sources)
    shown = [source for source in every_source if source.id in planned]
    return Plan(
        folder=folder,
        id=_plan_id(shown, reading, targets),
        exit=_exit(counts, to_call, max_invalid),
        sources=shown,
        counts=counts,
        targets=targets,
        invalid=reader.invalid_counts(sources),
        to_call=to_call,
        known=compared.known,
        gone=compared.gone,
        alarms=[
            *_phones(reader.phone_like(sources)),
            *_swaps(targets, swapped_before=reader.swapped_before(sources)),
            *_growth(planned, every_source),
        ],
        run_refuses=(max_invalid or RUN_MAX_INVALID).exceeded(counts.invalid, counts.read),
        estimate_s=to_call / rate.per_s,
    )


def _plan_id(sources: Iterable[Source], reading: str, targets: Iterable[TargetFact]) -> str:
    contents = sorted(source.sha256 for source in sources)
    counted = sorted((str(fact), fact.unique) for fact in targets)
    return hashlib.sha256(json.dumps([contents, reading, counted]).encode()).hexdigest()[:12]


def _exit(counts: Counts, to_call: int, max_invalid: Limit | None) -> Exit:
    if max_invalid is not None and max_invalid.exceeded(counts.invalid, counts.read):
        return Exit(ExitCode.INPUT_REFUSED, str(TooManyInvalid(counts.invalid, counts.read)))
    if counts.invalid:
        return Exit(ExitCode.ROWS_FAILED, f"{counts.invalid} invalid rows")
    return Exit(ExitCode.FINISHED, f"{to_call} to call")


def _targets(by_target: Iterable[StateCount]) -> list[TargetFact]:
    facts: dict[Target, TargetFact] = {}
    for some in by_target:
        facts.setdefault(some.target, TargetFact(some.target)).add(some)
    return list(facts.values())


def _phones(found: PhoneLike) -> Iterator[Alarm]:
    number, phones = found
    if number and phones * 2 > number:
        text = f"{phones} of {number} customer ids have 10 to 12 digits: are these phone numbers?"
        yield Alarm("phones", text)


def _swaps(targets: Sequence[TargetFact], *, swapped_before: bool) -> Iterator[Alarm]:
    if swapped_before or _look_swapped(targets):
        yield Alarm("swapped", "targetGroupId and targetId look swapped: a group holds targets")


def _look_swapped(targets: Sequence[TargetFact]) -> bool:
    """A target belongs to one group: one "target" in several "groups" suggests a swap."""
    groups = {(fact.target.org, fact.target.group) for fact in targets}
    rules = {(fact.target.org, fact.target.rule) for fact in targets}
    return len(rules) < len(groups) == len(targets)


def _growth(planned: Collection[int], every_source: Iterable[Source]) -> Iterator[Alarm]:
    rows_before: dict[str, int] = {}
    for source in every_source:
        rows, last = source.row_count, rows_before.get(source.path)
        rows_before[source.path] = rows
        if last is None or source.id not in planned:
            continue
        if rows > FAR_MORE * last and rows - last >= FAR_MORE_LEAST_ROWS:
            text = f"{source.name} has {rows} rows, far more than the {last} it had last time"
            yield Alarm("more-rows", text)
