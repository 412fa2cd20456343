"""What alarms look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bulk_unenroll.history.record import Customers, Record
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import IdFacts, InvalidCount, Source
from bulk_unenroll.model import State, Target
from bulk_unenroll.reports.problems import TargetFact

SHARES_FROM: Final = 20
"""Alarms that weigh shares are silent with fewer customers/targets than this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in the inputs of a plan.

    ``swapped_before``: customers were taken out of a target whose two ids are these, swapped.
    ``here`` is what the history knows of this folder, ``records`` of others that call the same API.
    ``customers`` are samples, by source. ``some_done``: some customers were called before, and
    ``ids``, the ids in ``noticed`` and ``customers`` are of the others alone. ``never`` tells how
    the ids of each never-list look.
    """

    counts: Counts
    ids: IdFacts
    targets: Sequence[TargetFact]
    sources: Sequence[Source]
    every_source: Sequence[Source]
    noticed: Mapping[int, Mapping[str, Any]]
    invalid: Sequence[InvalidCount]
    swapped_before: bool
    here: Record | None = None
    records: Sequence[Record] = ()
    customers: Mapping[int, Customers] = field(default_factory=dict)
    some_done: bool = False
    never: Mapping[str, IdFacts] = field(default_factory=dict)

    @property
    def to_call(self) -> int:
        """How many customers/targets alarms are about."""
        return self.counts.states[State.PENDING] if self.some_done else self.counts.unique

    @property
    def open_targets(self) -> list[TargetFact]:
        """Their targets."""
        return [
            fact for fact in self.targets if not self.some_done or fact.states.get(State.PENDING)
        ]


Judge = Callable[[Seen], Iterator[str]]
"""Yields what looks wrong, in a manager's words: what was seen, what to do."""


def ids_seen(noticed: Iterable[Mapping[str, Any]]) -> IdFacts:
    """How the ids of all sources look together."""
    found = [IdFacts(**facts["ids"]) for facts in noticed if "ids" in facts]
    return found[0] if len(found) == 1 else sum(found, IdFacts())


def many(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def target_key(target: Target) -> str:
    """A target as the history names it: ``org/group/target``, 0 for SELF."""
    return f"{target.org or 0}/{target.group}/{target.rule}"
