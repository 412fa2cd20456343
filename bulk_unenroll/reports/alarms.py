"""What about the inputs looks wrong, in a manager's words: what was seen, what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.history.record import Content, Customers, Record
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import IdFacts, InvalidCount, Source
from bulk_unenroll.model import Alarm, Target, row_name
from bulk_unenroll.reports.problems import TargetFact

SHARES_FROM: Final = 20
"""Alarms that weigh shares are silent with fewer customers/targets than this."""
FAR_MORE: Final = 2
PHONE_DIGITS: Final = slice(10, 13)
CLEARLY_SHORTER: Final = 2
"""So many digits less than a phone number has."""
ONE_BASE: Final = 50_000_000
"""Ids that seem to be taken from a range no wider than this are the ids of one programme."""
FEW: Final = 3
KNOWN_SHARE: Final = 0.2
HALF: Final = 0.5
DRAGGED: Final = 5
"""A spreadsheet's drag-fill makes at least so many targets of a few customers each."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in the inputs of a plan.

    ``swapped_before``: customers were taken out of a target whose two ids are these, swapped.
    ``here`` is what the history knows of this folder, ``records`` of others that call the same API.
    ``customers`` are samples, by source.
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


class AlarmsRaised(InputRefused):
    """Alarms that nobody allowed; nothing is sent."""

    def __init__(self, alarms: Sequence[Alarm]) -> None:
        seen = " ".join(f"{alarm.name}: {alarm.text}" for alarm in alarms)
        names = " ".join(f"--allow {alarm.name}" for alarm in alarms)
        super().__init__(
            f"{'alarms' if len(alarms) > 1 else 'alarm'} {seen} Nothing was sent",
            f"check the file; if it is right all the same, add {names}",
            instead="plan",
        )


def alarms(seen: Seen) -> list[Alarm]:
    """The alarms that these inputs raise, in the order of ``NAMES``."""
    has_shares = seen.counts.unique >= SHARES_FROM
    return [
        Alarm(name, text)
        for name, (judge, weighs_shares) in _JUDGES.items()
        if has_shares or not weighs_shares
        for text in judge(seen)
    ]


# ── the customer ids ─────────────────────────────────────────────────────────────────────────────


def _phones(seen: Seen) -> Iterator[str]:
    ids, alike = seen.ids, sum(seen.ids.digits[PHONE_DIGITS])
    most = alike * 2 > ids.rows and not _is_one_base(ids)
    far_longer = 0 < _longest_other(ids) <= PHONE_DIGITS.start - CLEARLY_SHORTER
    if most or (far_longer and alike * 10 >= ids.rows):
        yield (
            f"{alike:,} of {ids.rows:,} customer ids have 10 to 12 digits"
            f"{', the others far fewer' if far_longer else ' and lie far apart'}. They are probably"
            " phone numbers: use the column that holds the customers' ids."
        )


def _longest_other(ids: IdFacts) -> int:
    """The most digits of an id that is not as long as a phone number."""
    others = [n for n, number in enumerate(ids.digits) if number and n not in range(10, 13)]
    return max(others, default=0)


def _is_one_base(ids: IdFacts) -> bool:
    """A programme's ids lie closer together than phone numbers do, but do not just count up."""
    return ids.width < ONE_BASE and not _count_up(ids) and ids.mobile * 2 < ids.rows


def _count_up(ids: IdFacts) -> bool:
    return ids.steps * 10 >= ids.rows * 9


def _rounded(seen: Seen) -> Iterator[str]:
    ids, long = seen.ids, sum(seen.ids.digits[16:])
    if ids.rows and ids.thousands * 10 >= ids.rows * 9:
        found = f"{ids.thousands:,} of {ids.rows:,} customer ids end in 000"
    elif long and ids.cut * 2 >= long:
        found = f"{ids.cut:,} of {long:,} long customer ids end in zeros after the 15th digit"
    else:
        return
    yield (
        f"{found}. A spreadsheet has probably rounded them, so they are other people's ids: export"
        " the list again, with the ids as text."
    )


