"""Verify a ledger."""

from __future__ import annotations

import os
from pathlib import Path

from bulk_unenroll.errors import LedgerFailed, LedgerOutOfReach, Next
from bulk_unenroll.ledger.opening import existing_folder, open_reader, prove


def verify(folder: str | os.PathLike[str]) -> None:
    """Verify the ledger of ``folder``; raise ``LedgerFailed`` for the first fault."""
    folder = existing_folder(Path(folder))
    with open_reader(folder) as reader:
        try:
            prove(reader)
        except LedgerOutOfReach:
            raise
        except LedgerFailed as stop:
            stop.next = Next("export", (str(folder),), {"to": "rescued.csv"})
            raise
