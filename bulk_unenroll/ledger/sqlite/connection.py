"""Connections of SQLite that know the statements by name; one that writes counts its commits."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.sqlite.failures import ERRORS, LOCK_WAIT_S, damaged, failure, translated
from bulk_unenroll.ledger.sqlite.mark import Mark, seal
from bulk_unenroll.ledger.sqlite.seal import Schema
from bulk_unenroll.ledger.sqlite.statements import SQL
from bulk_unenroll.ledger.sqlite.written_here import end_writing
from bulk_unenroll.ledger.statements import Row

CACHE_KB: Final = 65_536

READER_WAIT_S: Final = 5.0
"""How long somebody who reads is waited for, so that the log can be merged."""


class Connection:
    """Runs the statements of ``statements`` on the ledger at ``path``; a list is a value of them.

    Every method raises ``LedgerFailed`` (74) where SQLite or the disk fails.
    """

    def __init__(self, raw: sqlite3.Connection, path: Path) -> None:
        self.raw = raw
        self.path = path

    def execute(self, statement: str, /, **values: object) -> sqlite3.Cursor:
        """Run a statement; its rows are still to be fetched."""
        try:
            return self.raw.execute(SQL[statement], _values(values))
        except ERRORS as error:
            raise failure(error, self.path) from error

    def fetch_all(self, statement: str, /, **values: object) -> list[Row]:
        """All rows of a statement."""
        try:
            return self.raw.execute(SQL[statement], _values(values)).fetchall()
        except ERRORS as error:
            raise failure(error, self.path) from error

    def fetch_one(self, statement: str, /, **values: object) -> Row:
        """The one row of a statement that always has one."""
        (row,) = self.fetch_all(statement, **values)
        return row

    def meta(self, name: str) -> str | None:
        """What was noted under ``name``."""
        found = self.fetch_all("get_meta", name=name)
        return found[0][0] if found else None

    def damaged(self, what: str) -> LedgerFailed:
        """The error for a ledger that is not what it was."""
        return damaged(what)

    def close(self) -> None:
        """Close it."""
        with translated(self.path):
            self.raw.close()


class Writer(Connection):
    """The one connection that writes, within the folder's lock, used by one thread at a time."""

    def __init__(self, raw: sqlite3.Connection, path: Path, mark: Mark, commits: int) -> None:
        super().__init__(raw, path)
        self._mark = mark
        self._commits = commits
        self._failed = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: once the block ends, all that it did is durable, or nothing is."""
        try:
            with translated(self.path):
                self.raw.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self.set_meta("commits", str(self._commits + 1))
                    self.raw.execute("COMMIT")
                except BaseException:
                    if self.raw.in_transaction:
                        self.raw.execute("ROLLBACK")
                    raise
                self._commits += 1
                self._mark.note(self._commits)
        except LedgerFailed:
            self._failed = True
            raise

    def execute_each(self, statements: str) -> None:
        """Run the several statements under one name."""
        with translated(self.path):
            for statement in SQL[statements].split(";"):
                self.raw.execute(statement)

    def execute_many(self, statement: str, rows: Iterable[Row | dict[str, object]]) -> None:
        """Run a statement for each of ``rows``."""
        try:
            self.raw.executemany(SQL[statement], rows)
        except ERRORS as error:
            raise failure(error, self.path) from error

    def set_meta(self, name: str, value: str) -> None:
        """Note ``value`` under ``name``."""
        self.execute("set_meta", name=name, value=value)

    def tune(self, cache_kb: int = CACHE_KB, threads: int = 0) -> None:
        """Set the memory for pages, and how many further threads sort an index."""
        with translated(self.path):
            self.raw.execute(f"PRAGMA cache_size = -{cache_kb}")
            self.raw.execute(f"PRAGMA threads = {threads}")

    def abandon(self, *, unchanged: bool = False) -> None:
        """Close it as it is. If it is ``unchanged`` since it was opened, its seal holds again."""
        with translated(self.path), closing(self._mark):
            self.raw.close()
            end_writing(self.path)
            if unchanged:
                self._mark.take_back()

    def close(self) -> None:
        """Close it, so that the ledger is one file that can be copied, and seal it.

        One that failed is left as it is: the next opening finds what it holds.
        """
        try:
            self._close()
        finally:
            end_writing(self.path)

    def _close(self) -> None:
        with translated(self.path), closing(self._mark), closing(self.raw):
            if self._failed:
                return
            with self.transaction():
                self.set_meta("open", "")
            if not checkpoint(self.raw):  # somebody reads it, so part of it stays in the log
                return
            schema = Schema.of(self.raw)
            self.raw.close()
            seal(self.path, schema)


def _values(values: Mapping[str, object]) -> dict[str, object]:
    """Lists as JSON, which statements take apart with ``json_each``."""
    return {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def connect(database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    """Connect to SQLite; a lock that another program holds is waited for."""
    return sqlite3.connect(
        database, LOCK_WAIT_S, isolation_level=None, check_same_thread=False, uri=uri
    )


def checkpoint(raw: sqlite3.Connection) -> bool:
    """Merge the log into the file, unless somebody goes on reading it."""
    raw.execute(f"PRAGMA busy_timeout = {READER_WAIT_S * 1000:.0f}")
    busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    raw.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000:.0f}")
    return not busy
