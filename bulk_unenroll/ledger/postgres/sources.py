"""The sources of a ledger: found again, added, confirmed. Each is part of a transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence

from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.model import Alarm


def find_source(connection: Connection, info: SourceInfo) -> int | None:
    """The source with this path, content and reading, planned again, if it was read before."""
    found = connection.fetch_all(
        "find_source", path=info.path, sha256=info.sha256, reading=info.reading
    )
    if not found:
        return None
    source = int(found[0][0])
    _add_part(connection, source, info)
    if connection.execute("plan_again", source=source):
        connection.execute("unwithdraw", source=source, now=time.time())
    return source


def add_source(connection: Connection, info: SourceInfo, kept: int | None = None) -> int:
    """Begin a source; ``kept`` is the id that was kept for it."""
    (source,) = connection.fetch_one(
        "add_source",
        source=kept,
        path=info.path,
        name=info.name,
        sha256=info.sha256,
        reading=info.reading,
        header=json.dumps(info.header, ensure_ascii=False),
        now=time.time(),
    )
    _add_part(connection, source, info)
    return int(source)


def _add_part(connection: Connection, source: int, info: SourceInfo) -> None:
    if info.part_of:
        connection.execute("add_part", name=info.part_of, source=source)


def confirm(
    connection: Connection,
    sources: Sequence[int],
    base_url: str,
    given: Collection[str],
    *,
    anew: bool,
) -> None:
    """See ``Ledger.confirm``."""
    now, confirmed = time.time(), list(sources)
    connection.set_meta("base_url", base_url)
    if anew:
        connection.execute("unconfirm", sources=confirmed)
    connection.execute("confirm_sources", sources=confirmed, now=now)
    if connection.execute("supersede", sources=confirmed, given=sorted(given), now=now):
        connection.execute("withdraw", now=now)


def note_alarms(
    connection: Connection, alarms: Sequence[Alarm], now_s: float, noted_by: str | None
) -> None:
    """Note which alarms a plan or run raised."""
    noted = json.dumps([alarm.as_json() for alarm in alarms], ensure_ascii=False)
    connection.execute("add_alarms", now=now_s, noted_by=noted_by, alarms=noted)
