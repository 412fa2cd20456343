"""What is kept beside the ledger to notice that it lost something: ``ledger.sqlite-mark``.

While the ledger is open the mark holds the number of its last commit, written after each one: a
ledger that knows fewer commits lost some, whatever became of its write-ahead log. Once it is closed
the mark holds the file's checksum. SQLite by itself notices neither.

The mark of an open ledger is not synced at each commit, so after power loss it may lag behind; it
never runs ahead.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bulk_unenroll.files import replacing, sync_directory

SUFFIX: Final = "-mark"
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenMark:
    """The ledger is in use, or its program was killed, after this number of commits."""

    commits: int


@dataclass(frozen=True, slots=True)
class ClosedMark:
    """The ledger was closed, with this checksum."""

    checksum: str


def mark_path(ledger: Path) -> Path:
    """The mark of the ledger at ``ledger``."""
    return ledger.with_name(ledger.name + SUFFIX)


def read_mark(ledger: Path) -> OpenMark | ClosedMark | None:
    """The mark of a ledger; None where there is none. Raises ``OSError``, and ``ValueError``."""
    try:
        descriptor = os.open(mark_path(ledger), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="ascii") as file:
        kind, _, value = file.read(1000).strip().partition(" ")
    if kind == "open" and value.isdecimal():
        return OpenMark(int(value))
    if kind == "closed":
        return ClosedMark(value)
    raise ValueError(f"{kind!r} is not a state of a ledger")


def checksum(ledger: Path) -> str:
    """CRC-32 and size of the file: finds damage, at gigabytes a second; not a signature."""
    crc, size = 0, 0
    with ledger.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    return f"crc32={crc:08x} size={size}"


def seal(ledger: Path) -> None:
    """Keep the checksum of a closed ledger. Raises ``OSError``."""
    _write(ledger, f"closed {checksum(ledger)}\n")


class Mark:
    """The mark of an open ledger; made before the first change. Raises ``OSError``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def begin(cls, ledger: Path, commits: int) -> Self:
        """Break the seal, durably."""
        _write(ledger, _line(commits))
        return cls(os.open(mark_path(ledger), os.O_WRONLY | os.O_NOFOLLOW))

    def note(self, commits: int) -> None:
        """Note how many commits the ledger has made."""
        os.pwrite(self._descriptor, _line(commits).encode(), 0)

    def close(self) -> None:
        """Leave the mark as it is."""
        os.close(self._descriptor)


def _line(commits: int) -> str:
    return f"open {commits:019}\n"


def _write(ledger: Path, line: str) -> None:
    path = mark_path(ledger)
    with replacing(path) as part:
        part.write_text(line, encoding="ascii")
    sync_directory(path.parent)
