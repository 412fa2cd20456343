"""Refuses a copy of a ledger whose original is still there: both would call its customers.

A ledger has an id, which its copies share, and notes where it is. It may be moved, restored or
mounted elsewhere as one likes: only two at once are one too many.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import Misconfigured, Next
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite.file import read_note
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger

ID: Final = "id"
HOME: Final = "home"


def refuse_copy(ledger: SqliteLedger, folder: Path) -> None:
    """Raise ``Misconfigured`` (78) for a copy; otherwise note that the ledger is in ``folder``."""
    here, noted = str(folder.resolve()), ledger.reader.note(HOME)
    if noted == here:
        return
    if noted and _is_copy(ledger, folder, Path(noted)):
        raise Misconfigured(
            f"{folder} is a copy of {noted}, which is still there: both would call the same"
            " customers",
            f"go on in {noted}; if this copy is to go on in its place, rename or delete that one",
            Next("status", (noted,)),
        )
    if not ledger.reader.note(ID):  # of an older version
        ledger.note(ID, uuid.uuid4().hex)
    ledger.note(HOME, here)


def _is_copy(ledger: SqliteLedger, folder: Path, home: Path) -> bool:
    with suppress(OSError, sqlite3.Error):  # what is damaged there calls nobody
        own = ledger_path(folder), ledger_path(home)
        if own[0].samefile(own[1]):
            return False
        known = ledger.reader.note(ID)
        return known is not None and read_note(own[1], ID) == known
    return False
