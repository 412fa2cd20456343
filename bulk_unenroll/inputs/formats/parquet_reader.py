"""Reads Parquet as numbered records with exact values: batches are streamed, ids not cast."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.columns import Table
from bulk_unenroll.inputs.formats.records import grouped, no_header_row
from bulk_unenroll.inputs.ids import is_whole, shown
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import MAX_ID, Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

BATCH_ROWS: Final = 8192
READ_BUFFER_BYTES: Final = 1 << 18
# pyarrow also raises errors of Python's codecs, dates and integers
ERRORS: Final = (pa.ArrowException, OSError, ValueError, ArithmeticError, MemoryError)

Cell = str | int | bool | None


class ParquetRecords:
    """One Parquet file, open in binary mode. ``header`` are the column names.

    Raises ``InputRefused`` (65) if the file cannot be read.
    """

    def __init__(self, handle: BinaryIO) -> None:
        try:
            self._file = pq.ParquetFile(
                handle,
                buffer_size=READ_BUFFER_BYTES,
                pre_buffer=False,  # else a whole row group is in memory
                page_checksum_verification=True,
            )
            self._schema = self._file.schema_arrow
        except ERRORS as error:
            raise _unreadable(error) from None
        self.header: tuple[str, ...] = tuple(self._schema.names)
        self.traits: dict[str, str] = {}
        self.noticed: dict[str, object] = {}
        self.may_grow = False
        self._names: dict[int, str] = {}

    def check(self, mapper: Mapper) -> None:
        """Raise ``InputRefused`` (65) if an id column does not hold integers, text or decimals."""
        for name, place in mapper.file_places.items():
            dtype = self._schema.field(place).type
            if not _can_hold_ids(dtype):
                raise InputRefused(
                    f"column {shown(self.header[place])} ({name}) holds {dtype}, not whole numbers",
                    "write the ids as int64 or as text",
                )
        self._names = {place: name for name, place in mapper.file_places.items()}

    def header_at(self, number: int) -> tuple[str, ...]:
        """Raise ``InputRefused`` (65): the header is not among the rows."""
        raise no_header_row()

    def records(self) -> Iterator[Record]:
        """Yield every record, numbered from 1.

        Ids are int, text or None, unchanged, except that whole decimals are int. In other columns,
        values that JSON does not have are text: floats, times (ISO 8601), bytes (hex), nested.
        """
        row = 0
        for batch in self._batches():
            yield from self._records(batch, row + 1)
            row += batch.num_rows
        self._check_count(row)

    def _records(self, batch: Any, first_row: int) -> Iterator[Record]:
        columns = [self._cells(place, column) for place, column in enumerate(batch.columns)]
        for row, cells in enumerate(zip(*columns, strict=True), first_row):
            yield Record(row, cells)

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """Yield the same records, as tables if the id columns hold integers or text."""
        if not all(_reads_as_table(self._schema.field(place).type) for place in self._names):
            yield from grouped(self.records())
            return
        row = 0
        for batch in self._batches():
            try:
                columns = [
                    self._column(place, column) for place, column in enumerate(batch.columns)
                ]
            except ERRORS:
                yield from grouped(self._records(batch, row + 1))
            else:
                yield Table(row + 1, columns)
            row += batch.num_rows
        self._check_count(row)

    def _column(self, place: int, column: Any) -> Any:
        """The column with the values that ``records`` yields."""
        if _reads_as_table(column.type) or pa.types.is_boolean(column.type):
            column.validate(full=True)
            return column
        return pa.array(self._cells(place, column))

    def _check_count(self, found: int) -> None:
        """Raise ``InputRefused`` if the two row counts in the file are not the rows it has.

        pyarrow does not check them.
        """
        footer = self._file.metadata
        groups = sum(footer.row_group(n).num_rows for n in range(footer.num_row_groups))
        if not footer.num_rows == groups == found:
            raise _unreadable(
                f"its footer counts {footer.num_rows} rows, its row groups {groups}, "
                f"but it has {found}"
            )

    def _batches(self) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(batch_size=BATCH_ROWS)
        except ERRORS as error:
            raise _unreadable(error) from None

    def _cells(self, place: int, column: Any) -> list[Cell]:
        if place not in self._names:
            return _plain_cells(column)
        try:
            values = column.to_pylist()
        except ERRORS as error:
            raise InputRefused(
                f"column {shown(self.header[place])} ({self._names[place]}) cannot be read: "
                f"{_first_line(error)}",
                "write the ids as int64 or as text",
            ) from None
        return [_as_integer(v) for v in values] if pa.types.is_decimal(column.type) else values


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────


def _can_hold_ids(dtype: Any) -> bool:
    if pa.types.is_dictionary(dtype):
        dtype = dtype.value_type
    tests = (
        pa.types.is_integer,
        pa.types.is_decimal,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
    )
    return any(test(dtype) for test in tests)


def _reads_as_table(dtype: Any) -> bool:
    tests = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    return any(test(dtype) for test in tests)


def _as_integer(value: Decimal | None) -> Cell:
    """A whole decimal as an integer; as text if it is not whole, or too large for an id."""
    if value is None:
        return None
    if not is_whole(value):
        return format(value, "f")
    number = int(value)
    return number if abs(number) <= MAX_ID else str(number)


# ── other columns ────────────────────────────────────────────────────────────────────────────────


def _plain_cells(column: Any) -> list[Cell]:
    try:
        values: list[Any] = column.to_pylist()
    except ERRORS:
        # a strange cell in a column without ids must not refuse the file
        return [_plain(_value(scalar)) for scalar in column]
    kinds = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    if any(kind(column.type) for kind in kinds):
        return values
    return [_plain(value) for value in values]


def _value(scalar: Any) -> Any:
    readers: tuple[Callable[[], Any], ...] = (
        scalar.as_py,
        lambda: scalar.cast(pa.string()).as_py(),
        lambda: scalar.cast(pa.binary()).as_py(),
        lambda: scalar.cast(pa.int64()).as_py(),
    )
    for read in readers:
        try:
            return read()
        except ERRORS:
            continue
    return f"unreadable {scalar.type}"


def _plain(value: Any) -> Cell:
    """The cell of a column without ids, as a value that JSON has."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | dict):
        return orjson.dumps(value, default=_plain).decode()
    return str(value)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


def _unreadable(error: BaseException | str) -> InputRefused:
    if isinstance(error, MemoryError):
        why = "its rows unpack to more than there is memory for"
        return InputRefused(why, "export it again with the columns of ids alone")
    why = error if isinstance(error, str) else _first_line(error)
    return InputRefused(f"not a readable Parquet file: {why}", "export it again")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
