"""Ledgers in PostgreSQL, for tests."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import open_job_reader
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.session import name_of, schema_of
from tests.kit.postgres import Server
from tests.ledger.kit import begin, confirmed, keys

KILL = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
TTL_S = 0.4
"""Senders of tests are given up soon."""
Join = Callable[[], PostgresLedger]
"""Joins the run that goes on."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresPlace:
    """A job of a server, and so a schema of its own."""

    url: str
    job: str

    @classmethod
    def new(cls, server: Server, path: Path) -> PostgresPlace:
        """A job for this path; each has its own."""
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        return cls(server.url(), f"{digest}-{os.getpid()}-{next(_numbers)}")

    def open(self) -> PostgresLedger:
        return PostgresLedger.open(self.url, self.job, ttl_s=0.0)

    def reader(self) -> AbstractContextManager[LedgerReader]:
        return open_job_reader(self.url, self.job)

    def after_kill(self) -> PostgresPlace:
        """The same job, once the server noticed that everybody who worked on it is gone."""
        with closing(psycopg.connect(self.url, autocommit=True)) as tool:
            while tool.execute(KILL, [name_of(self.job)]).fetchone() != (0,):
                time.sleep(0.002)
        return self


@contextmanager
def tool(place: PostgresPlace) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Another program at the job's tables."""
    with closing(psycopg.connect(place.url, autocommit=True)) as raw:
        raw.execute(f'SET search_path = "{schema_of(place.job)}"')
        yield raw


def begun(ledger: PostgresLedger, number: int) -> None:
    """A run over so many customers."""
    confirmed(ledger, keys(*range(1, number + 1)))
    begin(ledger, now_s=time.time())


def wait_until_blocked(place: PostgresPlace, ledger: PostgresLedger) -> None:
    """Wait until the server holds up what a ledger asked because another holds a lock."""
    query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    pid = ledger.connection.raw.info.backend_pid
    with tool(place) as other:
        deadline = time.monotonic() + 30
        while other.execute(query, [pid]).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.01)
