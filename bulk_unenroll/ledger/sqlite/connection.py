"""Connections of SQLite that know the statements by name; one that writes counts its commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.sqlite.failures import ERRORS, failure, translated
from bulk_unenroll.ledger.sqlite.mark import Mark, seal
from bulk_unenroll.ledger.sqlite.own_files import end_writing
from bulk_unenroll.ledger.sqlite.statements import SQL

CACHE_KB: Final = 65_536

Row = tuple[Any, ...]


class Connection:
    """Runs the statements of ``statements`` on the ledger at ``path``.

    Every method raises ``LedgerFailed`` (74) where SQLite or the disk fails.
    """

    def __init__(self, raw: sqlite3.Connection, path: Path) -> None:
        self.raw = raw
        self.path = path

    def execute(self, statement: str, /, **values: object) -> sqlite3.Cursor:
        """Run a statement; its rows are still to be fetched."""
        try:
            return self.raw.execute(SQL[statement], values)
        except ERRORS as error:
            raise failure(error) from error

    def fetch_all(self, statement: str, /, **values: object) -> list[Row]:
        """All rows of a statement."""
        try:
            return self.raw.execute(SQL[statement], values).fetchall()
        except ERRORS as error:
            raise failure(error) from error

    def fetch_one(self, statement: str, /, **values: object) -> Row:
        """The one row of a statement that always has one."""
        (row,) = self.fetch_all(statement, **values)
        return row

    def meta(self, name: str) -> str | None:
        """What was noted under ``name``."""
        found = self.fetch_all("get_meta", name=name)
        return found[0][0] if found else None

    def close(self) -> None:
        """Close it."""
        with translated():
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
        """What is done within is durable after it, or did not happen."""
        try:
            with translated():
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
        with translated():
            for statement in SQL[statements].split(";"):
                self.raw.execute(statement)

    def execute_many(self, statement: str, rows: Iterable[Row | dict[str, object]]) -> None:
        """Run a statement for each of ``rows``."""
        try:
            self.raw.executemany(SQL[statement], rows)
        except ERRORS as error:
            raise failure(error) from error

    def set_meta(self, name: str, value: str) -> None:
        """Note ``value`` under ``name``."""
        self.execute("set_meta", name=name, value=value)

    def tune(self, cache_kb: int = CACHE_KB, threads: int = 0) -> None:
        """Set the memory for pages, and how many further threads sort an index."""
        with translated():
            self.raw.execute(f"PRAGMA cache_size = -{cache_kb}")
            self.raw.execute(f"PRAGMA threads = {threads}")

    def abandon(self) -> None:
        """Let go of it as it is."""
        with translated(), closing(self._mark):
            self.raw.close()
            end_writing(self.path)

    def close(self) -> None:
        """Close it, so that the ledger is one file that can be copied, and seal it.

        One that failed is left as it is: the next opening finds what it holds.
        """
        try:
            self._close()
        finally:
            end_writing(self.path)

    def _close(self) -> None:
        with translated(), closing(self._mark), closing(self.raw):
            if self._failed:
                return
            with self.transaction():
                self.set_meta("open", "")
            busy = self.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:  # somebody reads it, so part of it stays in the log
                return
            self.raw.close()
            seal(self.path)
