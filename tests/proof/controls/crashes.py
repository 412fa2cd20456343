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
from bulk_unenroll.ledger.sqlite import file, sources
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.sending.run_state import RunState


def no_intent() -> None:
    """What a turn claims is committed with a later turn, when it was long sent."""
    real, close = Writer.transaction, Writer.close
    turns = count()

    @contextmanager
    def late(self: Writer) -> Iterator[None]:
        if self.raw.in_transaction and next(turns) % 20 == 0:
            self.raw.execute("COMMIT")
        if not self.raw.in_transaction:
            self.raw.execute("BEGIN IMMEDIATE")
        yield

    def commit_and_close(self: Writer) -> None:
        if self.raw.in_transaction:
            self.raw.execute("COMMIT")
        Writer.transaction = real  # type: ignore[method-assign]
        close(self)

    Writer.transaction = late  # type: ignore[method-assign]
    Writer.close = commit_and_close  # type: ignore[method-assign]


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
    real = file.prepare

    def prepare(raw: sqlite3.Connection) -> None:
        real(raw)
        raw.execute("PRAGMA synchronous = NORMAL")

    file.prepare = prepare


def deaf_to_the_disk() -> None:
    """An error of the ledger is swallowed, and what was claimed is sent."""
    real = Writer.transaction

    @contextmanager
    def careless(self: Writer) -> Iterator[None]:
        with suppress(LedgerFailed), real(self):
            yield

    Writer.transaction = careless  # type: ignore[method-assign]


def lock_that_does_not_lock() -> None:
    """Everybody gets the folder."""
    FileLock.acquire = lambda self, *_, **__: None  # type: ignore[assignment]


def half_a_load_stays() -> None:
    """What a kill left of a source is not dropped at opening."""
    sources._drop = lambda connection, source: None
