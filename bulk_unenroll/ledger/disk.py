"""What it means where a disk refuses: told by the system's error number, never by its words."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

PROBE_BYTES: Final = 1 << 18
"""More than SQLite writes at once: where that found no room, this finds none either."""


class Trouble(NamedTuple):
    """What happened, and what to do about it; both without a full stop."""

    reason: str
    remedy: str


MEANINGS: Final = {
    errno.ENOSPC: Trouble("the disk of {where} is full", "free some room"),
    errno.EDQUOT: Trouble(
        "this user's quota on the disk of {where} is used up", "free some room, or get more quota"
    ),
    errno.EFBIG: Trouble(
        "a file in {where} may not grow further", "raise the limit: ulimit -f unlimited"
    ),
    errno.EROFS: Trouble(
        "the disk of {where} is read-only", "make it writable, or copy the folder to another disk"
    ),
    errno.EACCES: Trouble("this user may not use {where}", "run as its owner"),
    errno.EPERM: Trouble("this user may not use {where}", "run as its owner"),
    errno.EMFILE: Trouble(
        "this program has too many files open", "raise the limit: ulimit -n 4096"
    ),
    errno.ENFILE: Trouble(
        "this machine has too many files open", "end other programs, or raise its limit"
    ),
    errno.EIO: Trouble("the disk of {where} reports an error", "check the disk"),
    errno.ENOENT: Trouble("{where} is gone", "look who moved or removed it"),
    errno.ESTALE: Trouble("{where} is gone", "look who moved or removed it"),
}
NO_INODES: Final = Trouble(
    "the disk of {where} has room, but takes no more files (no inodes are left)",
    "remove some files there",
)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def trouble(error: OSError, folder: Path) -> Trouble:
    """What ``error`` means that a file in ``folder`` met."""
    is_ours = isinstance(error.filename, str | bytes | os.PathLike) and not _is_part(error.filename)
    denied = is_ours and error.errno not in _NO_ROOM
    where = Path(os.fsdecode(error.filename)) if denied else folder
    meaning = MEANINGS.get(error.errno or 0)
    if meaning is None:
        return Trouble(f"{where}: {error.strerror or error}", "check the disk")
    if error.errno == errno.ENOSPC and _has_no_inodes(folder):
        meaning = NO_INODES
    return Trouble(meaning.reason.format(where=where), meaning.remedy)


def _is_part(name: str | bytes | os.PathLike[str]) -> bool:
    return Path(os.fsdecode(name)).name.startswith(".")


def _has_no_inodes(folder: Path) -> bool:
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0
    return False


def refusal(folder: Path, at_byte: int = 0) -> OSError | None:
    """How the disk of ``folder`` refuses a new file, of more than ``at_byte`` bytes; None if not.

    SQLite does not say which error the system gave it, so the system is asked again.
    """
    probe = folder / ".probe"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(descriptor, bytes(PROBE_BYTES), at_byte)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.with_traceback(None)  # which would keep the caller's frames
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return None
