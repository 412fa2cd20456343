"""Opens an input file as a stream of numbered records.

A source is hashed first and parsed second, through the same open descriptor. If the file changes in
between, it is refused.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.formats.records import changed
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.opening import (
    BLOCK_BYTES,
    header_below,
    naming,
    opened,
    path_columns,
    read_content,
)
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

_T = TypeVar("_T")

SETTLED_AFTER_S: Final = 2.0


class Source:
    """An open input. ``sha256`` (hex) and ``size_bytes`` are those of the file, packed or not."""

    def __init__(self, file: InputFile, handle: BinaryIO, reading: ReadSettings) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self.file = file
        self.size_bytes = self._before[0]
        self.sha256 = _sha256(handle)
        self._content = read_content(file, handle, reading)
        self._path = path_columns(file, self._content.header)
        try:
            self.mapper = Mapper(self._content.header, reading, self._path, file.display)
        except InputRefused as refused:
            raise header_below(self._content, file, refused, reading) from None
        self._content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self.mapper.header

    @property
    def noticed(self) -> Mapping[str, object]:
        """What was noticed while the pieces were read, as in ``LedgerReader.noticed``."""
        return self._content.noticed

    @property
    def position_bytes(self) -> int:
        """How far the file is read; of a workbook or a Parquet file about."""
        return os.lseek(self._handle.fileno(), 0, os.SEEK_CUR)

    def naming(self) -> AbstractContextManager[None]:
        """Put the name of the input in front of a refusal of one of its records."""
        return naming(self.file)

    def records(self) -> Iterator[Record]:
        """Yield every record, numbered from 1. Only one iteration at a time.

        Raises ``InputRefused`` (65), also at the end if the file changed since it was opened. So
        the records can be trusted only after the last one.
        """
        yield from map(self._path.record, self._if_unchanged(self._content.records()))

    def pieces(self) -> Iterator[Piece]:
        """Yield the same records, many at a time."""
        yield from map(self._path.piece, self._if_unchanged(self._content.pieces(self.mapper)))

    def _if_unchanged(self, content: Iterator[_T]) -> Iterator[_T]:
        with naming(self.file):
            yield from content
            if self._content.may_grow:
                self._wait_for_more()
            if _fingerprint(self._handle) != self._before:
                raise changed()

    def _wait_for_more(self) -> None:
        """Let the writer of a file that has just changed go on, so that this is noticed."""
        if _is_open_at(self.file.path, self._handle):
            age_s = time.time() - self._before[1] / 1e9
            if age_s < SETTLED_AFTER_S:
                time.sleep(min(SETTLED_AFTER_S - age_s, SETTLED_AFTER_S))


@contextmanager
def open_source(file: InputFile, reading: ReadSettings, spool: Path) -> Iterator[Source]:
    """Open an input. One that cannot be read twice is first copied into the folder ``spool``.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), ``UsageError`` (2) for an invalid
    delimiter, and ``FolderUnusable`` (73) if ``spool`` cannot be written to.
    """
    with opened(file, spool) as handle:
        with naming(file):
            source = Source(file, handle, reading)
        yield source


def read_header(file: InputFile, reading: ReadSettings, spool: Path) -> tuple[str, ...]:
    """Return the column names of an input, even without ids; raises as ``open_source``."""
    with opened(file, spool) as handle, naming(file):
        return read_content(file, handle, reading).header


def _is_open_at(path: str, handle: BinaryIO) -> bool:
    """Whether ``handle`` is the file at ``path`` itself, and no copy."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(handle.fileno()))
    except OSError:
        return False


def _fingerprint(handle: BinaryIO) -> tuple[int, int]:
    found = os.fstat(handle.fileno())
    return found.st_size, found.st_mtime_ns


def _sha256(handle: BinaryIO) -> str:
    handle.seek(0)
    digest = hashlib.sha256()
    try:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    except OSError as error:
        raise InputRefused(f"cannot be read: {error.strerror}", "check the disk") from None
    return digest.hexdigest()
