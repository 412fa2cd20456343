"""The short id of a plan, and what differs between a plan and the run that follows it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bulk_unenroll.ledger.facts import Source
from bulk_unenroll.model import Alarm

if TYPE_CHECKING:
    from bulk_unenroll.reports.plan import Destination
    from bulk_unenroll.reports.problems import TargetFact

SHOWN_TARGETS: Final = 3
WORDS: Final[Mapping[str, str]] = {
    "sources": "the contents of the inputs",
    "reading": "how the inputs are read, or the never-lists",
    "destination": "the destination",
    "user": "the user of the API",
    "alarms": "the alarms",
}
"""What a part of a plan is called. The targets are told one by one."""
OPEN: Final = frozenset({"destination", "user"})
"""Parts that may not be known yet when a plan is made."""


def plan_parts(
    sources: Iterable[Source],
    reading: str,
    destination: Destination,
    targets: Iterable[TargetFact],
    alarms: Sequence[Alarm],
) -> dict[str, Any]:
    """What a plan is made of. A destination or user that is not known yet is None."""
    known = destination.rehearsal or destination.base_url
    return {
        "sources": sorted(source.sha256 for source in sources),
        "reading": reading,
        "destination": destination.place if known else None,
        "user": destination.user,
        "targets": {str(fact): fact.unique for fact in sorted(targets, key=str)},
        "alarms": sorted(alarm.name for alarm in alarms),
    }


def plan_id(parts: Mapping[str, object]) -> str:
    """The id of a plan with these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def differences(planned: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was planned, in words. A plan without a destination or user fits any."""
    for part, words in WORDS.items():
        is_open = part in OPEN and planned.get(part) is None
        if planned.get(part) != now[part] and not is_open:
            yield words
    before, after = planned["targets"], now["targets"]
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    for name in changed[:SHOWN_TARGETS]:
        yield f"{name}: {after.get(name, 0):,} customers, not {before.get(name, 0):,}"
    if len(changed) > SHOWN_TARGETS:
        yield f"{len(changed) - SHOWN_TARGETS} more targets"
