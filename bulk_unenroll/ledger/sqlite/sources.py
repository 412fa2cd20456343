"""The sources of a ledger: found again, added, dropped, confirmed. Each function is one step."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Final

from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.model import Alarm

DROPS: Final = (
    "drop_items",
    "drop_chunks",
    "drop_rows",
    "drop_shares",
    "drop_lines",
    "drop_noticed",
    "drop_parts",
    "drop_source",
)


def find_source(connection: Writer, info: SourceInfo) -> int | None:
    """The source with this path, content and reading, planned again, if it was read before."""
    with connection.transaction():
        found = connection.fetch_all(
            "find_source", path=info.path, sha256=info.sha256, reading=info.reading
        )
        if not found:
            return None
        source: int = found[0][0]
        _add_part(connection, source, info)
        if connection.execute("plan_again", source=source).rowcount:
            connection.execute("unwithdraw", source=source, now=time.time())
        return source


def add_source(connection: Writer, info: SourceInfo) -> int:
    """Begin a source; it counts only once it is loaded."""
    with connection.transaction():
        (source,) = connection.fetch_one(
            "add_source",
            path=info.path,
            name=info.name,
            sha256=info.sha256,
            reading=info.reading,
            header=json.dumps(info.header, ensure_ascii=False),
        )
        _add_part(connection, source, info)
    return int(source)


def _add_part(connection: Writer, source: int, info: SourceInfo) -> None:
    if info.part_of:
        connection.execute("add_part", name=info.part_of, source=source)


def drop_source(connection: Writer, source: int) -> None:
    """Forget a source that was not read to its end."""
    with connection.transaction():
        _drop(connection, source)
        connection.execute_each("make_indexes")
    connection.tune()


def drop_unfinished(connection: Writer) -> None:
    """Forget what a kill left of a source; to be called within a transaction."""
    for (source,) in connection.fetch_all("unfinished_sources"):
        _drop(connection, source)
    connection.execute_each("make_indexes")


def _drop(connection: Writer, source: int) -> None:
    for statement in DROPS:
        connection.execute(statement, source=source)


def confirm(
    connection: Writer,
    sources: Sequence[int],
    base_url: str,
    given: Collection[str],
    *,
    anew: bool,
) -> None:
    """See ``Ledger.confirm``; to be called within a transaction."""
    now, confirmed = time.time(), list(sources)
    connection.set_meta("base_url", base_url)
    if anew:
        connection.execute("unconfirm", sources=confirmed)
    for source in sources:
        connection.execute("confirm_source", source=source, now=now)
    names = sorted(given)
    if connection.execute("supersede", sources=confirmed, given=names, now=now).rowcount:
        connection.execute("withdraw", now=now)


def note_alarms(
    connection: Writer, alarms: Sequence[Alarm], now_s: float, noted_by: str | None
) -> None:
    """Note which alarms a plan or run raised."""
    noted = json.dumps([alarm.as_json() for alarm in alarms], ensure_ascii=False)
    with connection.transaction():
        connection.execute("add_alarms", now=now_s, noted_by=noted_by, alarms=noted)
