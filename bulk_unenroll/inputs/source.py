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
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from bulk_unenroll import remote
from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused
from bulk_unenroll.inputs.finding import PARQUET_ENDINGS, STDIN, InputFile
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.formats.records import Records, changed, no_header_row
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.path_columns import PathColumns
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import XLSX_ENDINGS, Record
from bulk_unenroll.urls import scheme_of

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

_T = TypeVar("_T")

PARQUET_MAGIC: Final = b"PAR1"
BLOCK_BYTES: Final = 1 << 20
HEADER_WITHIN: Final = 20
"""A header is looked for so far down."""
SETTLED_AFTER_S: Final = 2.0


class Source:
    """An open input. ``sha256`` (hex) and ``size_bytes`` are those of the file, packed or not."""

    def __init__(self, file: InputFile, handle: BinaryIO, reading: ReadSettings) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self.file = file
        self.size_bytes = self._before[0]
        self.sha256 = _sha256(handle)
        self._content = _read_content(file, handle, reading)
        self._path = _path_columns(file, self._content.header)
        try:
            self.mapper = Mapper(self._content.header, reading, self._path, file.display)
        except InputRefused as refused:
            raise self._header_below(refused, reading) from None
        self._content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self.mapper.header

    @property
    def noticed(self) -> Mapping[str, object]:
        """What was noticed while the pieces were read, as in ``LedgerReader.noticed``."""
        return self._content.noticed

    def naming(self) -> AbstractContextManager[None]:
        """Put the name of the input in front of a refusal of one of its records."""
        return _naming(self.file)

    def _header_below(self, refused: InputRefused, reading: ReadSettings) -> InputRefused:
        """The refusal of a header, with the row that would be a better one, if there is one."""
        if reading.header_row is not None:
            return refused
        for number in range(2, HEADER_WITHIN + 1):
            try:
                header = self._content.header_at(number)
                Mapper(header, reading, _path_columns(self.file, header))
            except InputRefused:
                continue
            is_sheet = self.file.path.lower().endswith(XLSX_ENDINGS)
            return InputRefused(
                f"{refused.reason}. The header seems to be in {'row' if is_sheet else 'line'}"
                f" {number}",
                f"add --header-row {number}",
                lacking={"header-row": str(number)},
            )
        return refused

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
        with _naming(self.file):
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

        if reading.header_row is not None:
            raise no_header_row()
        return ParquetRecords(handle)
    if file.path.lower().endswith(XLSX_ENDINGS):
        return _workbook(handle, reading)
    if reading.sheet is not None:
        raise InputRefused("not a workbook, so there is no sheet to choose", "remove --sheet")
    return CsvRecords(handle, file.path, reading)


def _workbook(handle: BinaryIO, reading: ReadSettings) -> Records:
    handle.seek(0)
    try:
        from bulk_unenroll.inputs.formats.excel_reader import XlsxRecords
    except ImportError:
        raise InputRefused(
            "a workbook needs an extra", "pip install 'bulk-unenroll[xlsx]', or save it as CSV"
        ) from None
    return XlsxRecords(handle, reading.sheet, reading.header_row)


def _path_columns(file: InputFile, header: Sequence[str]) -> PathColumns:
    encoded = scheme_of(file.url) in ("http", "https")
    return PathColumns.of(file.path, header, is_address=encoded)


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
