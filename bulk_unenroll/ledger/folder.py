"""The run folder: where a job's files are, who may read them, and who works in it.

Every file is 0600 and the folder 0700, for customer ids are personal data.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bulk_unenroll.errors import FolderBusy, FolderUnusable, InputMissing, LedgerFailed
from bulk_unenroll.files import sync_directory
from bulk_unenroll.ledger.disk import trouble
from bulk_unenroll.urls import is_remote

LEDGER_NAME: Final = "ledger.sqlite"
LOCK_NAME: Final = "lock"
STOP_NAME: Final = "stop"
"""A file of this name asks the process that works in the folder to stop."""
STOPPED: Final = "stopped by `bulk-unenroll stop`"
"""The reason of a run that ended because of it."""
PROBED_S: Final = 0.2
"""A ``status`` holds the lock for a moment, to see whether anybody does."""


def ledger_path(folder: Path) -> Path:
    """The ledger's path in ``folder``."""
    return folder / LEDGER_NAME


def make_folder(folder: Path) -> None:
    """Make the run folder, 0700, durably; raises ``FolderUnusable`` (73)."""
    check_local(folder)
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(folder.absolute().parent)
    except (FileExistsError, NotADirectoryError):
        raise _unusable(f"{folder} is a file, not a folder") from None
    except OSError as error:
        raise _unusable(f"cannot make {folder}: {error.strerror}") from None


def check_local(folder: Path) -> None:
    """Refuse a remote run folder: only of a local disk is it known when a ledger is durable."""
    if is_remote(folder):
        raise FolderUnusable(
            "the run folder stays on this machine, where the ledger can be made durable",
            "give --out DIR; `export --to` can write to a remote address",
            lacking={"out": "DIR"},
        )


def _unusable(reason: str) -> FolderUnusable:
    return FolderUnusable(reason, "give --out DIR", lacking={"out": "DIR"})


def _check_owner(folder: Path) -> None:
    """Refuse what somebody else could swap under our hands: a planted folder or ledger."""
    for path in (folder, ledger_path(folder)):
        with suppress(FileNotFoundError):
            owner = path.lstat().st_uid
            if owner != os.geteuid() and not path.is_symlink():
                raise FolderUnusable(
                    f"{path} belongs to somebody else (uid {owner})", "run as its owner"
                )


def existing_folder(given: Path) -> Path:
    """The run folder that ``given`` names, itself or by its ledger; raises ``InputMissing``."""
    check_local(given)
    folder = given.parent if given.is_file() else given
    if not ledger_path(folder).exists():
        what = "has no ledger.sqlite" if folder.is_dir() else "is not there"
        raise InputMissing(f"run folder {given} {what}", "give the folder that `run` printed")
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone; raises ``FolderBusy`` (75) if another process holds it, or
    ``FolderUnusable`` (73) where it cannot be locked or is not ours.

    The lock is the system's (``flock``), so a killed process leaves none behind. A stop that was
    asked of whoever held the folder before is forgotten; one that is asked from now on holds.
    """
    _check_owner(folder)
    lock = FileLock(folder / LOCK_NAME, mode=0o600)
    try:
        lock.acquire(timeout=PROBED_S, poll_interval=PROBED_S / 4)
    except Timeout:
        raise FolderBusy(str(folder)) from None
    except OSError as error:
        raise _unusable(f"cannot lock {folder}: {error.strerror}") from None
    try:
        forget_stop(folder)
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether another process holds the folder. Changes nothing."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def ask_to_stop(folder: Path) -> None:
    """Ask the process that works in the folder to stop cleanly; raises ``FolderUnusable`` (73)."""
    try:
        os.close(os.open(folder / STOP_NAME, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise _unusable(f"cannot write in {folder}: {error.strerror}") from None


def is_asked_to_stop(folder: Path) -> bool:
    """Whether somebody asked for a stop."""
    return (folder / STOP_NAME).exists()


def forget_stop(folder: Path) -> None:
    """A stop that was asked for is done, or was asked of somebody else."""
    with suppress(OSError):
        (folder / STOP_NAME).unlink(missing_ok=True)


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` while ``what`` is written in ``folder`` into ``LedgerFailed`` (74)."""
    try:
        yield
    except OSError as error:
        why, remedy = trouble(error, folder)
        raise LedgerFailed(f"{what} cannot be written: {why}", remedy) from error


def who_works() -> str:
    """Who works in the folder, and where: ``user@host``, by the environment and the system."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container, a user may have no name
        user = str(os.getuid())
    who = f"{user}@{socket.gethostname()}"
    return who.encode("utf-8", "backslashreplace").decode()  # a variable need not be text