def _short_ids(seen: Seen) -> Iterator[str]:
    ids, counts = seen.ids, seen.counts
    short = sum(ids.digits[:4])
    if short * 2 >= ids.rows and short:
        yield (
            f"{short:,} of {ids.rows:,} customer ids have 3 digits or fewer. They are probably row"
            " numbers or the ids of shops: use the column that holds the customers' ids."
        )
    elif counts.duplicate * 2 > counts.read - counts.invalid:
        yield (
            f"{counts.duplicate:,} of {counts.read:,} rows repeat a customer. The column probably"
            " holds something else than customers, such as a shop or a date: check which is used."
        )


def _in_sequence(seen: Seen) -> Iterator[str]:
    ids = seen.ids
    if ids.rows and _count_up(ids):
        yield (
            "The customer ids count up one by one. They are probably row numbers, or were filled in"
            " by dragging in a spreadsheet: use the column that holds the customers' ids."
        )
    elif ids.rows and ids.dates * 10 >= ids.rows * 9:
        yield (
            f"{ids.dates:,} of {ids.rows:,} customer ids are dates, such as 20261126: use the"
            " column that holds the customers' ids."
        )


def _outliers(seen: Seen) -> Iterator[str]:
    ids, short = seen.ids, 0
    for length, number in enumerate(ids.digits):
        short += number
        longer = ids.digits[length + 1 : length + 4]
        if number and short < ids.rows and not any(longer):
            if short <= max(1, (ids.rows - 1) // 100):
                yield (
                    f"{_many(short, 'customer id')} of at most {length} digits among {ids.rows:,}"
                    " that are far longer. It is probably a total or a row number: delete such"
                    " rows."
                )
            return


# ── the targets ──────────────────────────────────────────────────────────────────────────────────


def _swapped(seen: Seen) -> Iterator[str]:
    if seen.swapped_before or _swapped_elsewhere(seen) or _one_rule_in_many_groups(seen.targets):
        first = seen.targets[0].target
        yield (
            f"Ids of groups and targets look swapped: group {first.group} with target {first.rule},"
            " for instance. A group holds several targets: compare both with the campaign."
        )
    elif len(seen.targets) >= SHARES_FROM and seen.ids.customers * 2 < len(seen.targets):
        yield (
            f"{_many(seen.ids.customers, 'customer')} would be taken out of {len(seen.targets):,}"
            " targets. The columns of customers and targets look swapped: check the header."
        )


def _swapped_elsewhere(seen: Seen) -> bool:
    """Whether the history knows these targets with their two ids the other way round."""
    taken = {name for record in seen.records for name in record.taken}
    names = {fact.target for fact in seen.targets}
    return bool(names) and all(
        target_key(target) not in taken
        and target_key(target._replace(group=target.rule, rule=target.group)) in taken
        for target in names
    )


def _one_rule_in_many_groups(targets: Sequence[TargetFact]) -> bool:
    """A target belongs to one group: one "target" in several "groups" suggests a swap."""
    groups = {(fact.target.org, fact.target.group) for fact in targets}
    rules = {(fact.target.org, fact.target.rule) for fact in targets}
    return len(rules) < len(groups) == len(targets)


def _own_targets(seen: Seen) -> Iterator[str]:
    targets, customers = len(seen.targets), seen.ids.customers
    if customers and targets * 5 >= customers * 4:
        yield (
            f"There are {targets:,} targets for {customers:,} customers. The column probably holds"
            " each customer's own target id: targetId is the id of the target rule, which all"
            " customers of a milestone share."
        )


def _targets_in_sequence(seen: Seen) -> Iterator[str]:
    small = sorted(fact.target for fact in seen.targets if fact.unique <= FEW)
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


# ── the files ────────────────────────────────────────────────────────────────────────────────────


def _more_rows(seen: Seen) -> Iterator[str]:
    planned = {source.id for source in seen.sources}
    known = sorted(
        (content.confirmed_s, content.path, content.rows)
        for record in seen.records
        for content in record.contents
        if content.confirmed_s is not None
    )
    confirmed_rows = {path: rows for _, path, rows in known}
    for source in seen.every_source:
        rows, last = source.row_count, confirmed_rows.get(source.path)
        if source.confirmed_s is not None:
            confirmed_rows[source.path] = rows
        if last is not None and source.id in planned and rows > FAR_MORE * last:
            yield (
                f"{source.name} has {rows:,} rows; when it was confirmed last it had {last:,}."
                " It may hold more people than were meant: compare it with the order."
            )


def _again(seen: Seen) -> Iterator[str]:
    for source in seen.sources:
        for record in seen.records:
            for content in record.contents:
                if content.confirmed_s is None:
                    continue
                if found := _done_before(seen, source, record, content):
                    yield found
                    return


def _done_before(seen: Seen, source: Source, record: Record, content: Content) -> str:
    """What of an input was done in another folder; "" if little was."""
    day = f"{datetime.fromtimestamp(content.confirmed_s or 0.0):%d %b %Y}"
    where = f"{record.folder}, on {day}"
    if content.sha256 == source.sha256:
        return (
            f"{source.name} was run before with the same content, in {where}. To go on with that"
            " order, use that folder."
        )
    same_targets = {target_key(fact.target) for fact in seen.targets} & set(content.targets)
    share = record.share_in(content, seen.customers[source.id]) if same_targets else 0.0
    if share < KNOWN_SHARE:
        return ""
    return (
        f"About {share:.0%} of the customers of {source.name} were in a run before, for the same"
        f" target, in {where}. This is probably an old list: compare it with the order."
    )


def _other_target(seen: Seen) -> Iterator[str]:
    now = {target_key(fact.target) for fact in seen.targets}
    records = [*([seen.here] if seen.here else []), *seen.records]
    for source in seen.sources:
        for record in records:
            for content in record.contents:
                is_other = content.path == source.path and not now & set(content.targets)
                if is_other and record.share_in(content, seen.customers[source.id]) > HALF:
                    before, new = min(content.targets), min(now, default="")
                    yield (
                        f"{source.name} was planned for target {_short(before)} before, with the"
                        f" same customers. Now it is for {_short(new)}: check the target's id."
                    )
                    return


def target_key(target: Target) -> str:
    """A target as the history names it: ``org/group/target``, 0 for SELF."""
    return f"{target.org or 0}/{target.group}/{target.rule}"


def _short(key: str) -> str:
    return key.partition("/")[2]


def _hidden_rows(seen: Seen) -> Iterator[str]:
    for source in seen.sources:
        hidden = seen.noticed[source.id].get("hidden_rows", 0)
        if hidden:
            yield (
                f"A filter hides {_many(hidden, 'row')} of {source.name}, and they would be called"
                " too. Copy the rows that are meant into a new sheet, or take the filter off."
            )


def _second_header(seen: Seen) -> Iterator[str]:
    for some in seen.invalid:
        if some.code == "second_header":
            yield (
                f"The header stands again in {some.row_name}. Two exports were probably"
                " joined: check that both belong to this order."
            )


def _cut_off(seen: Seen) -> Iterator[str]:
    for source in seen.sources:
        noticed = seen.noticed[source.id]
        if "cut_off" in noticed:
            row = row_name(noticed["cut_off"], noticed.get("cut_off_line"), source.name)
            yield (
                f"The last row of {source.name}, {row}, has no line end and is shorter than all"
                " others. The file was probably cut: get it again."
            )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


_JUDGES: Final = {
    "phones": (_phones, True),
    "rounded": (_rounded, True),
    "swapped": (_swapped, True),
    "own-targets": (_own_targets, True),
    "targets-in-sequence": (_targets_in_sequence, True),
    "short-ids": (_short_ids, True),
    "in-sequence": (_in_sequence, True),
    "outliers": (_outliers, True),
    "more-rows": (_more_rows, True),
    "second-header": (_second_header, False),
    "cut-off": (_cut_off, False),
    "hidden-rows": (_hidden_rows, False),
    "again": (_again, False),
    "other-target": (_other_target, False),
}
"""Of each alarm the function that yields its text, and whether it weighs shares."""
NAMES: Final[Collection[str]] = tuple(_JUDGES)
"""Every alarm, in the order in which they are shown."""


def ids_seen(noticed: Iterable[Mapping[str, Any]]) -> IdFacts:
    """How the ids of all sources look together."""
    return sum((IdFacts(**facts["ids"]) for facts in noticed if "ids" in facts), IdFacts())
