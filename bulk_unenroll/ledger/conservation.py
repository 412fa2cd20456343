"""Conservation of rows: each that was read is kept, once. The same for every kind of ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bulk_unenroll.ledger.statements import StatementConnection

Laws = Iterable[tuple[str, str]]
"""Statements that count what breaks a law, each with what that is called."""
LAWS_OF_ROWS: Final = (
    ("rows_read_twice", "rows are there twice"),
    ("rows_without_item", "rows name no customer/target"),
    ("rows_first_twice", "rows repeat one and do not say so"),
    ("repeats_without_row", "duplicates repeat no row"),
)


def broken(connection: StatementConnection, laws: Laws) -> list[str]:
    """Which of ``laws`` are broken, and how often."""
    numbers = ((connection.fetch_one(statement)[0], what) for statement, what in laws)
    return [f"{number} {what}" for number, what in numbers if number]


def row_faults(connection: StatementConnection, **values: object) -> list[str]:
    """Where the rows that were read are not the rows that are kept.

    ``values`` are those that the statement ``rows_of_sources`` takes.
    """
    faults = []
    items_left, rows_left = connection.fetch_one("numbers_of_rows")
    found = connection.fetch_all("rows_of_sources", **values)
    for name, read, items, rows, ragged, in_chunks, shared in found:
        for kept in (items + rows, in_chunks + ragged, shared + rows):
            if kept != read:
                faults.append(f"{name}: {read} rows were read, {kept} are kept")
        items_left, rows_left = items_left - items, rows_left - rows
    if items_left or rows_left:
        faults.append(f"{items_left + rows_left} customers/targets are in no row of an input")
    return faults
