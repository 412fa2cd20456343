"""The proof that a ledger is what it says: its file, its rows, its states."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.ledger.conservation import LAWS_OF_ROWS, broken, row_faults
from bulk_unenroll.ledger.sqlite.connection import Connection
from bulk_unenroll.ledger.sqlite.failures import translated
from bulk_unenroll.model import State

KNOWN_STATES: Final = list(State)


def conservation_faults(connection: Connection) -> list[str]:
    """What does not add up in the ledger as a whole; empty when the accounting closes."""
    faults = row_faults(connection, states=KNOWN_STATES) + broken(connection, LAWS_OF_ROWS)
    if faults:  # customers/targets without a known state do not count as kept
        (number,) = connection.fetch_one("unknown_states", states=KNOWN_STATES)
        if number:
            faults.insert(0, f"{number} customers/targets have no known state")
    return faults


def integrity_faults(connection: Connection) -> list[str]:
    """What is wrong with the file or with the fold of attempts, or does not add up."""
    faults = _file_faults(connection)
    if faults:
        return faults
    unfolded = connection.fetch_all("unfolded")
    if unfolded:
        faults.append(f"item {unfolded[0][0]}: its state does not follow from its attempts")
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
