"""Reads a chunk of plain CSV as a table, with pyarrow.

Plain text has no quote, lone CR, NUL or BOM, so that pyarrow and the stdlib's ``csv`` must read it
alike. Any other text is left to ``csv``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv as pa_csv

from bulk_unenroll.inputs.columns import Table
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record


def read_table(chunk: str, delimiter: str, first_row: int, mapper: Mapper) -> Table | None:
    """Return the records of whole lines, or None if the text is not plain."""
    text = _plain(chunk)
    if text is None or not delimiter.isascii():
        return None
    ragged: list[tuple[int, str]] = []

    def keep(row: Any) -> str:
        ragged.append((row.number, row.text))
        return "skip"

    names = [str(place) for place in range(len(mapper.header))]
    types = dict.fromkeys(names, pa.string())
    target = {str(place) for name, place in mapper.places.items() if name != "customerId"}
    types |= dict.fromkeys(target, pa.dictionary(pa.int32(), pa.string()))
    try:
        data = text.encode()
        found = pa_csv.read_csv(
            pa.BufferReader(data),
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=names
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, quote_char=False, invalid_row_handler=keep
            ),
            convert_options=pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    columns = [column.combine_chunks() for column in found.columns]
    records = [
        Record(first_row + number - 1, tuple(_cells(line, delimiter))) for number, line in ragged
    ]
    return Table(first_row, columns, records)


def _plain(chunk: str) -> str | None:
    """The lines that are records, each with LF at its end; None if the text is not plain."""
    if any(special in chunk for special in ('"', "\0", "\ufeff")):
        return None
    if "\r" in chunk:
        if chunk.count("\r") != chunk.count("\r\n"):
            return None
        chunk = chunk.replace("\r\n", "\n")
    text = re.sub("\n{2,}", "\n", chunk) if "\n\n" in chunk else chunk
    return text.removeprefix("\n") or None


def _cells(line: str, delimiter: str) -> Sequence[str]:
    cells: list[str] = next(csv.reader([line], delimiter=delimiter, strict=True))
    return cells
