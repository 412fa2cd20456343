"""Connections that know the statements by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.postgres.failures import damaged, translated
from bulk_unenroll.ledger.postgres.outage import repeated
from bulk_unenroll.ledger.postgres.session import Address, Raw, connect
from bulk_unenroll.ledger.postgres.statements import SCRIPTS, SQL
from bulk_unenroll.ledger.statements import Row

READER_IDLE: Final = "15min"
"""How long a picture of one moment may stand still: a report is made of it."""

T = TypeVar("T")


class Connection:
    """Runs the statements of ``statements`` in the schema of a job.

    Every method raises ``LedgerFailed`` (74) where the server or the way to it fails. One that
    ``bridges`` outages first waits for the server, and asks again: but for what is asked within a
    transaction, which is repeated as a whole or not at all. So each statement that is run by itself
    has the same effect twice as once.
    """

    def __init__(self, raw: Raw, address: Address, *, to_write: bool) -> None:
        self.raw = raw
        self.address = address
        self.since_s = time.monotonic()
        self.bridges = False
        self._to_write = to_write
        self._transactions = 0

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be asked over it any more."""
        return self.raw.closed or self.raw.broken

    @classmethod
    def open(cls, address: Address, *, to_write: bool) -> Connection:
        """Connect; see ``session.connect``. One that only reads cannot write."""
        return cls(connect(address, to_write=to_write), address, to_write=to_write)

    def reopen(self) -> None:
        """Connect again, where the connection was lost."""
        self.raw.close()
        self.raw = connect(self.address, to_write=self._to_write)
        self.since_s = time.monotonic()

    def bridged(self, ask: Callable[[], T]) -> T:
        """What ``ask`` gives; it is done again if the server went away, so it may be done twice."""
        if not self.bridges or self._transactions:
            return ask()
        return repeated(self, ask)

    def send(self, statement: str, /, **values: object) -> psycopg.Cursor[Row]:
        """Run a statement; within ``pipeline``, its rows are there once they are fetched."""
        with translated():
            return self.raw.execute(SQL[statement], values)

    def execute(self, statement: str, /, **values: object) -> int:
        """Run a statement; return how many rows it changed."""
        return self.bridged(lambda: self.send(statement, **values).rowcount)

    def fetch_all(self, statement: str, /, **values: object) -> list[Row]:
        """All rows of a statement."""

        def ask() -> list[Row]:
            with translated():
                return self.raw.execute(SQL[statement], values).fetchall()

        return self.bridged(ask)

    def fetch_one(self, statement: str, /, **values: object) -> Row:
        """The one row of a statement that always has one."""
        (row,) = self.fetch_all(statement, **values)
        return row

    def run_script(self, name: str) -> None:
        """Run the several statements under one name."""
        with translated():
            self.raw.execute(SCRIPTS[name].encode())

    def meta(self, name: str) -> str | None:
        """What was noted under ``name``."""
        found = self.fetch_all("get_meta", name=name)
        return found[0][0] if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Note ``value`` under ``name``."""
        self.execute("set_meta", name=name, value=value)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: once the block ends, all that it did is durable, or nothing is."""
        with self._within_one(), translated(), self.raw.transaction():
            yield

    @contextmanager
    def pipelined_transaction(self) -> Iterator[None]:
        """A transaction whose statements are sent without waiting for earlier results."""
        with self._within_one(), translated(), self.raw.pipeline(), self.raw.transaction():
            yield

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """All that is asked within is answered as of one moment."""
        with self._within_one(), translated(), self.raw.transaction():
            self.raw.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.raw.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{READER_IDLE}'")
            self.raw.execute("SELECT 1 FROM meta")  # the moment is that of the first question
            yield

    def damaged(self, what: str) -> LedgerFailed:
        """The error for a ledger that is not what it was."""
        return damaged(what)

    @contextmanager
    def _within_one(self) -> Iterator[None]:
        self._transactions += 1
        try:
            yield
        finally:
            self._transactions -= 1

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close it if what is done within raises."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self.raw.close()
