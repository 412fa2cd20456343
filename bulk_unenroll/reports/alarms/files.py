"""Files that look wrong, by themselves or beside what was done before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from bulk_unenroll.history.record import Content, Record, share_of
from bulk_unenroll.ledger.facts import Source
from bulk_unenroll.model import row_name
from bulk_unenroll.reports.alarms.seen import Seen, many, target_key

FAR_MORE: Final = 2
HALF: Final = 0.5
KNOWN_SHARE: Final = 0.2


def more_rows(seen: Seen) -> Iterator[str]:
    """Far more rows than when this file was confirmed last."""
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


def again(seen: Seen) -> Iterator[str]:
    """A file, or its customers, that was done before."""
    for source in seen.sources:
        if found := _says_so_itself(seen, source) or _same_content(seen, source):
            yield found
        elif done := _same_customers(seen, source):
            yield done


def _says_so_itself(seen: Seen, source: Source) -> str:
    """A file of results says of each row what became of it."""
    done = seen.noticed[source.id].get("done", 0)
    return done and (
        f"{many(done, 'row')} of {source.name} {'say' if done > 1 else 'says'} that the call"
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
    more = f" and {many(len(found) - 1, 'more input')}" if len(found) > 1 else ""
    return (
        f"About {share:.0%} of the customers of {source.name} were in a run before, for the same"
        f" target, in {_where(record, content)}{more}. They would be called again. This is probably"
        " an old list: compare it with the order."
    )


def _where(record: Record, content: Content) -> str:
    return f"{record.folder}, on {datetime.fromtimestamp(content.confirmed_s or 0.0):%d %b %Y}"


def other_target(seen: Seen) -> Iterator[str]:
    """The customers of another day, for another target."""
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
                        f"{source.name} was planned for target {short(before)} before, with the"
                        f" same customers. Now it is for {short(new)}: check the target's id."
                    )
                    return


def _is_pipe(path: str) -> bool:
    """Whether a path says nothing of what is read: the next command reads something else there."""
    return path.startswith(("-", "/dev/std", "/dev/fd/", "/proc/"))


def hidden_rows(seen: Seen) -> Iterator[str]:
    """Rows that a filter hides."""
    for source in seen.sources:
        hidden = seen.noticed[source.id].get("hidden_rows", 0)
        if hidden:
            yield (
                f"{many(hidden, 'row')} of {source.name} {'are' if hidden > 1 else 'is'} hidden,"
                " and would be called too. To call only those that are shown, copy them into a new"
                f" sheet. To call all {source.row_count:,}, show them: take the filter off."
            )


def second_header(seen: Seen) -> Iterator[str]:
    """A header inside the file: two exports joined."""
    for some in seen.invalid:
        if some.code == "second_header":
            yield (
                f"The header stands again in {some.row_name} of {some.source}. It is not called."
                " Two exports were probably joined: check that the rows after it belong to this"
                " order, too."
            )


def cut_off(seen: Seen) -> Iterator[str]:
    """A last line that was cut."""
    for source in seen.sources:
        noticed = seen.noticed[source.id]
        if "cut_off" in noticed:
            row = row_name(noticed["cut_off"], noticed.get("cut_off_line"), source.name)
            yield (
                f"The last row of {source.name}, {row}, has no line end and is shorter than all"
                " others. The file was probably cut: get it again."
            )


def short(key: str) -> str:
    return key.partition("/")[2]
