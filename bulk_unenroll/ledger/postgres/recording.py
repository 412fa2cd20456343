"""What is recorded of calls, and what follows from it. Each function is part of a transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg

from bulk_unenroll.ledger.interface import Reopening
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import Attempt, Blocked, Entry

Recorded = list[tuple[int, psycopg.Cursor[Row]]]
"""How many intents were to be settled, and what says how many were."""


def record(connection: Connection, entries: Sequence[Entry]) -> Recorded:
    """Record what became of calls; ``all_landed`` is still to be asked."""
    sent = [(entry, entry.attempt) for entry in entries if entry.attempt]
    unsent = [entry for entry in entries if entry.attempt is None]
    asked: Recorded = []
    if unsent:
        asked.append((len(unsent), connection.send("release", **_released(unsent))))
    if sent:
        asked.append((len(sent), connection.send("record", **_recorded(sent))))
    return asked


def all_landed(recorded: Recorded) -> bool:
    """Whether each entry found the intent of its call, and none found that of another one."""
    return all(cursor.fetchone() == (number,) for number, cursor in recorded)


def _released(entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "items": [entry.call.id for entry in entries],
        "states": [entry.state.value for entry in entries],
        "not_before": [entry.not_before_s for entry in entries],
        "old": [entry.old for entry in entries],
        "codes": [entry.code for entry in entries],
        "messages": [entry.message for entry in entries],
        "now": time.time(),
    }


def _recorded(sent: Sequence[tuple[Entry, Attempt]]) -> dict[str, list[Any]]:
    attempts = [attempt for _, attempt in sent]
    entries = [entry for entry, _ in sent]
    return {
        "items": [entry.call.id for entry in entries],
        "states": [entry.state.value for entry in entries],
        "not_before": [entry.not_before_s for entry in entries],
        "charged": [int(entry.charged) for entry in entries],
        "mismatch": [entry.mismatch for entry in entries],
        "old": [entry.old for entry in entries],
        "sent_at": [attempt.sent_at_s for attempt in attempts],
        "answered_at": [attempt.answered_at_s for attempt in attempts],
        "outcomes": [attempt.outcome for attempt in attempts],
        "codes": [attempt.code for attempt in attempts],
        "messages": [attempt.message for attempt in attempts],
        "http_status": [attempt.http_status for attempt in attempts],
        "request_ids": [attempt.request_id for attempt in attempts],
    }


def block(connection: Connection, run: int, sender: int, blocked: Sequence[Blocked]) -> None:
    """Tell the other senders of a run what is blocked. Nobody claims until the transaction ends."""
    connection.send("hold_claims")
    for each in blocked:
        connection.send(
            "tell_block",
            run=run,
            sender=sender,
            org=each.org or 0,
            group=each.group,
            target=each.rule,
            code=each.code,
            message=each.message,
        )


def settle_blocked(connection: Connection, run: int, sources: Sequence[int]) -> int:
    """Settle what is pending and blocked, a piece of it; return how many."""
    number, done = 0, True
    while done:
        found = connection.send(
            "settle_blocked", run=run, sources=list(sources), now=time.time()
        ).fetchone()
        if found is None:
            break
        settled, done = found
        number += settled
    return number


def reopen(connection: Connection, which: Reopening, now_s: float) -> int:
    """Reopen settled calls of confirmed sources; return how many."""
    return connection.execute(
        "reopen",
        states=[state.value for state in which.states],
        codes=list(which.codes) or None,
        targets=list(which.targets) or None,
        now=now_s,
    )
