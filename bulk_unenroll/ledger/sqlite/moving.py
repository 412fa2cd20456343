"""A ledger that leaves its folder: its rows as another kind of ledger keeps them, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from bulk_unenroll.ledger.sqlite.connection import Connection, Writer
from bulk_unenroll.ledger.sqlite.failures import translated
from bulk_unenroll.ledger.sqlite.file import MOVED, MOVED_VERSION
from bulk_unenroll.ledger.statements import Row

STATEMENTS: Final = (
    "move_meta", "move_source", "move_part", "move_target", "move_item", "move_row", "move_chunk",
    "move_line", "move_share", "move_run", "move_attempt", "move_agenda", "move_outcome",
    "move_remark", "move_alarm_round",
)  # fmt: skip
"""Each gives what goes into the table that it is named after."""


class MovedTable(NamedTuple):
    """A table as the other ledger has it. ``rows`` are taken before the next table is."""

    name: str
    columns: list[str]
    rows: Iterator[Row]


def moved_tables(connection: Connection) -> Iterator[MovedTable]:
    """All that a ledger holds in which nothing is being sent."""
    for statement in STATEMENTS:
        with translated(connection.path), closing(connection.execute(statement)) as rows:
            columns = [column for column, *_ in rows.description]
            yield MovedTable(statement.removeprefix("move_"), columns, rows)


def close_for_good(connection: Writer, to: Mapping[str, str]) -> None:
    """Close this ledger so that nobody can open it. ``to``: the job, its url, its place in words.

    Older versions of the program refuse it, too: to them it is of a newer one.
    """
    with connection.transaction():
        connection.set_meta(MOVED, json.dumps(dict(to)))
        connection.raw.execute(f"PRAGMA user_version = {MOVED_VERSION}")
