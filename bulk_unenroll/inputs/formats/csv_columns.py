"""Reads a chunk of plain CSV as a table, with pyarrow.

Plain text has no quote, lone CR, NUL or BOM, so that pyarrow and the stdlib's ``csv`` must read it
alike. Any other text is left to ``csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from bulk_unenroll.inputs.columns import Table
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

Numbers = NDArray[Any]


class Chunk(NamedTuple):
    """Whole lines of a text, and the row and the line with which they begin."""

    text: str
    first_row: int
    first_line: int


def read_table(chunk: Chunk, delimiter: str, mapper: Mapper) -> tuple[Table, str] | None:
    """Return the records of a chunk, and their lines as ``_plain`` has them; None if not plain."""
    text = _plain(chunk.text) if delimiter.isascii() else None
    if text is None:
        return None
    text, lines = _without_blank(chunk._replace(text=text), delimiter)
    if not text:
        return None
    ragged: list[tuple[int, str]] = []

    def keep(row: Any) -> str:
        ragged.append((row.number, row.text))
        return "skip"

    width = len(mapper.header) - mapper.path_width
    names = [str(place) for place in range(width)]
    types = dict.fromkeys(names, pa.string())
    target = {str(place) for name, place in mapper.file_places.items() if name != "customerId"}
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
    plain = Table(chunk.first_row, columns, lines=lines)
    rows = np.array([number for number, _ in ragged], dtype=np.int64) + chunk.first_row - 1
    records = [
        Record(row, tuple(_cells(line, delimiter)), line=at)
        for row, at, (_, line) in zip(rows.tolist(), plain.lines_of(rows), ragged, strict=True)
    ]
    return Table(chunk.first_row, columns, records, lines), text


def _plain(text: str) -> str | None:
    """The text with LF at the ends of its lines; None if it is not plain."""
    if any(special in text for special in ('"', "\0", "\ufeff")):
        return None
    if "\r" in text:
        if text.count("\r") != text.count("\r\n"):
            return None
        return text.replace("\r\n", "\n")
    return text


def _without_blank(chunk: Chunk, delimiter: str) -> tuple[str, Mapping[int, int]]:
    """The text without lines that are empty but for delimiters, and its lines as in ``Table``."""
    text, row, line = chunk
    empty = ("\n", delimiter)
    if not text.startswith(empty) and not any(f"\n{one}" in text for one in empty):
        return text, {row: line}
    kept: list[str] = []
    lines: dict[int, int] = {}
    ahead = -1
    for at, one in enumerate(text.split("\n")):
        if one.strip(delimiter):
            if at - len(kept) != ahead:
                ahead = at - len(kept)
                lines[row + len(kept)] = line + at
            kept.append(one)
    return "".join(f"{one}\n" for one in kept), lines


def line_lengths(text: str) -> Numbers:
    """The number of characters in each line, without its LF."""
    if text.isascii():
        ends = np.flatnonzero(np.frombuffer(text.encode(), np.uint8) == ord("\n"))
        ends = ends if text.endswith("\n") else np.append(ends, len(text))
        return np.diff(ends, prepend=-1) - 1
    return np.array([len(one) for one in text.removesuffix("\n").split("\n")])


def text_lengths(column: pa.Array) -> Numbers:
    """The number of characters in each cell of a column."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.utf8_length(column.dictionary).take(column.indices)
    else:
        lengths = pc.utf8_length(column)
    found: Numbers = lengths.to_numpy(zero_copy_only=False)
    return found


def _cells(line: str, delimiter: str) -> Sequence[str]:
    cells: list[str] = next(csv.reader([line], delimiter=delimiter, strict=True))
    return cells
