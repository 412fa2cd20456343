"""Parquet as numbered records, with exact values: pyarrow streams batches, nothing is cast."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.model import Record
from bulk_unenroll.rows import Mapper

BATCH_ROWS: Final = 20_000


class ParquetRecords:
    """One Parquet file, open in binary. Raises ``InputRefused`` where it cannot be read."""

    def __init__(self, handle: BinaryIO) -> None:
        try:
            self._file = pq.ParquetFile(handle)
            self._schema = self._file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error) from None
        self.header = tuple(self._schema.names)

    def check(self, mapper: Mapper) -> None:
        """Every id column must be of integers, text or decimals."""
        for name, place in mapper.places.items():
            kind = self._schema.field(place).type
            if not _holds_ids(kind):
                raise InputRefused(
                    f'column "{self.header[place]}" ({name}) holds {kind}, no whole numbers',
                    "write the ids as int64 or as text",
                )
        self._ids = frozenset(mapper.places.values())

    def records(self) -> Iterator[Record]:
        """Every record; ids as int, str, Decimal or None, other cells as text, number or None."""
        row = 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                for cells in zip(*self._columns(batch), strict=True):
                    row += 1
                    yield Record(row, cells)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(error) from None

    def _columns(self, batch: Any) -> list[list[object]]:
        columns = [column.to_pylist() for column in batch.columns]
        return [
            values if place in self._ids else [_plain(value) for value in values]
            for place, values in enumerate(columns)
        ]


def _holds_ids(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    text = text or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _plain(value: object) -> object:
    """A cell that is no id, as JSON can hold it."""
    if value is None or isinstance(value, str | bool | int | float):
        return (
            str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        )
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        return orjson.dumps(value, default=str).decode()
    return str(value)


def _unreadable(error: Exception) -> InputRefused:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return InputRefused(f"this is no readable Parquet file: {line[:200]}", "write it again")
