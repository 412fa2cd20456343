"""What about the inputs looks wrong, in a manager's words: what was seen, what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice, pairwise
from typing import Any, Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.history.record import Content, Customers, Record, share_of
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import IdFacts, InvalidCount, Source
from bulk_unenroll.model import Alarm, State, Target, row_name
from bulk_unenroll.reports.problems import TargetFact

SHARES_FROM: Final = 20
"""Alarms that weigh shares are silent with fewer customers/targets than this."""
FAR_MORE: Final = 2
PHONE_DIGITS: Final = slice(10, 13)
CLEARLY_SHORTER: Final = 9
"""With fewer digits than this an id is no phone number that lost some."""
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
    has_shares = seen.to_call >= SHARES_FROM
    return [
        Alarm(name, text)
        for name, (judge, weighs_shares) in _JUDGES.items()
        if has_shares or not weighs_shares
        for text in judge(seen)
    ]


# ── the customer ids ─────────────────────────────────────────────────────────────────────────────


def _phones(ids: IdFacts, where: str) -> Iterator[str]:
    alike = sum(ids.digits[PHONE_DIGITS])
    others, shorter = ids.rows - alike, sum(ids.digits[:CLEARLY_SHORTER])
    most = alike * 2 > ids.rows and not _is_one_base(ids)
    far_longer = 0 < others * 9 <= shorter * 10
    if most or (far_longer and alike * 10 >= ids.rows):
        yield (
            f"{alike:,} of {ids.rows:,} customer ids{where} have 10 to 12 digits"
            f"{', the others far fewer' if far_longer else ' and lie far apart'}. They are probably"
            " phone numbers: use the column that holds the customers' ids."
        )


def _is_one_base(ids: IdFacts) -> bool:
    """A programme's ids lie closer together than phone numbers do, but do not just count up."""
    mostly_mobile = ids.mobile * 2 > sum(ids.digits[PHONE_DIGITS])
    return ids.width < ONE_BASE and not _count_up(ids) and not mostly_mobile


def _count_up(ids: IdFacts) -> bool:
    return ids.steps * 10 >= ids.changes * 9 > 0


def _rounded(ids: IdFacts, where: str) -> Iterator[str]:
    long = sum(ids.digits[16:])
    if ids.rows and ids.thousands * 10 >= ids.rows * 9:
        found = f"{ids.thousands:,} of {ids.rows:,} customer ids{where} end in 000"
    elif long and ids.cut * 2 >= long:
        found = (
            f"{ids.cut:,} of {long:,} long customer ids{where} end in zeros after the 15th digit"
        )
    else:
        return
    yield (
        f"{found}. A spreadsheet has probably rounded them, so they are other people's ids: export"
        " the list again, with the ids as text."
    )


def _short_ids(ids: IdFacts, where: str) -> Iterator[str]:
    short = sum(ids.digits[:4])
    if short * 2 >= ids.rows and short:
        yield (
            f"{short:,} of {ids.rows:,} customer ids{where} have 3 digits or fewer. They are"
            " probably row numbers or the ids of shops: use the column that holds the"
            " customers' ids."
        )


def _repeated(seen: Seen) -> Iterator[str]:
    counts = seen.counts
    if counts.duplicate * 2 > counts.read - counts.invalid:
        yield (
            f"{counts.duplicate:,} of {counts.read:,} rows repeat a customer. The column probably"
            " holds something else than customers, such as a shop or a date: check which is used."
        )


def _in_sequence(ids: IdFacts, where: str) -> Iterator[str]:
    if _count_up(ids):
        yield (
            f"The customer ids{where} count up or down one by one. They are probably row numbers,"
            " or were filled in by dragging in a spreadsheet: use the column that holds the"
            " customers' ids."
        )
    elif ids.rows and ids.dates * 10 >= ids.rows * 9:
        yield (
            f"{ids.dates:,} of {ids.rows:,} customer ids{where} are dates, such as 20261126: use"
            " the column that holds the customers' ids."
        )


