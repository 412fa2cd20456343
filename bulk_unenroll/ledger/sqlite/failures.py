"""What an error of SQLite or of the system means: always one line, as ``LedgerFailed`` (74).

It is decided by the codes of SQLite and of the system, never by their words (sqlite.org/rescode).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import LedgerFailed, LedgerOutOfReach
from bulk_unenroll.ledger.disk import refusal, trouble

REMEDY: Final = "keep the folder as it is and restore a copy of it"
LOCK_WAIT_S: Final = 30.0
"""How long a lock that another program holds is waited for."""
HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
DAMAGES: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,  # a statement does not fit the file: a table is missing
    }
)
OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
UNSHARED: Final = frozenset(
    {
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMLOCK,
    }
)
"""The disk cannot lock or share a file: mostly one of the network."""
ERRORS: Final = (
    sqlite3.Error,
    OSError,
    UnicodeDecodeError,  # where text was, there is none now
)


class LedgerHeld(LedgerOutOfReach):
    """Another program held the ledger's lock for too long. Nothing was changed."""


@contextmanager
def translated(ledger: Path) -> Iterator[None]:
    """Turn ``ERRORS``, met in the ledger at this path, into ``LedgerFailed``."""
    try:
        yield
    except ERRORS as error:
        raise failure(error, ledger) from error


def failure(error: Exception, ledger: Path) -> LedgerFailed:
    """What one of ``ERRORS`` means to a person."""
    if isinstance(error, OSError):
        return _of_the_system(error, ledger.parent)
    code = primary_code(error)
    if code in HELD:
        return _held(ledger)
    if code in OF_THE_DISK:
        return _of_the_disk(error, ledger)
    if code in DAMAGES or isinstance(error, UnicodeDecodeError):
        return damaged(str(error))
    return LedgerFailed(f"the ledger failed: {error}", REMEDY)


def primary_code(error: Exception) -> int | None:
    """SQLite's result code without its extension; None for an error that is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def damaged(what: str) -> LedgerFailed:
    """The ledger is not what it was."""
    return LedgerFailed(f"the ledger is damaged: {what}", REMEDY)


def _held(ledger: Path) -> LedgerHeld:
    return LedgerHeld(
        f"another program, probably a database browser, has held {ledger} for"
        f" {LOCK_WAIT_S:.0f} seconds; nothing is damaged",
        "save or close it there, then go on",
    )


def _of_the_system(error: OSError, folder: Path) -> LedgerFailed:
    what, remedy = trouble(error, folder)
    return LedgerOutOfReach(f"the ledger failed: {what}", remedy)


def _of_the_disk(error: Exception, ledger: Path) -> LedgerFailed:
    """SQLite says that the disk refused, but not how: the disk is asked again."""
    refused = _refusal(error, ledger)
    if refused is not None:
        return _of_the_system(refused, ledger.parent)
    if getattr(error, "sqlite_errorcode", None) in UNSHARED:
        return LedgerOutOfReach(
            f"the ledger failed: its disk cannot lock or share files ({error})",
            "move the run folder to a disk of this machine",
        )
    found = _refusal_of_temporary_files()
    if found is not None:
        return found
    if primary_code(error) == sqlite3.SQLITE_FULL:
        return LedgerOutOfReach(f"the ledger cannot be written: {error}", "free some room")
    return LedgerFailed(f"the ledger failed: {error}", "check the disk, then run `verify`")


def _refusal(error: Exception, ledger: Path) -> OSError | None:
    wants = os.R_OK if primary_code(error) == sqlite3.SQLITE_CANTOPEN else os.W_OK
    if ledger.exists() and not os.access(ledger, wants):
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(ledger))
    size = 0
    with suppress(OSError):
        size = ledger.stat().st_size
    return refusal(ledger.parent, size)


def _refusal_of_temporary_files() -> LedgerFailed | None:
    """What is wrong with the place that SQLite's temporary files are in, if it is not the folder.

    Python looks for one in nearly the same places (sqlite.org/tempfiles.html, section 5).
    """
    remedy = "set SQLITE_TMPDIR to a folder that has room"
    try:
        folder = Path(os.environ.get("SQLITE_TMPDIR") or tempfile.gettempdir())
    except FileNotFoundError:
        return LedgerOutOfReach("there is no folder for temporary files", remedy)
    refused = refusal(folder)
    if refused is None:
        return None
    return LedgerOutOfReach(
        f"no room for temporary files: {trouble(refused, folder).reason}", remedy
    )
