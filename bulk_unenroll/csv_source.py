"""CSV, TSV and their packed forms as numbered records.

The stdlib's ``csv`` frames the records, strictly, so that a damaged quote is seen and no row is
swallowed in silence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO, Final

from bulk_unenroll.errors import InputRefused, UsageError
from bulk_unenroll.headers import name_of, normal, title
from bulk_unenroll.ids import shown
from bulk_unenroll.model import Invalid, Record
from bulk_unenroll.rows import Mapper, Reading
from bulk_unenroll.text import Lines, Text

DELIMITERS: Final = (",", ";", "\t", "|")
FIELD_LIMIT_CHARS: Final = 1 << 20
QUOTE_REMEDY: Final = "close the quote, or double the quotes inside the cell"


class CsvRecords:
    """One text file, open in binary; ``name`` is its path, for its ending.

    ``header`` are the column names as they stand there. Raises ``InputRefused`` (65) where the
    file cannot be trusted.
    """

    def __init__(self, handle: BinaryIO, name: str, reading: Reading) -> None:
        self._text = Text(handle, name, reading.encoding)
        self._delimiter = _checked(reading.delimiter) or self._tell_delimiter(reading)
        self.header = self._read_header(self._delimiter)
        if any("\0" in cell for cell in self.header):
            raise InputRefused("there is a NUL in the header: is this UTF-16?", "save it as UTF-8")

    def check(self, mapper: Mapper) -> None:
        """Text columns can all hold ids."""

    def records(self) -> Iterator[Record]:
        """Every record but the header, numbered from 1; empty lines are none.

        A single line with damaged quotes, or a record with a NUL in it, has a ``flaw``.
        """
        with _field_limit():
            lines = self._text.lines()
            reader = self._reader(lines, self._delimiter)
            if _header(reader) != self.header:
                raise InputRefused("changed while it was being read", "run it again when it rests")
            yield from _framed(reader, lines, self._delimiter, self.header)

    def _reader(self, lines: Lines, delimiter: str) -> Any:
        return csv.reader(chain.from_iterable(lines), delimiter=delimiter, strict=True)

    def _read_header(self, delimiter: str) -> tuple[str, ...]:
        with _field_limit():
            return _header(self._reader(self._text.lines(), delimiter))

    def _tell_delimiter(self, reading: Reading) -> str:
        """The delimiter that gives the most id columns in the header, then the most columns."""
        mapped = {normal(header) for _, header in reading.columns}

        def merit(delimiter: str) -> tuple[int, int]:
            try:
                cells = self._read_header(delimiter)
            except InputRefused:
                return -1, 0
            ids = sum(name_of(cell) is not None or normal(cell) in mapped for cell in cells)
            return ids, len(cells)

        return max(DELIMITERS, key=merit)


def _header(reader: Any) -> tuple[str, ...]:
    try:
        cells = next(filter(None, reader), None)
    except csv.Error as error:
        raise InputRefused(f"the header cannot be read: {error}", QUOTE_REMEDY) from None
    if cells is None:
        raise InputRefused(
            "the file is empty: there is no header", "put customerId into its first row"
        )
    return tuple(cells)


def _framed(reader: Any, lines: Lines, delimiter: str, header: tuple[str, ...]) -> Iterator[Record]:
    """The records that are left in ``reader``, which takes its lines from ``lines``."""
    row = 0
    while True:
        before = reader.line_num
        try:
            for cells in reader:
                if cells:
                    row += 1
                    if lines.has_nul and any("\0" in cell for cell in cells):
                        yield Record(row, tuple(cells), _nul(cells, header))
                    else:
                        yield Record(row, tuple(cells))
                before = reader.line_num
        except csv.Error as error:
            row += 1
            lines_taken = reader.line_num - before
            if lines_taken > 1 or "expected after" not in str(error):
                raise _unreadable(error, row, before + 1, lines_taken) from None
            yield _damaged(row, lines.line(reader.line_num), before + 1, delimiter)
        else:
            return


def _nul(cells: list[str], header: tuple[str, ...]) -> Invalid:
    place = next(place for place, cell in enumerate(cells) if "\0" in cell)
    column = title(header[place]) if place < len(header) else f"field {place + 1}"
    return Invalid("nul", f"{column}: {shown(cells[place])} has a NUL in it")


def _damaged(row: int, line: str, number: int, delimiter: str) -> Record:
    """The record of one line with damaged quotes, refused if one of them is open at its end.

    Then the lines that follow may be part of a text, and no customer in it is meant to be called.
    """
    line = line.rstrip("\r\n")
    if _ends_in_quotes(line, delimiter):
        raise _never_closes(row, number)
    return Record(row, (line,), Invalid("malformed_quotes", f"damaged quotes: {shown(line)}"))


def _ends_in_quotes(line: str, delimiter: str) -> bool:
    reader = csv.reader([line, "the next"], delimiter=delimiter, strict=False)
    try:
        next(reader)
    except csv.Error:
        return True
    return reader.line_num > 1


def _unreadable(error: csv.Error, row: int, number: int, lines: int) -> InputRefused:
    if lines == 1 and "field limit" in str(error):
        return InputRefused(
            f"row {row} (line {number}) has a cell of more than {FIELD_LIMIT_CHARS} characters",
            "check how the file was made",
        )
    return _never_closes(row, number)


def _never_closes(row: int, number: int) -> InputRefused:
    where = f"row {row} (line {number})"
    return InputRefused(f"a quote that opens in {where} never closes, or too late", QUOTE_REMEDY)


def _checked(delimiter: str | None) -> str | None:
    if delimiter is not None and (
        len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0'
    ):
        raise UsageError(f"{delimiter!r} cannot be a delimiter", "--delimiter ';', for example")
    return delimiter


@contextmanager
def _field_limit() -> Iterator[None]:
    # the csv module has one limit for the whole process
    before = csv.field_size_limit(FIELD_LIMIT_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)
