"""What is recorded of calls, and what follows from it. Each function is part of a transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bulk_unenroll.ledger.interface import Reopening
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.model import Attempt, Blocked, Entry


def record(connection: Writer, entries: Sequence[Entry]) -> None:
    """Record what became of calls."""
    unsent = (entry for entry in entries if entry.attempt is None)
    connection.execute_many("release", map(_released, unsent))
    left = [_recorded(entry, entry.attempt) for entry in entries if entry.attempt]
    connection.execute_many("add_attempt", left)
    connection.execute_many("record", left)


def _released(entry: Entry) -> dict[str, object]:
    return {
        "item": entry.call.id,
        "state": entry.state.value,
        "not_before": entry.not_before_s,
        "old": entry.old,
        "code": entry.code,
        "message": entry.message,
        "now": time.time(),
    }


def _recorded(entry: Entry, attempt: Attempt) -> dict[str, object]:
    return {
        "item": entry.call.id,
        "state": entry.state.value,
        "not_before": entry.not_before_s,
        "charged": entry.charged,
        "mismatch": entry.mismatch,
        "old": entry.old,
        "sent_at": attempt.sent_at_s,
        "answered_at": attempt.answered_at_s,
        "now": attempt.answered_at_s or attempt.sent_at_s,
        "outcome": attempt.outcome,
        "code": attempt.code,
        "message": attempt.message,
        "http_status": attempt.http_status,
        "request_id": attempt.request_id,
    }


def block(connection: Writer, run: int, blocked: Blocked) -> int:
    """Block what is pending in a target or group; return how many."""
    connection.execute("index_pending")  # at the first block only: most runs never need it
    return connection.execute(
        "block",
        run=run,
        org=blocked.org or 0,
        group=blocked.group,
        target=blocked.rule,
        code=blocked.code,
        message=blocked.message,
        now=time.time(),
    ).rowcount


def reopen(connection: Writer, which: Reopening, now_s: float) -> int:
    """Reopen settled calls of confirmed sources; return how many."""
    return connection.execute(
        "reopen",
        states=[state.value for state in which.states],
        codes=list(which.codes) if which.codes else None,
        targets=list(which.targets) if which.targets else None,
        now=now_s,
    ).rowcount


def recover_calls(connection: Writer) -> None:
    """What was being sent when the program was killed is in doubt."""
    connection.execute("recover_attempts")
    connection.execute("recover_items", now=time.time())
