"""Reads CSV and TSV, compressed or not, as numbered records.

The stdlib's ``csv`` finds the ends of the records in strict mode, so that a damaged quote is
noticed and no row is swallowed silently.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bulk_unenroll.errors import InputRefused, UsageError
from bulk_unenroll.inputs.formats.records import changed, grouped
from bulk_unenroll.inputs.formats.text import Lines, Text, line_count, split_lines
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.mapping import ReadSettings, header_label, name_of, normalized
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Invalid, Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table
    from bulk_unenroll.inputs.formats.records import Piece

DELIMITERS: Final = (",", ";", "\t", "|")
FIELD_LIMIT_CHARS: Final = 1 << 20
TABLE_FROM_CHARS: Final = 1 << 16
"""A smaller text is read faster than pyarrow is imported."""

QUOTE_REMEDY: Final = "close the quote, or double the quotes inside the cell"


class CsvRecords:
    """One text file, open in binary mode; ``name`` is its path, whose ending counts.

    ``header`` are the column names as in the file. Raises ``InputRefused`` (65) for a file that
    cannot be trusted, and ``UsageError`` (2) for an invalid delimiter.
    """

    def __init__(self, handle: BinaryIO, name: str, reading: ReadSettings) -> None:
        self._text = Text(handle, name, reading.encoding)
        self._delimiter = _checked(reading.delimiter) or self._detect_delimiter(reading)
        self.header = self._read_header(self._delimiter)
        if any("\0" in cell for cell in self.header):
            raise InputRefused(
                "the header contains a NUL, so the file may be UTF-16", "save it as UTF-8"
            )

    def check(self, mapper: Mapper) -> None:
        """Do nothing: any column of text can hold ids."""

    def records(self) -> Iterator[Record]:
        """Yield every record after the header, numbered from 1. Empty lines are not records.

        A single line with damaged quotes, or a record that contains a NUL, has a ``flaw``.
        """
        with _field_limit():
            framing = self._framing()
            for chunk in framing.chunks():
                yield from framing.records(chunk)

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """Yield the same records: plain text as tables, the rest as lists."""
        with _field_limit():
            framing = self._framing()
            for chunk in framing.chunks():
                table = self._table(chunk, framing.row_count + 1, mapper)
                if table is None:
                    yield from grouped(framing.records(chunk))
                else:
                    framing.skip(chunk, table.row_count)
                    yield table

    def _table(self, chunk: str, first_row: int, mapper: Mapper) -> Table | None:
        if not TABLE_FROM_CHARS <= len(chunk) < FIELD_LIMIT_CHARS:
            return None
        from bulk_unenroll.inputs.formats.csv_columns import read_table  # pyarrow is slow to import

        return read_table(chunk, self._delimiter, first_row, mapper)

    def _framing(self) -> _Framing:
        framing = _Framing(self._text.lines(), self._delimiter, self.header)
        if framing.take_header() != self.header:
            raise changed()
        return framing

    def _read_header(self, delimiter: str) -> tuple[str, ...]:
        with _field_limit():
            return _Framing(self._text.lines(), delimiter, ()).take_header()

    def _detect_delimiter(self, reading: ReadSettings) -> str:
        """The delimiter that gives the most id columns in the header, then the most columns."""
        mapped = {normalized(header) for _, header in reading.columns}

        def score(delimiter: str) -> tuple[int, int]:
            try:
                cells = self._read_header(delimiter)
            except InputRefused:
                return -1, 0
            ids = sum(name_of(cell) is not None or normalized(cell) in mapped for cell in cells)
            return ids, len(cells)

        return max(DELIMITERS, key=score)


class _Framing:
    """Divides the lines of a text into records, a chunk at a time."""

    def __init__(self, lines: Lines, delimiter: str, header: tuple[str, ...]) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._header = header
        self._chunks = iter(lines)
        self._fed: list[str] = []
        self._lines_fed = 0
        self._lines_done = 0
        self.row_count = 0
        """The number of records read so far, without the header."""

    def take_header(self) -> tuple[str, ...]:
        """Read the first record, and return its cells."""
        reader = self._reader(self._chunks)
        try:
            cells = next(filter(None, reader), None)
        except csv.Error as error:
            raise InputRefused(f"the header cannot be read: {error}", QUOTE_REMEDY) from None
        if cells is None:
            raise InputRefused(
                "the file is empty: there is no header",
                "add a first row with the headers customerId, targetGroupId and targetId",
            )
        self._lines_done = reader.line_num
        left = self._lines_fed - self._lines_done
        self._fed = self._fed[len(self._fed) - left :]
        return tuple(cells)

    def chunks(self) -> Iterator[str]:
        """Yield the text after the header. Each chunk begins with a record.

        Pass each one to ``records`` or ``skip`` before the next.
        """
        rest = "".join(self._fed)
        yield from chain((rest,) if rest else (), self._chunks)

    def skip(self, chunk: str, row_count: int) -> None:
        """Count the rows of a chunk that was read by other means."""
        self._lines_done += line_count(chunk)
        self.row_count += row_count

    def records(self, chunk: str) -> Iterator[Record]:
        """Yield the records from this chunk on, up to the first that ends where a chunk ends."""
        done = self._lines_fed = self._lines_done
        reader = self._reader(chain((chunk,), self._chunks))
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

    def _reader(self, chunks: Iterator[str]) -> Any:
        lines = chain.from_iterable(map(self._feed, chunks))
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _feed(self, chunk: str) -> list[str]:
        self._fed = split_lines(chunk)
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
    column = header_label(header[place]) if place < len(header) else f"field {place + 1}"
    return Invalid("nul", f"{column}: {shown(cells[place])} contains a NUL")


def _damaged(row: int, line: str, number: int, delimiter: str) -> Record:
    """The record of one line with damaged quotes. Refuses the file if a quote is still open.

    The next lines might then belong to that cell, and the customers in them must not be called.
    """
    line = line.rstrip("\r\n")
    if _ends_in_quotes(line, delimiter):
        raise _unclosed(row, number)
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
    return _unclosed(row, number)


def _unclosed(row: int, number: int) -> InputRefused:
    where = f"row {row} (line {number})"
    return InputRefused(
        f"a quote that opens in {where} is never closed, or closed too late", QUOTE_REMEDY
    )


def _checked(delimiter: str | None) -> str | None:
    if delimiter is not None and (
        len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0'
    ):
        raise UsageError(
            f"{delimiter!r} is not a valid delimiter", "give one character, such as --delimiter ';'"
        )
    return delimiter


@contextmanager
def _field_limit() -> Iterator[None]:
    # the csv module has one limit for the whole process
    before = csv.field_size_limit(FIELD_LIMIT_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)
