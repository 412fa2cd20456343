"""Opens the ledger of a run folder, of whatever kind it is: to work in it alone, or to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bulk_unenroll.errors import Stop
from bulk_unenroll.ledger.folder import ledger_path, locked, make_folder
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.ledger.sqlite.failures import damaged
from bulk_unenroll.ledger.sqlite.file import is_left_open, open_read_only, read_note
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.reader import SqliteReader


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of ``folder``, held alone; both are made if they are missing.

    One that a kill left is proven first, if it is small. Raises ``FolderUnusable`` (73),
    ``LedgerFailed`` (74), or ``FolderBusy`` (75) while another process works in the folder.
    """
    make_folder(folder)
    with locked(folder):
        if is_left_open(ledger_path(folder)):
            with open_reader(folder) as reader:
                prove(reader)
        with closing(SqliteLedger.open(folder)) as ledger:
            yield ledger


@contextmanager
def open_reader(folder: Path) -> Iterator[LedgerReader]:
    """The ledger of ``folder``, read-only: also while a run is going, and on a read-only disk.

    Raises ``LedgerFailed`` (74) for one that is damaged.
    """
    with closing(open_read_only(ledger_path(folder))) as connection:
        yield SqliteReader(connection)


def noted_history(folder: Path) -> str | None:
    """What a ledger notes for the history, without opening it in full. Raises ``OSError``."""
    return read_note(ledger_path(folder), "history")


def prove(reader: LedgerReader) -> None:
    """Raise ``LedgerFailed`` (74) that names the first thing wrong with a ledger."""
    faults = reader.integrity_faults()
    if faults:
        raise damaged(faults[0])


def check_conservation(reader: LedgerReader) -> None:
    """Raise ``Stop`` (70) that names the first thing that does not add up."""
    faults = reader.conservation_faults()
    if faults:
        raise Stop(f"the accounting does not close: {faults[0]}", "please report this")
