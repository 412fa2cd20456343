"""CSV, TSV and their packed forms as numbered records.

The stdlib's ``csv`` frames the records, strictly, so that a damaged quote is seen and no row is
swallowed in silence.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bulk_unenroll.errors import InputRefused, UsageError
from bulk_unenroll.inputs.formats.records import grouped
from bulk_unenroll.inputs.formats.text import Lines, Text, line_count, split_lines
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.mapping import ReadSettings, name_of, normal, title
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Invalid, Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table
    from bulk_unenroll.inputs.formats.records import Piece

DELIMITERS: Final = (",", ";", "\t", "|")
FIELD_LIMIT_CHARS: Final = 1 << 20
TABLE_FROM_CHARS: Final = 1 << 16
"""A text that is smaller is read before pyarrow would be imported."""
QUOTE_REMEDY: Final = "close the quote, or double the quotes inside the cell"


class CsvRecords:
    """One text file, open in binary; ``name`` is its path, for its ending.

    ``header`` are the column names as they stand there. Raises ``InputRefused`` (65) where the
    file cannot be trusted.
    """

    def __init__(self, handle: BinaryIO, name: str, reading: ReadSettings) -> None:
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
            framing = self._framing()
            for stretch in framing.stretches():
                yield from framing.records(stretch)

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """The same records, as tables where nothing in the text is special."""
        with _field_limit():
            framing = self._framing()
            for stretch in framing.stretches():
                table = self._table(stretch, framing.row_count + 1, mapper)
                if table is None:
                    yield from grouped(framing.records(stretch))
                else:
                    framing.skip(stretch, table.row_count)
                    yield table

    def _table(self, stretch: str, first_row: int, mapper: Mapper) -> Table | None:
        if not TABLE_FROM_CHARS <= len(stretch) < FIELD_LIMIT_CHARS:
            return None
        from bulk_unenroll.inputs.formats.csv_columns import read_table  # pyarrow is slow to import

        return read_table(stretch, self._delimiter, first_row, mapper)

    def _framing(self) -> _Framing:
        framing = _Framing(self._text.lines(), self._delimiter, self.header)
        if framing.take_header() != self.header:
            raise InputRefused("changed while it was being read", "run it again when it rests")
        return framing

    def _read_header(self, delimiter: str) -> tuple[str, ...]:
        with _field_limit():
            return _Framing(self._text.lines(), delimiter, ()).take_header()

    def _tell_delimiter(self, reading: ReadSettings) -> str:
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


class _Framing:
    """Cuts the lines of a text into records, a stretch at a time."""

    def __init__(self, lines: Lines, delimiter: str, header: tuple[str, ...]) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._header = header
        self._stretches = iter(lines)
        self._fed: list[str] = []
        self._lines_fed = 0
        self._lines_done = 0
        self.row_count = 0
        """How many records were read, without the header."""

    def take_header(self) -> tuple[str, ...]:
        """The cells of the first record."""
        reader = self._reader(self._stretches)
        try:
            cells = next(filter(None, reader), None)
        except csv.Error as error:
            raise InputRefused(f"the header cannot be read: {error}", QUOTE_REMEDY) from None
        if cells is None:
            raise InputRefused(
                "the file is empty: there is no header", "put customerId into its first row"
            )
        self._lines_done = reader.line_num
        left = self._lines_fed - self._lines_done
        self._fed = self._fed[len(self._fed) - left :]
        return tuple(cells)

    def stretches(self) -> Iterator[str]:
        """The text after the header. Each stretch begins with a record, and must be taken."""
        rest = "".join(self._fed)
        yield from chain((rest,) if rest else (), self._stretches)

    def skip(self, stretch: str, row_count: int) -> None:
        """A stretch was read elsewhere."""
        self._lines_done += line_count(stretch)
        self.row_count += row_count

    def records(self, stretch: str) -> Iterator[Record]:
        """The records from a stretch on, up to the first that ends where a stretch ends."""
        done = self._lines_fed = self._lines_done
        reader = self._reader(chain((stretch,), self._stretches))
        while True:
            before = reader.line_num
            try:
                for cells in reader:
                    if cells:
                        self.row_count += 1
                        yield self._record(cells)
                    before = reader.line_num
                    if done + before == self._lines_fed:
                        break
            except csv.Error as error:
                self.row_count += 1
                yield self._damaged(error, done + before, done + reader.line_num)
                if done + reader.line_num != self._lines_fed:
                    continue
            self._lines_done = done + reader.line_num
            return

    def _reader(self, stretches: Iterator[str]) -> Any:
        lines = chain.from_iterable(map(self._feed, stretches))
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _feed(self, stretch: str) -> list[str]:
        self._fed = split_lines(stretch)
        self._lines_fed += len(self._fed)
        return self._fed

    def _record(self, cells: list[str]) -> Record:
        if self._lines.has_nul and any("\0" in cell for cell in cells):
            return Record(self.row_count, tuple(cells), _nul(cells, self._header))
        return Record(self.row_count, tuple(cells))

    def _damaged(self, error: csv.Error, before: int, number: int) -> Record:
        lines_taken = number - before
        if lines_taken > 1 or "expected after" not in str(error):
            raise _unreadable(error, self.row_count, before + 1, lines_taken) from None
        line = self._fed[number - self._lines_fed - 1]
        return _damaged(self.row_count, line, before + 1, self._delimiter)


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
