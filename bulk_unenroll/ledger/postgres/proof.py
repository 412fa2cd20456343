"""The proof that a ledger is what it says: its rows, its states."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.ledger.conservation import LAWS_OF_ROWS, broken, row_faults
from bulk_unenroll.ledger.postgres.connection import Connection

LAWS_OF_STATES: Final = (
    ("states_of_two_kinds", "customers/targets have more than one state"),
    ("states_of_nobody", "states are those of no customer/target"),
    ("attempts_of_nobody", "attempts are those of no customer/target or no run"),
    ("passed_over", "customers/targets were passed over"),
    ("targets_missing", "customers/targets name no target"),
)


def conservation_faults(connection: Connection) -> list[str]:
    """What does not add up in the ledger as a whole; empty when the accounting closes."""
    return row_faults(connection) + broken(connection, LAWS_OF_ROWS)


def integrity_faults(connection: Connection) -> list[str]:
    """What does not follow from the attempts, or does not add up.

    What pages and indexes hold is the server's to prove (amcheck, data checksums).
    """
    connection.fetch_one("views_work")  # promised to others, so proven to work
    faults = broken(connection, LAWS_OF_STATES)
    unfolded = connection.fetch_all("unfolded")
    if unfolded:
        faults.append(f"item {unfolded[0][0]}: its state does not follow from its attempts")
    return faults + conservation_faults(connection)
