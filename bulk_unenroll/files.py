"""Files that appear whole or not at all, and last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a fresh 0600 file beside ``path`` which takes its place when the block ends well.

    A reader sees the old file or the whole new one. A symlink at ``path`` is replaced, never
    followed.
    """
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


def sync_directory(folder: Path) -> None:
    """Make what was created, renamed or removed in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_text(path: Path) -> TextIO:
    """Open a file made by ``replacing`` for text whose line ends are the writer's own."""
    return path.open("w", encoding="utf-8", newline="")
