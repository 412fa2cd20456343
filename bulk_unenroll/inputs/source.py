"""Opens an input file as a stream of numbered records.

A source is hashed first and parsed second, through the same open descriptor. If the file changes in
between, it is refused.
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
from bulk_unenroll.inputs.formats.records import Records, changed
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

_T = TypeVar("_T")

PARQUET_MAGIC: Final = b"PAR1"
BLOCK_BYTES: Final = 1 << 20


class Source:
    """An open input. ``sha256`` (hex) and ``size_bytes`` are those of the file, packed or not."""

    def __init__(self, file: InputFile, handle: BinaryIO, reading: ReadSettings) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self.file = file
        self.size_bytes = self._before[0]
        self.sha256 = _sha256(handle)
        self._content = _read_content(file, handle, reading)
        self.mapper = Mapper(self._content.header, reading)
        self._content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self._content.header

    def records(self) -> Iterator[Record]:
        """Yield every record, numbered from 1. Only one iteration at a time.

        Raises ``InputRefused`` (65), also at the end if the file changed since it was opened. So
        the records can be trusted only after the last one.
        """
        yield from self._if_unchanged(self._content.records())

    def pieces(self) -> Iterator[Piece]:
        """Yield the same records, many at a time."""
        yield from self._if_unchanged(self._content.pieces(self.mapper))

    def _if_unchanged(self, content: Iterator[_T]) -> Iterator[_T]:
        with _naming(self.file):
            yield from content
            if _fingerprint(self._handle) != self._before:
                raise changed()


@contextmanager
def open_source(file: InputFile, reading: ReadSettings, spool: Path) -> Iterator[Source]:
    """Open an input. One that cannot be read twice is first copied into the folder ``spool``.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), ``UsageError`` (2) for an invalid
    delimiter, and ``FolderUnusable`` (73) if ``spool`` cannot be written to.
    """
    with _open(file, spool) as handle:
        with _naming(file):
            source = Source(file, handle, reading)
        yield source


def read_header(file: InputFile, reading: ReadSettings, spool: Path) -> tuple[str, ...]:
    """Return the column names of an input, even without ids; raises as ``open_source``."""
    with _open(file, spool) as handle, _naming(file):
        return _read_content(file, handle, reading).header


@contextmanager
def _naming(file: InputFile) -> Iterator[None]:
    """Put the name of the input in front of a refusal."""
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
        opened = Path(file.path).open("rb")  # noqa: SIM115 - closed by the `with` below
    except FileNotFoundError:
        raise InputMissing(f"input {file.display} does not exist", "check the path") from None
    except OSError as error:
        raise InputRefused(f"{file.display}: {error.strerror}", "check its permissions") from None
    with opened:
        if stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            yield opened
        else:
            with _spooled(opened, file.display, spool) as handle:
                yield handle


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # a scheduler may start a process without it
        raise InputMissing("standard input is closed", "give the path of a file")
    return sys.stdin.buffer


@contextmanager
def _spooled(stream: BinaryIO, display: str, spool: Path) -> Iterator[BinaryIO]:
    if _is_device(stream):  # /dev/zero would fill the disk
        raise InputRefused(f"{display} is a device", "give a file or a pipe")
    with ExitStack() as stack:
        try:
            # 0600, and without a name where the system supports it, so that nothing is left behind
            handle = stack.enter_context(tempfile.TemporaryFile(dir=spool))
            shutil.copyfileobj(stream, handle, BLOCK_BYTES)
            handle.seek(0)
        except OSError as error:
            raise FolderUnusable(
                f"cannot copy the input into {spool}: {error.strerror}",
                "free some space or check the permissions",
            ) from None
        yield handle


def _is_device(stream: BinaryIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except io.UnsupportedOperation:  # standard input is a Python object without a descriptor
        return False
    return stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not stream.isatty())


def _read_content(file: InputFile, handle: BinaryIO, reading: ReadSettings) -> Records:
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
        raise InputRefused("not a workbook, so there is no sheet to choose", "remove --sheet")
    return CsvRecords(handle, file.path, reading)


def _workbook(handle: BinaryIO, sheet: str | None) -> Records:
    handle.seek(0)
    try:
        from bulk_unenroll.inputs.formats.excel_reader import XlsxRecords
    except ImportError:
        raise InputRefused(
            "a workbook needs an extra", "pip install 'bulk-unenroll[xlsx]', or save it as CSV"
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
