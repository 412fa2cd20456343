"""Files that are written completely or not at all, and durably."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new 0600 file, which replaces ``path`` when the block ends without an exception.

    A reader sees the old file or the complete new one. A symlink at ``path`` is replaced, not
    followed. Raises ``OSError`` where ``path`` is a device or a pipe: it would be replaced, too.
    """
    check_replaceable(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise ``OSError`` if ``path`` is a device, a pipe or a socket."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))


def sync_directory(folder: Path) -> None:
    """Make durable which files were created, renamed or removed in ``folder``."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_text(path: Path) -> TextIO:
    """Open ``path`` to write UTF-8 text; line ends are written unchanged."""
    return path.open("w", encoding="utf-8", newline="")
