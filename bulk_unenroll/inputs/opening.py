"""Opens an input in binary mode, finds out its format, and reads its header."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

from bulk_unenroll import remote
from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused
from bulk_unenroll.inputs.finding import PARQUET_ENDINGS, STDIN, InputFile
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.formats.records import Records, no_header_row
from bulk_unenroll.inputs.mapping import ReadSettings, meaning
from bulk_unenroll.inputs.path_columns import PathColumns
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import XLSX_ENDINGS
from bulk_unenroll.urls import scheme_of

Format = Literal["csv", "xlsx", "parquet"]

PARQUET_MAGIC: Final = b"PAR1"
BLOCK_BYTES: Final = 1 << 20
log = get_logger()
HEADER_WITHIN: Final = 20
"""A header is looked for so far down."""


@contextmanager
def opened(file: InputFile, spool: Path) -> Iterator[BinaryIO]:
    """Open an input, or a copy in the folder ``spool`` of one that cannot be read twice.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), and ``FolderUnusable`` (73) if ``spool``
    cannot be written to.
    """
    if file.path == STDIN:
        with _spooled(_standard_input(), file.display, spool) as handle:
            yield handle
        return
    if file.url:
        with remote.copied(file.url, spool) as handle:
            yield handle
        return
    try:
        local = Path(file.path).open("rb")  # noqa: SIM115 - closed by the `with` below
    except FileNotFoundError:
        raise InputMissing(f"input {file.display} does not exist", "check the path") from None
    except OSError as error:
        raise InputRefused(f"{file.display}: {error.strerror}", "check its permissions") from None
    with local:
        if stat.S_ISREG(os.fstat(local.fileno()).st_mode):
            yield local
        else:
            with _spooled(local, file.display, spool) as handle:
                yield handle


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # a scheduler may start a process without it
        raise InputMissing("standard input is closed", "give the path of a file")
    return sys.stdin.buffer


@contextmanager
def _spooled(stream: BinaryIO, display: str, spool: Path) -> Iterator[BinaryIO]:
    if _is_device(stream):  # /dev/zero would fill the disk
        raise InputRefused(f"{display} is a device", "give a file or a pipe")
    if stream.isatty():
        log.warning("reading_terminal", hint="type or paste the rows, and end with Ctrl-D")
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


def format_of(file: InputFile, handle: BinaryIO) -> Format:
    """What kind of file it is, by its name and its first bytes."""
    handle.seek(0)
    head = handle.read(len(PARQUET_MAGIC))
    if head == PARQUET_MAGIC or file.path.lower().endswith(PARQUET_ENDINGS):
        return "parquet"
    return "xlsx" if file.path.lower().endswith(XLSX_ENDINGS) else "csv"


def read_content(file: InputFile, handle: BinaryIO, reading: ReadSettings) -> Records:
    """Read the header of an input. Raises ``InputRefused`` (65) and ``UsageError`` (2)."""
    kind = format_of(file, handle)
    if kind == "parquet":
        from bulk_unenroll.inputs.formats.parquet_reader import (
            ParquetRecords,  # pyarrow is slow to import
        )

        if reading.header_row is not None:
            raise no_header_row()
        return ParquetRecords(handle)
    if kind == "xlsx":
        return _workbook(handle, reading)
    if reading.sheet is not None:
        raise InputRefused("not a workbook, so there is no sheet to choose", "remove --sheet")
    return CsvRecords(handle, file.path, reading)


def _workbook(handle: BinaryIO, reading: ReadSettings) -> Records:
    handle.seek(0)
    with _needing_extra():
        from bulk_unenroll.inputs.formats.excel_reader import XlsxRecords
    return XlsxRecords(handle, reading.sheet, reading.header_row)


def sheets_of(handle: BinaryIO) -> dict[str, int | None]:
    """A workbook's visible sheets by name, with the number of the last row where it says so.

    Raises ``InputRefused`` (65).
    """
    with _needing_extra():
        from bulk_unenroll.inputs.formats.excel_reader import visible_sheets
    return visible_sheets(handle)


@contextmanager
def _needing_extra() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputRefused(
            "a workbook needs an extra", "pip install 'bulk-unenroll[xlsx]', or save it as CSV"
        ) from None


def path_columns(file: InputFile, header: Sequence[str]) -> PathColumns:
    """The columns that stand in the path of an input with this header."""
    encoded = scheme_of(file.url) in ("http", "https")
    is_local = not file.url and file.path != STDIN
    leads_to = str(Path(file.path).resolve()) if is_local else ""
    return PathColumns.of(file.path, header, is_address=encoded, leads_to=leads_to)


@contextmanager
def naming(file: InputFile) -> Iterator[None]:
    """Put the name of the input in front of a refusal."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(
            f"{file.display}: {refused.reason}", refused.remedy, lacking=refused.lacking
        ) from None


def header_below(
    content: Records, file: InputFile, refused: InputRefused, reading: ReadSettings
) -> InputRefused:
    """The refusal of a header, with the row that would be a better one, if there is one."""
    if reading.header_row is not None:
        return refused
    below = _header_within(content, file, reading)
    if below is None:
        return refused
    number, missing = below
    is_sheet = file.path.lower().endswith(XLSX_ENDINGS)
    remedy = f", and {missing.remedy}" if missing else ""
    return InputRefused(
        f"{refused.reason}. The header seems to be in {'row' if is_sheet else 'line'} {number}",
        f"add --header-row {number}{remedy}",
        lacking={"header-row": str(number), **(missing.lacking if missing else {})},
    )


def _header_within(
    content: Records, file: InputFile, reading: ReadSettings
) -> tuple[int, InputRefused | None] | None:
    """The first row that could be the header, and what it lacks; one that lacks nothing wins."""
    lacking: tuple[int, InputRefused] | None = None
    for number in range(1, HEADER_WITHIN + 1):
        try:
            header = content.header_at(number)
        except InputRefused:
            continue
        try:
            Mapper(header, reading, path_columns(file, header))
        except InputRefused as refused:
            if lacking is None and "customerId" in map(meaning, header):
                lacking = number, refused
        else:
            return number, None
    return lacking if lacking and lacking[0] > 1 else None
