"""What an error of SQLite or of the system means: always one line, as ``LedgerFailed`` (74)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bulk_unenroll.errors import LedgerFailed

REMEDY: Final = "keep the folder as it is and restore a copy of it"
DAMAGES: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,  # a statement does not fit the file: a table is missing
    }
)
ERRORS: Final = (
    sqlite3.Error,
    OSError,
    UnicodeDecodeError,  # where text was, there is none now
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn ``ERRORS`` into ``LedgerFailed``."""
    try:
        yield
    except ERRORS as error:
        raise failure(error) from error


def failure(error: Exception) -> LedgerFailed:
    """What one of ``ERRORS`` means to a person."""
    if isinstance(error, OSError):
        return LedgerFailed(f"the ledger failed: {error.strerror}", "check the disk")
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return LedgerFailed(f"the ledger cannot be written: {error}", "free some room")
    if code in DAMAGES:
        return damaged(str(error))
    return LedgerFailed(f"the ledger failed: {error}", REMEDY)


def primary_code(error: Exception) -> int | None:
    """SQLite's result code without its extension; None for an error that is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def damaged(what: str) -> LedgerFailed:
    """The ledger is not what it was."""
    return LedgerFailed(f"the ledger is damaged: {what}", REMEDY)
