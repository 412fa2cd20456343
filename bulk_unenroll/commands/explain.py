"""One customer's rows and attempts; the proof of a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.commands.connect import prove
from bulk_unenroll.ledger.folder import existing_folder
from bulk_unenroll.ledger.sqlite.reader import Row, ask, reader


@dataclass(frozen=True, slots=True)
class Explained:
    """Every row and every attempt of one customer, as tuples of the two ``explain_`` statements."""

    customer: int
    rows: list[Row]
    attempts: list[Row]


def explain(given: Path, customer: int) -> Explained:
    """What is known of one customer."""
    with reader(existing_folder(given)) as connection:
        rows = ask(connection, "explain_rows", customer=customer)
        attempts = ask(connection, "explain_attempts", customer=customer)
    return Explained(customer, rows, attempts)


def verify(given: Path) -> None:
    """Prove the ledger; raises ``LedgerFailed`` naming the first thing that is wrong."""
    prove(existing_folder(given))