def _outliers(ids: IdFacts, where: str) -> Iterator[str]:
    short = 0
    for length, number in enumerate(ids.digits):
        short += number
        longer = ids.digits[length + 1 : length + 4]
        if number and short < ids.rows and not any(longer):
            if short <= max(1, (ids.rows - 1) // 100):
                yield (
                    f"{_many(short, 'customer id')}{where} of at most {length} digits among"
                    f" {ids.rows:,} that are far longer{_first_short(ids)}. It is probably a total"
                    " or a row number: delete such rows."
                )
            return


def _first_short(ids: IdFacts) -> str:
    return f", the shortest in row {ids.shortest_row:,}" if ids.shortest_row else ""


def _of_all_and_each(judge: Callable[[IdFacts, str], Iterator[str]]) -> Judge:
    """Judges the ids of all inputs, then of each: among many good files a bad one still shows."""

    def judge_all(seen: Seen) -> Iterator[str]:
        each = {source.name: seen.noticed[source.id].get("ids") for source in seen.sources}
        left = " that would be called" if seen.some_done else ""
        of_each = [(IdFacts(**facts), f" of {name}{left}") for name, facts in each.items() if facts]
        for ids, where in [(seen.ids, left), *(of_each if len(of_each) > 1 else ())]:
            if ids.rows >= SHARES_FROM and (found := next(judge(ids, where), "")):
                yield found
                return

    return judge_all


def _of_never_lists_too(judge: Callable[[IdFacts, str], Iterator[str]]) -> Judge:
    """A never-list of numbers that are no customers protects nobody."""

    def judge_lists(seen: Seen) -> Iterator[str]:
        for name, ids in seen.never.items():
            if ids.rows >= SHARES_FROM:
                yield from judge(ids, f" of the never-list {name}")

    return _first_of(_of_all_and_each(judge), judge_lists)


def _first_of(*judges: Judge) -> Judge:
    return lambda seen: (
        text for text in [*islice(chain.from_iterable(j(seen) for j in judges), 1)]
    )


# ── the targets ──────────────────────────────────────────────────────────────────────────────────


def _swapped(seen: Seen) -> Iterator[str]:
    targets, customers = len(seen.open_targets), seen.ids.customers
    if targets >= SHARES_FROM and customers * 2 < targets:
        groups, rules = _groups(seen.open_targets), _rules(seen.open_targets)
        other = "groups" if len(groups) > len(rules) else "targets"
        yield (
            f"{_many(customers, 'customer')} would be taken out of {targets:,} targets. The columns"
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
            f"{_many(len(rules), 'target')} would stand in {len(seen.open_targets):,} groups, but a"
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


def _own_targets(seen: Seen) -> Iterator[str]:
    targets, customers = len(seen.open_targets), seen.ids.customers
    if customers and targets * 5 >= customers * 4:
        yield (
            f"There are {targets:,} targets for {customers:,} customer{'s' * (customers != 1)}."
            " The column probably holds each customer's own target id: targetId is the id of the"
            " target rule, which all customers of a milestone share."
        )


def _targets_in_sequence(seen: Seen) -> Iterator[str]:
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


# ── the files ────────────────────────────────────────────────────────────────────────────────────


def _more_rows(seen: Seen) -> Iterator[str]:
    planned = {source.id for source in seen.sources}
    known = sorted(
        (content.confirmed_s, content.path, content.rows)
        for record in seen.records
        for content in record.contents
        if content.confirmed_s is not None and not _is_pipe(content.path)
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
        if found := _says_so_itself(seen, source) or _same_content(seen, source):
            yield found
        elif done := _same_customers(seen, source):
            yield done


def _says_so_itself(seen: Seen, source: Source) -> str:
    """A file of results says of each row what became of it."""
    done = seen.noticed[source.id].get("done", 0)
    return done and (
        f"{_many(done, 'row')} of {source.name} {'say' if done > 1 else 'says'} that the call"
        " succeeded before. This is a file of results: failed.csv beside it holds the rows that are"
        " left to mend."
    )


def _done_elsewhere(seen: Seen) -> list[tuple[Record, Content]]:
    return [
        (record, content)
        for record in seen.records
        for content in record.contents
        if content.confirmed_s is not None
    ]


def _same_content(seen: Seen, source: Source) -> str:
    for record, content in _done_elsewhere(seen):
        if content.sha256 == source.sha256:
            return (
                f"{source.name} was run before with the same content, in {_where(record, content)}."
                " Its customers would be called again. To go on with that order, do it there."
            )
    return ""


def _same_customers(seen: Seen, source: Source) -> str:
    """Whether much of an input was done before, in one input or in several that it joins."""
    customers = seen.customers[source.id]
    targets = {target_key(fact.target) for fact in seen.targets}
    found = [
        (hits, record, content)
        for record, content in _done_elsewhere(seen)
        if targets & set(content.targets) and (hits := record.found_in(content, customers))
    ]
    shares = [share_of(hits, customers, content.until) for hits, _, content in found]
    if found:
        every = set().union(*(hits for hits, _, _ in found))
        shares.append(share_of(every, customers, min(content.until for _, _, content in found)))
    share = max(shares, default=0.0)
    if share < KNOWN_SHARE:
        return ""
    _, record, content = max(found, key=lambda one: len(one[0]))
    more = f" and {_many(len(found) - 1, 'more input')}" if len(found) > 1 else ""
    return (
        f"About {share:.0%} of the customers of {source.name} were in a run before, for the same"
        f" target, in {_where(record, content)}{more}. They would be called again. This is probably"
        " an old list: compare it with the order."
    )


def _where(record: Record, content: Content) -> str:
    return f"{record.folder}, on {datetime.fromtimestamp(content.confirmed_s or 0.0):%d %b %Y}"


def _other_target(seen: Seen) -> Iterator[str]:
    now = {target_key(fact.target) for fact in seen.targets}
    records = [*([seen.here] if seen.here else []), *seen.records]
    for source in seen.sources:
        for record in records:
            for content in record.contents:
                is_same = content.path == source.path and not _is_pipe(content.path)
                is_other = is_same and not now & set(content.targets)
                if is_other and record.share_in(content, seen.customers[source.id]) > HALF:
                    before, new = min(content.targets), min(now, default="")
                    yield (
                        f"{source.name} was planned for target {_short(before)} before, with the"
                        f" same customers. Now it is for {_short(new)}: check the target's id."
                    )
                    return


def _is_pipe(path: str) -> bool:
    """Whether a path says nothing of what is read: the next command reads something else there."""
    return path.startswith(("-", "/dev/std", "/dev/fd/", "/proc/"))


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
                f"{_many(hidden, 'row')} of {source.name} {'are' if hidden > 1 else 'is'} hidden,"
                " and would be called too. To call only those that are shown, copy them into a new"
                f" sheet. To call all {source.row_count:,}, show them: take the filter off."
            )


def _second_header(seen: Seen) -> Iterator[str]:
    for some in seen.invalid:
        if some.code == "second_header":
            yield (
                f"The header stands again in {some.row_name} of {some.source}. It is not called."
                " Two exports were probably joined: check that the rows after it belong to this"
                " order, too."
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
    "phones": (_of_never_lists_too(_phones), True),
    "rounded": (_of_never_lists_too(_rounded), True),
    "swapped": (_swapped, True),
    "own-targets": (_own_targets, True),
    "targets-in-sequence": (_targets_in_sequence, True),
    "short-ids": (_first_of(_of_all_and_each(_short_ids), _repeated), True),
    "in-sequence": (_of_all_and_each(_in_sequence), True),
    "outliers": (_of_all_and_each(_outliers), True),
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
    found = [IdFacts(**facts["ids"]) for facts in noticed if "ids" in facts]
    return found[0] if len(found) == 1 else sum(found, IdFacts())
