"""The pages of a SQLite file, without SQLite: which belong to what (sqlite.org/fileformat2).

Pages are numbered from 1. What is asked of a page is so little that the file need not be sound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final, Self

HEADER_BYTES: Final = 100
INTERIOR: Final = frozenset({2, 5})
LOG_HEADER: Final = struct.Struct(">IIII8s8s")
"""Magic number, version, page size, checkpoints, salt, checksum."""
FRAME_HEADER: Final = struct.Struct(">II8s8s")
"""Page number, pages after a commit, salt, checksum."""


class PageFile:
    """The pages of a closed database. A context manager."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(HEADER_BYTES)
        size = int.from_bytes(head[16:18], "big")
        self.page_bytes = 65_536 if size == 1 else max(size, 512)
        self.changes = head[24:28] if head[24:28] == head[92:96] else b""
        """Counts the transactions that changed page 1; it stands there twice."""
        self._first_free = int.from_bytes(head[32:36], "big")
        self.size = file.seek(0, 2)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file at ``path``."""
        return cls(path.open("rb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def count(self) -> int:
        """How many pages there are."""
        return -(-self.size // self.page_bytes)

    def read(self, first: int, end: int, at_most: int = 1 << 20) -> Iterator[bytes]:
        """The pages from ``first`` on, before ``end``, some at a time."""
        self._file.seek((first - 1) * self.page_bytes)
        left = (end - first) * self.page_bytes
        while left > 0 and (read := self._file.read(min(left, at_most))):
            left -= len(read)
            yield read

    def page(self, number: int) -> bytes:
        """A page."""
        return b"".join(self.read(number, number + 1))

    def tree(self, root: int) -> set[int]:
        """The pages of a table or index, but for those on which a long value goes on."""
        found = {root}
        wanted = [root]
        while wanted:
            new = set(self._children(wanted.pop())) - found
            found |= new
            wanted += new
        return found

    def _children(self, number: int) -> Iterator[int]:
        page, at = self.page(number), HEADER_BYTES if number == 1 else 0
        if len(page) < self.page_bytes or page[at] not in INTERIOR:
            return
        (cells,) = struct.unpack_from(">H", page, at + 3)
        yield from struct.unpack_from(">I", page, at + 8)
        for (offset,) in struct.iter_unpack(">H", page[at + 12 : at + 12 + 2 * cells]):
            yield from struct.unpack_from(">I", page, offset)

    def free(self) -> set[int]:
        """The pages that nothing is on."""
        found: set[int] = set()
        trunk = self._first_free
        while trunk and trunk not in found and len(page := self.page(trunk)) >= 8:
            found.add(trunk)
            trunk, leaves = struct.unpack_from(">II", page)
            found.update(leaf for (leaf,) in struct.iter_unpack(">I", page[8 : 8 + 4 * leaves]))
        return found


def pages_in_log(path: Path) -> set[int]:
    """The pages that a write-ahead log holds, even if SQLite would not take all of them."""
    found: set[int] = set()
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return found
    with file:
        head = file.read(LOG_HEADER.size)
        if len(head) < LOG_HEADER.size:
            return found
        _, _, page_bytes, _, salt, _ = LOG_HEADER.unpack(head)
        while len(head := file.read(FRAME_HEADER.size)) == FRAME_HEADER.size:
            page, _, frame_salt, _ = FRAME_HEADER.unpack(head)
            if frame_salt == salt:  # else it is left from before the log began anew
                found.add(page)
            file.seek(page_bytes, 1)
    return found


def as_text(pages: Iterable[int]) -> str:
    """Pages as a short text, such as ``1,5-9``."""
    runs = groupby(enumerate(sorted(pages)), key=lambda pair: pair[1] - pair[0])
    found = [[page for _, page in run] for _, run in runs]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in found)


def from_text(text: str) -> set[int]:
    """The pages that a text names; raises ``ValueError``."""
    found: set[int] = set()
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
