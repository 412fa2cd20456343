"""Input files as streams of numbered records: what is there, what it holds, its fingerprint.

A source is hashed first and parsed second from the same open descriptor; if it changes in between,
nothing of it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from bulk_unenroll import remote
from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused
from bulk_unenroll.inputs.finding import PARQUET_ENDINGS, STDIN, XLSX_ENDINGS, InputFile
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.formats.records import Records
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

_T = TypeVar("_T")

PARQUET_MAGIC: Final = b"PAR1"
BLOCK_BYTES: Final = 1 << 20


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


# ── opening ──────────────────────────────────────────────────────────────────────────────────────


class Source:
    """An open input. ``sha256`` (hex) and ``size_bytes`` are of the bytes as they lie on disk."""

    def __init__(self, file: InputFile, handle: BinaryIO, reading: ReadSettings) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self.file = file
        self.size_bytes = self._before[0]
        self.sha256 = _sha256(handle)
        self._content = _content(file, handle, reading)
        self.mapper = Mapper(self._content.header, reading)
        self._content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self._content.header

    def records(self) -> Iterator[Record]:
        """Every record, numbered from 1; one reading at a time.

        Raises ``InputRefused`` (65), at the end also if the file changed since it was opened:
        only what was read to the end can be trusted.
        """
        yield from self._whole(self._content.records())

    def pieces(self) -> Iterator[Piece]:
        """The same as ``records``, many at a time."""
        yield from self._whole(self._content.pieces(self.mapper))

    def _whole(self, content: Iterator[_T]) -> Iterator[_T]:
        with _named(self.file):
            yield from content
            if _fingerprint(self._handle) != self._before:
                raise InputRefused("changed while it was being read", "run it again when it rests")


@contextmanager
def open_source(file: InputFile, reading: ReadSettings, spool: Path) -> Iterator[Source]:
    """Open an input. What cannot be read twice is first copied into the folder ``spool``.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), ``UsageError`` (2) for a delimiter that is
    none, and ``FolderUnusable`` (73) where ``spool`` cannot be written.
    """
    with _open(file, spool) as handle:
        with _named(file):
            source = Source(file, handle, reading)
        yield source


def read_header(file: InputFile, reading: ReadSettings, spool: Path) -> tuple[str, ...]:
    """The column names of an input, whichever ids they name; raises as ``open_source`` does."""
    with _open(file, spool) as handle, _named(file):
        return _content(file, handle, reading).header


@contextmanager
def _named(file: InputFile) -> Iterator[None]:
    """Say which input a refusal is about."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(
            f"{file.display}: {refused.reason}", refused.remedy, lacking=refused.lacking
        ) from None


@contextmanager
def _open(file: InputFile, spool: Path) -> Iterator[BinaryIO]:
    if file.path == STDIN:
        with _spooled(_standard_input(), file.display, spool) as handle:
            yield handle
        return
    if file.url:
        with remote.copied(file.url, spool) as handle:
            yield handle
        return
    try:
        given = Path(file.path).open("rb")  # noqa: SIM115 - closed by the `with` below
    except FileNotFoundError:
        raise InputMissing(f"input {file.display} is not there", "check the path") from None
    except OSError as error:
        raise InputRefused(f"{file.display}: {error.strerror}", "check its permissions") from None
    with given:
        if stat.S_ISREG(os.fstat(given.fileno()).st_mode):
            yield given
        else:
            with _spooled(given, file.display, spool) as handle:
                yield handle


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # a scheduler may start us without one
        raise InputMissing("standard input is closed", "give the path of a file")
    return sys.stdin.buffer


@contextmanager
def _spooled(stream: BinaryIO, display: str, spool: Path) -> Iterator[BinaryIO]:
    if _is_device(stream):  # /dev/zero would fill the disk
        raise InputRefused(f"{display} is a device, no file", "give the path of a file, or a pipe")
    with ExitStack() as stack:
        try:
            # 0600, and without a name where the system can do that: nothing is left behind
            handle = stack.enter_context(tempfile.TemporaryFile(dir=spool))
            shutil.copyfileobj(stream, handle, BLOCK_BYTES)
            handle.seek(0)
        except OSError as error:
            raise FolderUnusable(
                f"the input cannot be copied into {spool}: {error.strerror}", "make room there"
            ) from None
        yield handle


def _is_device(stream: BinaryIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except io.UnsupportedOperation:  # standard input was replaced by an object of Python's
        return False
    return stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not stream.isatty())


def _content(file: InputFile, handle: BinaryIO, reading: ReadSettings) -> Records:
    handle.seek(0)
    head = handle.read(len(PARQUET_MAGIC))
    if head == PARQUET_MAGIC or file.path.lower().endswith(PARQUET_ENDINGS):
        from bulk_unenroll.inputs.formats.parquet_reader import (
            ParquetRecords,  # pyarrow is slow to import
        )

        return ParquetRecords(handle)
    if file.path.lower().endswith(XLSX_ENDINGS):
        return _workbook(handle, reading.sheet)
    if reading.sheet is not None:
        raise InputRefused("is no workbook, so it has no --sheet", "leave --sheet out")
    return CsvRecords(handle, file.path, reading)


def _workbook(handle: BinaryIO, sheet: str | None) -> Records:
    handle.seek(0)
    try:
        from bulk_unenroll.inputs.formats.excel_reader import XlsxRecords
    except ImportError:
        raise InputRefused(
            "workbooks need an extra", "pip install 'bulk-unenroll[xlsx]', or save it as CSV"
        ) from None
    return XlsxRecords(handle, sheet)


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
