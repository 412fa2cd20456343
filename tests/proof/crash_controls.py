"""Laws broken on purpose, for the attacks that kill the program."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from filelock import FileLock

from bulk_unenroll.capillary.calls import Reply
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.sqlite import ledger
from bulk_unenroll.ledger.sqlite.ledger import Ledger
from bulk_unenroll.sending.run_state import RunState


def no_intent() -> None:
    """What a turn claims is committed with a later turn, when it was long sent."""
    real, close = Ledger._transaction, Ledger.close
    turns = count()

    @contextmanager
    def late(self: Ledger) -> Iterator[None]:
        if self.connection.in_transaction and next(turns) % 20 == 0:
            self.connection.execute("COMMIT")
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        yield

    def commit_and_close(self: Ledger) -> None:
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        Ledger._transaction = real  # type: ignore[method-assign]
        close(self)

    Ledger._transaction = late  # type: ignore[method-assign]
    Ledger.close = commit_and_close  # type: ignore[method-assign]


def result_before_answer() -> None:
    """A call is taken for a success as soon as its request has left."""
    real = Client.unenroll

    async def hasty(self: Client, enrollment: Any, headers: Any, connected: Any) -> Any:
        task = asyncio.ensure_future(real(self, enrollment, headers, connected))
        await asyncio.sleep(0)
        task.add_done_callback(lambda done: done.exception())
        return Reply(200, json.dumps({"data": enrollment.customer, "errors": None}).encode())

    Client.unenroll = hasty  # type: ignore[method-assign]


def drop_on_stop() -> None:
    """A stop drops what is in flight instead of waiting for it."""
    real = RunState.stop

    def stop(self: RunState, code: int, reason: str) -> None:
        RunState.in_flight = property(lambda _: 0, lambda *_: None)  # type: ignore[assignment]
        real(self, code, reason)

    RunState.stop = stop  # type: ignore[method-assign]


def synchronous_normal() -> None:
    """Commits are left to the system's cache."""
    real = ledger._prepare

    def prepare(connection: sqlite3.Connection) -> None:
        real(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    ledger._prepare = prepare


def deaf_to_the_disk() -> None:
    """An error of the ledger is swallowed, and what was claimed is sent."""
    real = Ledger._transaction

    @contextmanager
    def careless(self: Ledger) -> Iterator[None]:
        with suppress(LedgerFailed), real(self):
            yield

    Ledger._transaction = careless  # type: ignore[method-assign]


def lock_that_does_not_lock() -> None:
    """Everybody gets the folder."""
    FileLock.acquire = lambda self, *_, **__: None  # type: ignore[assignment]


def half_a_load_stays() -> None:
    """What a kill left of a source is not dropped at opening."""
    Ledger._drop = lambda self, source: None  # type: ignore[method-assign]
