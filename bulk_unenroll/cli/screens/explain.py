"""One customer, and the table of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bulk_unenroll.capillary.codes import CODES, WORDS
from bulk_unenroll.reports.problems import full_name

if TYPE_CHECKING:
    from bulk_unenroll.commands.explain import Explained
    from bulk_unenroll.ledger.facts import CustomerAttempt


def show_explained(console: Console, explained: Explained) -> None:
    """Print every row and every attempt of a customer."""
    console.print(f"[bold]customer {explained.customer}[/]")
    if not explained.rows:
        console.print("is in no input row, and was never called from this folder")
        return
    rows = Table("source", "row", "group/target", "status", "code", "message", box=None)
    for row in explained.rows:
        source = f"{row.source} ({row.source_status}, sha256 {row.sha256[:8]})"
        target, code, message = full_name(row.target), row.code or "", row.message or ""
        rows.add_row(*map(escape, (source, row.row_name, target, row.status, code, message)))
    console.print(rows)
    if not explained.attempts:
        console.print("never called")
        return
    attempts = Table("attempt", "group/target", "sent", "answered", "outcome", box=None)
    for column in ("code", "HTTP", "request id", "run"):
        attempts.add_column(column)
    for attempt in explained.attempts:
        attempts.add_row(*map(_cell, _shown_attempt(attempt)))
    console.print(attempts)


def _shown_attempt(attempt: CustomerAttempt) -> tuple[object, ...]:
    return (
        attempt.attempt,
        attempt.target,
        attempt.sent_at,
        attempt.answered_at,
        attempt.outcome,
        attempt.code,
        attempt.http_status,
        attempt.request_id,
        attempt.run_id,
    )


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value))


def show_codes(console: Console) -> None:
    """Print the code table."""
    table = Table("code", "leads to", "meaning", "what to do", "source", box=None, pad_edge=False)
    for code, meaning in CODES.items():
        table.add_row(code, meaning.leads_to, meaning.says, meaning.advice, meaning.source)
    for code, word in WORDS.items():
        table.add_row(code, word.leads_to, word.says, word.advice, "ours")
    console.print(table)
