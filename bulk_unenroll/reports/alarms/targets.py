"""Targets that look wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from bulk_unenroll.model import Target
from bulk_unenroll.reports.alarms.seen import SHARES_FROM, Seen, many, target_key
from bulk_unenroll.reports.problems import TargetFact

DRAGGED: Final = 5
"""A spreadsheet's drag-fill makes at least so many targets of a few customers each."""
FEW: Final = 3


def swapped(seen: Seen) -> Iterator[str]:
    """Two columns in each other's place."""
    targets, customers = len(seen.open_targets), seen.ids.customers
    if targets >= SHARES_FROM and customers * 2 < targets:
        groups, rules = _groups(seen.open_targets), _rules(seen.open_targets)
        other = "groups" if len(groups) > len(rules) else "targets"
        yield (
            f"{many(customers, 'customer')} would be taken out of {targets:,} targets. The columns"
            f" of customers and {other} look swapped: choose them the other way round."
        )
    elif seen.swapped_before or _swapped_elsewhere(seen):
        first = seen.open_targets[0].target
        yield (
            f"Group {first.group} with target {first.rule} is new, but customers were taken out of"
            f" group {first.rule} with target {first.group} before. The two columns look swapped:"
            " choose them the other way round."
        )
    elif _one_rule_in_many_groups(seen.open_targets):
        rules = _rules(seen.open_targets)
        yield (
            f"{many(len(rules), 'target')} would stand in {len(seen.open_targets):,} groups, but a"
            " target belongs to one group. The two columns look swapped: compare an id of each with"
            " the campaign, and if they are, choose them the other way round."
        )


def _swapped_elsewhere(seen: Seen) -> bool:
    """Whether the history knows these targets with their two ids the other way round."""
    taken = {name for record in seen.records for name in record.taken}
    names = {fact.target for fact in seen.open_targets}
    return bool(names) and all(
        target_key(target) not in taken
        and target_key(target._replace(group=target.rule, rule=target.group)) in taken
        for target in names
    )


def _one_rule_in_many_groups(targets: Sequence[TargetFact]) -> bool:
    """A target belongs to one group: one "target" in several "groups" suggests a swap."""
    return len(_rules(targets)) < len(_groups(targets)) == len(targets)


def _groups(targets: Sequence[TargetFact]) -> set[tuple[int | None, int]]:
    return {(fact.target.org, fact.target.group) for fact in targets}


def _rules(targets: Sequence[TargetFact]) -> set[tuple[int | None, int]]:
    return {(fact.target.org, fact.target.rule) for fact in targets}


def own_targets(seen: Seen) -> Iterator[str]:
    """A target of its own for nearly every customer."""
    targets, customers = len(seen.open_targets), seen.ids.customers
    if customers and targets * 5 >= customers * 4:
        yield (
            f"There are {targets:,} targets for {customers:,} customer{'s' * (customers != 1)}."
            " The column probably holds each customer's own target id: targetId is the id of the"
            " target rule, which all customers of a milestone share."
        )


def targets_in_sequence(seen: Seen) -> Iterator[str]:
    """Targets that a spreadsheet's drag-fill counted up."""
    small = sorted(fact.target for fact in seen.open_targets if fact.unique <= FEW)
    run = longest = small[:1]
    for before, after in pairwise(small):
        run = [*run, after] if _follows(before, after) else [after]
        longest = max(longest, run, key=len)
    if len(longest) >= DRAGGED:
        yield (
            f"{len(longest):,} targets with a few customers each have ids that count up, from"
            f" {longest[0]} to {longest[-1]}. A spreadsheet has probably filled them in by"
            " dragging: write the one target that is meant into every row."
        )


def _follows(before: Target, after: Target) -> bool:
    return after in (
        before._replace(rule=before.rule + 1),
        before._replace(group=before.group + 1),
        before._replace(group=before.group + 1, rule=before.rule + 1),
    )
