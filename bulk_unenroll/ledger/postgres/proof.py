"""The proof that a ledger is what it says: its rows, its states."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.ledger.postgres.connection import Connection

LAWS: Final = (
    ("rows_read_twice", "rows are there twice"),
    ("rows_without_item", "rows name no customer/target"),
    ("rows_first_twice", "rows repeat one and do not say so"),
    ("repeats_without_row", "duplicates repeat no row"),
)
LAWS_OF_STATES: Final = (
    ("states_of_two_kinds", "customers/targets have more than one state"),
    ("states_of_nobody", "states are those of no customer/target"),
    ("attempts_of_nobody", "attempts are those of no customer/target or no run"),
    ("passed_over", "customers/targets were passed over"),
    ("targets_missing", "customers/targets name no target"),
)


def conservation_faults(connection: Connection) -> list[str]:
    """What does not add up in the ledger as a whole; empty when the accounting closes."""
    return _row_faults(connection) + _broken(connection, LAWS)


def integrity_faults(connection: Connection) -> list[str]:
    """What does not follow from the attempts, or does not add up.

    What pages and indexes hold is the server's to prove (amcheck, data checksums).
    """
    connection.fetch_one("views_work")  # promised to others, so proven to work
    faults = _broken(connection, LAWS_OF_STATES)
    broken = connection.fetch_all("unfolded")
    if broken:
        faults.append(f"item {broken[0][0]}: its state does not follow from its attempts")
    return faults + conservation_faults(connection)


def _broken(connection: Connection, laws: tuple[tuple[str, str], ...]) -> list[str]:
    numbers = ((connection.fetch_one(statement)[0], what) for statement, what in laws)
    return [f"{number} {what}" for number, what in numbers if number]


def _row_faults(connection: Connection) -> list[str]:
    """Where the rows that were read are not the rows that are kept."""
    faults = []
    items_left, rows_left = connection.fetch_one("numbers_of_rows")
    for name, read, items, rows, ragged, in_chunks, shared in connection.fetch_all(
        "rows_of_sources"
    ):
        for kept in (items + rows, in_chunks + ragged, shared + rows):
            if kept != read:
                faults.append(f"{name}: {read} rows were read, {kept} are kept")
        items_left, rows_left = items_left - items, rows_left - rows
    if items_left or rows_left:
        faults.append(f"{items_left + rows_left} customers/targets are in no row of an input")
    return faults
