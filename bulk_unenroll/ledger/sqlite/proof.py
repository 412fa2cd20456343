"""The proof that a ledger is what it says: its file, its rows, its states."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.ledger.sqlite.connection import Connection
from bulk_unenroll.ledger.sqlite.failures import translated
from bulk_unenroll.model import State

KNOWN_STATES: Final = list(State)
LAWS: Final = (
    ("rows_read_twice", "rows are there twice"),
    ("rows_without_item", "rows name no customer/target"),
    ("rows_first_twice", "rows repeat one and do not say so"),
    ("repeats_without_row", "duplicates repeat no row"),
)


def conservation_faults(connection: Connection) -> list[str]:
    """What does not add up in the ledger as a whole; empty when the accounting closes."""
    faults = _row_faults(connection)
    for statement, what in LAWS:
        (number,) = connection.fetch_one(statement)
        if number:
            faults.append(f"{number} {what}")
    if faults:  # customers/targets without a known state do not count as kept
        (number,) = connection.fetch_one("unknown_states", states=KNOWN_STATES)
        if number:
            faults.insert(0, f"{number} customers/targets have no known state")
    return faults


def _row_faults(connection: Connection) -> list[str]:
    """Where the rows that were read are not the rows that are kept."""
    faults = []
    items_left, rows_left = connection.fetch_one("numbers_of_rows")
    found = connection.fetch_all("rows_of_sources", states=KNOWN_STATES)
    for name, read, items, rows, ragged, in_chunks, shared in found:
        for kept in (items + rows, in_chunks + ragged, shared + rows):
            if kept != read:
                faults.append(f"{name}: {read} rows were read, {kept} are kept")
        items_left, rows_left = items_left - items, rows_left - rows
    if items_left or rows_left:
        faults.append(f"{items_left + rows_left} customers/targets are in no row of an input")
    return faults


def integrity_faults(connection: Connection) -> list[str]:
    """What is wrong with the file or with the fold of attempts, or does not add up."""
    faults = _file_faults(connection)
    if faults:
        return faults
    broken = connection.fetch_all("unfolded")
    if broken:
        faults.append(f"item {broken[0][0]}: its state does not follow from its attempts")
    return faults + conservation_faults(connection)


def _file_faults(connection: Connection) -> list[str]:
    with translated(connection.path):
        found = connection.raw.execute("PRAGMA integrity_check").fetchall()
        faults = [text for (text,) in found if text != "ok"]
        if faults:
            return faults
        for view in ("results", "attempt_history"):  # promised to others, so proven to work
            connection.raw.execute(f"SELECT * FROM {view} LIMIT 1").fetchone()  # noqa: S608
        orphans = connection.raw.execute("PRAGMA foreign_key_check").fetchall()
    return [f"{len(orphans)} references lead nowhere"] if orphans else []
