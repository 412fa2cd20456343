"""One customer's rows and attempts; the proof of a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.errors import LedgerFailed, Next
from bulk_unenroll.ledger.facts import CustomerAttempt, CustomerRow
from bulk_unenroll.ledger.folder import existing_folder
from bulk_unenroll.ledger.opening import open_reader, prove


@dataclass(frozen=True, slots=True)
class Explained:
    """Every row and every attempt of one customer."""

    customer: int
    rows: list[CustomerRow]
    attempts: list[CustomerAttempt]


def explain(given: Path, customer: int) -> Explained:
    """What is known of one customer."""
    with open_reader(existing_folder(given)) as reader:
        return Explained(customer, reader.rows_of(customer), reader.attempts_of(customer))


def verify(given: Path) -> None:
    """Prove the ledger; raises ``LedgerFailed`` naming the first thing that is wrong."""
    folder = existing_folder(given)
    with open_reader(folder) as reader:
        try:
            prove(reader)
        except LedgerFailed as stop:
            stop.next = Next("export", (str(folder),), {"to": "rescued.csv"})
            raise
