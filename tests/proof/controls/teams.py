"""Senders that share a run: given up sooner, so that tests are short; and broken laws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, cast

from bulk_unenroll.ledger.postgres import outage
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.senders import Senders
from bulk_unenroll.ledger.postgres.statements import SQL

TTL_S: Final = 5.0
COMMITTED_EVERY: Final = 100


def soon() -> None:
    """No law is broken: who takes no turn is given up after ``TTL_S``."""
    for opening in (PostgresLedger.open, PostgresLedger.beside_others):
        cast(Any, opening).__func__.__defaults__ = (TTL_S,)


def no_fence() -> None:
    """Who was given up takes further turns, as if nothing had been."""
    SQL["fence"] = (
        b"UPDATE sender SET seen_at = clock_timestamp(), turn = turn + 1, settled = settled +"
        b" %(settled)s, bad = bad + %(bad)s, not_enrolled = not_enrolled + %(not_enrolled)s"
        b" WHERE id = %(sender)s AND %(turn)s >= 0"
    )


def no_reap_guard() -> None:
    """Others are given up for the time in which there was no server, by whoever is back first."""
    real = Senders.reap

    def reap(self: Senders, now_s: float) -> None:
        self._connect().since_s = 0.0
        real(self, now_s)

    Senders.reap = reap  # type: ignore[method-assign]
    outage.__dict__["RETRY_S"] = random.uniform(0.2, 2.0)


def no_intent() -> None:
    """What a turn claims is committed with a later turn, when it was long sent."""
    turns = count(1)

    @contextmanager
    def late(self: Connection) -> Iterator[None]:
        number = next(turns)
        if number % COMMITTED_EVERY == 1:
            self.raw.execute("BEGIN")
        yield
        if number % COMMITTED_EVERY == 0:
            self.raw.execute("COMMIT")

    Connection.pipelined_transaction = late  # type: ignore[method-assign]
