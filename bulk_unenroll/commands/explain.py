"""Explain what happened to one customer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.ledger.facts import CustomerAttempt, CustomerRow
from bulk_unenroll.ledger.opening import existing_folder, open_reader


@dataclass(frozen=True, slots=True)
class Explained:
    """Every row and every attempt of one customer."""

    customer: int
    rows: list[CustomerRow]
    attempts: list[CustomerAttempt]


def explain(folder: str | os.PathLike[str], customer: int) -> Explained:
    """Return every row and every attempt of the customer with this id."""
    with open_reader(existing_folder(Path(folder))) as reader:
        return Explained(customer, reader.rows_of(customer), reader.attempts_of(customer))
