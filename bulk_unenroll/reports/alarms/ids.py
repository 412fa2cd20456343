"""Customer ids that look wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final

from bulk_unenroll.ledger.facts import IdFacts
from bulk_unenroll.reports.alarms.seen import SHARES_FROM, Judge, Seen, many

PHONE_DIGITS: Final = slice(10, 13)
CLEARLY_SHORTER: Final = 9
"""With fewer digits than this an id is no phone number that lost some."""
ONE_BASE: Final = 50_000_000
"""Ids that seem to be taken from a range no wider than this are the ids of one programme."""


def phones(ids: IdFacts, where: str) -> Iterator[str]:
    """Telephone numbers in place of ids."""
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


def rounded(ids: IdFacts, where: str) -> Iterator[str]:
    """Long ids that a spreadsheet rounded."""
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


def short_ids(ids: IdFacts, where: str) -> Iterator[str]:
    """Numbers too short for customers: of rows, or of shops."""
    short = sum(ids.digits[:4])
    if short * 2 >= ids.rows and short:
        yield (
            f"{short:,} of {ids.rows:,} customer ids{where} have 3 digits or fewer. They are"
            " probably row numbers or the ids of shops: use the column that holds the"
            " customers' ids."
        )


def repeated(seen: Seen) -> Iterator[str]:
    """Few customers in many rows."""
    counts = seen.counts
    if counts.duplicate * 2 > counts.read - counts.invalid:
        yield (
            f"{counts.duplicate:,} of {counts.read:,} rows repeat a customer. The column probably"
            " holds something else than customers, such as a shop or a date: check which is used."
        )


def in_sequence(ids: IdFacts, where: str) -> Iterator[str]:
    """Numbers that count up: of rows, not of customers."""
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


def outliers(ids: IdFacts, where: str) -> Iterator[str]:
    """A few ids far shorter than all others."""
    short = 0
    for length, number in enumerate(ids.digits):
        short += number
        longer = ids.digits[length + 1 : length + 4]
        if number and short < ids.rows and not any(longer):
            if short <= max(1, (ids.rows - 1) // 100):
                yield (
                    f"{many(short, 'customer id')}{where} of at most {length} digits among"
                    f" {ids.rows:,} that are far longer{_first_short(ids)}. It is probably a total"
                    " or a row number: delete such rows."
                )
            return


def _first_short(ids: IdFacts) -> str:
    return f", the shortest in row {ids.shortest_row:,}" if ids.shortest_row else ""


def of_all_and_each(judge: Callable[[IdFacts, str], Iterator[str]]) -> Judge:
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


def of_never_lists_too(judge: Callable[[IdFacts, str], Iterator[str]]) -> Judge:
    """A never-list of numbers that are no customers protects nobody."""

    def judge_lists(seen: Seen) -> Iterator[str]:
        for name, ids in seen.never.items():
            if ids.rows >= SHARES_FROM:
                yield from judge(ids, f" of the never-list {name}")

    return first_of(of_all_and_each(judge), judge_lists)


def first_of(*judges: Judge) -> Judge:
    return lambda seen: (
        text for text in [*islice(chain.from_iterable(j(seen) for j in judges), 1)]
    )
