"""A stretch of plain CSV as a table, by pyarrow.

Plain is what pyarrow and the stdlib's ``csv`` cannot read in two ways: without quotes, lone CR,
NUL and BOM. Everything else is left to ``csv``.
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


def read_table(stretch: str, delimiter: str, first_row: int, mapper: Mapper) -> Table | None:
    """The records of whole lines, or None where they are not plain."""
    text = _plain(stretch)
    if text is None or not delimiter.isascii():
        return None
    ragged: list[tuple[int, str]] = []

    def keep(row: Any) -> str:
        ragged.append((row.number, row.text))
        return "skip"

    names = [str(place) for place in range(len(mapper.header))]
    kinds = dict.fromkeys(names, pa.string())
    target = {str(place) for name, place in mapper.places.items() if name != "customerId"}
    kinds |= dict.fromkeys(target, pa.dictionary(pa.int32(), pa.string()))
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
            convert_options=pa_csv.ConvertOptions(column_types=kinds, strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    odd = [
        Record(first_row + number - 1, tuple(_cells(line, delimiter))) for number, line in ragged
    ]
    return Table(first_row, [column.combine_chunks() for column in found.columns], odd)


def _plain(stretch: str) -> str | None:
    """The lines that are records, LF after each; None where something in them is special."""
    if any(special in stretch for special in ('"', "\0", "\ufeff")):
        return None
    if "\r" in stretch:
        if stretch.count("\r") != stretch.count("\r\n"):
            return None
        stretch = stretch.replace("\r\n", "\n")
    text = re.sub("\n{2,}", "\n", stretch) if "\n\n" in stretch else stretch
    return text.removeprefix("\n") or None


def _cells(line: str, delimiter: str) -> Sequence[str]:
    cells: list[str] = next(csv.reader([line], delimiter=delimiter, strict=True))
    return cells
