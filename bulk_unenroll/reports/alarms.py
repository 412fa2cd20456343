"""What about the inputs looks wrong, in a manager's words: what was seen, what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.ledger.facts import InvalidCount, PhoneLike, Source
from bulk_unenroll.model import Alarm
from bulk_unenroll.reports.problems import TargetFact

NAMES: Final = ("phones", "swapped", "more-rows", "second-header", "cut-off")
"""Every alarm, in the order in which they are shown."""
SHARES_FROM: Final = 20
"""Alarms that weigh shares are silent with fewer customers/targets than this."""
FAR_MORE: Final = 2


class AlarmsRaised(InputRefused):
    """Alarms that nobody allowed; nothing is sent."""

    def __init__(self, alarms: Sequence[Alarm]) -> None:
        seen = " ".join(f"{alarm.name}: {alarm.text}" for alarm in alarms)
        names = " ".join(f"--allow {alarm.name}" for alarm in alarms)
        super().__init__(
            f"{'alarms' if len(alarms) > 1 else 'alarm'} {seen} Nothing was sent",
            f"check the file; if it is right all the same, add {names}",
        )


def phones(found: PhoneLike) -> Iterator[Alarm]:
    """Most customer ids look like phone numbers."""
    number, alike = found
    if number >= SHARES_FROM and alike * 2 > number:
        yield Alarm(
            "phones",
            f"{alike:,} of {number:,} customer ids have 10 to 12 digits. They are probably phone"
            " numbers: use the column that holds the customers' ids.",
        )


def swapped(targets: Sequence[TargetFact], unique: int, *, before: bool) -> Iterator[Alarm]:
    """Ids of groups and targets look swapped. ``before``: this folder knows them the other way."""
    if unique >= SHARES_FROM and (before or _look_swapped(targets)):
        first = targets[0].target
        yield Alarm(
            "swapped",
            f"Ids of groups and targets look swapped: group {first.group} with target {first.rule},"
            " for instance. A group holds several targets: compare both with the campaign.",
        )


def _look_swapped(targets: Sequence[TargetFact]) -> bool:
    """A target belongs to one group: one "target" in several "groups" suggests a swap."""
    groups = {(fact.target.org, fact.target.group) for fact in targets}
    rules = {(fact.target.org, fact.target.rule) for fact in targets}
    return len(rules) < len(groups) == len(targets)


def more_rows(planned: Collection[int], every_source: Iterable[Source]) -> Iterator[Alarm]:
    """A file has far more rows than it had when it was confirmed last."""
    confirmed_rows: dict[str, int] = {}
    for source in every_source:
        rows, last = source.row_count, confirmed_rows.get(source.path)
        if source.confirmed_s is not None:
            confirmed_rows[source.path] = rows
        if last is None or source.id not in planned:
            continue
        if rows >= SHARES_FROM and rows > FAR_MORE * last:
            yield Alarm(
                "more-rows",
                f"{source.name} has {rows:,} rows; when it was confirmed last it had {last:,}."
                " It may hold more people than were meant: compare it with the order.",
            )


def second_header(invalid: Iterable[InvalidCount]) -> Iterator[Alarm]:
    """A row repeats the header."""
    for some in invalid:
        if some.code == "second_header":
            yield Alarm(
                "second-header",
                f"The header stands again in row {some.first_row:,}. Two exports were probably"
                " joined: check that both belong to this order.",
            )


def cut_off(sources: Iterable[Source], noticed: Mapping[int, Mapping[str, Any]]) -> Iterator[Alarm]:
    """The last record was probably cut, so its ids may be another customer's."""
    for source in sources:
        row = noticed[source.id].get("cut_off")
        if row is not None:
            yield Alarm(
                "cut-off",
                f"The last row of {source.name}, row {row:,}, has no line end and is shorter than"
                " all others. The file was probably cut: get it again.",
            )
