"""Reads CSV and TSV, compressed or not, as numbered records.

The stdlib's ``csv`` finds the ends of the records in strict mode, so that a damaged quote is
noticed and no row is swallowed silently.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bulk_unenroll.errors import InputRefused, UsageError
from bulk_unenroll.inputs.formats.ending import Ending
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

_SEPARATOR: Final = re.compile(r'"?sep=([^\w"])"?', re.IGNORECASE)
"""A first line for Excel, which says what stands between fields."""
QUOTE_REMEDY: Final = "close the quote, or double the quotes inside the cell"


class CsvRecords:
    """One text file, open in binary mode; ``name`` is its path, whose ending counts.

    ``header`` are the column names as in the file. Raises ``InputRefused`` (65) for a file that
    cannot be trusted, and ``UsageError`` (2) for an invalid delimiter.
    """

    def __init__(self, handle: BinaryIO, name: str, reading: ReadSettings) -> None:
        self._text = Text(handle, name, reading.encoding)
        self._handle, self._name, self._reading = handle, name, reading
        first_line = next(map(split_lines, self._text.lines()), [""])[0]
        text = first_line.rstrip("\r\n")
        separator = _SEPARATOR.fullmatch(text)
        self._skipped = (reading.header_row or (2 if separator else 1)) - 1
        self._delimiter = (
            _checked(reading.delimiter)
            or (separator[1] if separator else None)
            or self._detect_delimiter(reading)
        )
        self.header = self._read_header(self._delimiter)
        if any("\0" in cell for cell in self.header):
            raise InputRefused(
                "the header contains a NUL, so the file may be UTF-16", "save it as UTF-8"
            )
        self.traits = {"delimiter": self._delimiter, "encoding": self._text.encoding}
        self.noticed: dict[str, object] = {
            "delimiter": self._delimiter,
            "bom": self._text.has_bom,
            "line_end": first_line.removeprefix(text) or "\n",
        }
        self.may_grow = False

    def header_at(self, number: int) -> tuple[str, ...]:
        """What the header would be if it began in line ``number``."""
        reading = replace(self._reading, header_row=number)
        return CsvRecords(self._handle, self._name, reading).header

    def check(self, mapper: Mapper) -> None:
        """Do nothing: any column of text can hold ids."""

    def records(self) -> Iterator[Record]:
        """Yield every record after the header, numbered from 1.

        Lines that are empty, or whose cells all are, are not records.
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
            ending = Ending(mapper)
            for chunk in framing.chunks():
                found = self._table(chunk, framing, mapper)
                if found is None:
                    for records in grouped(framing.records(chunk)):
                        ending.add_records(records)
                        yield records
                else:
                    table, text = found
                    framing.skip(chunk, table.row_count)
                    ending.add_table(table, text)
                    yield table
            self.may_grow = bool(framing.unended.strip(self._delimiter))
            if self.may_grow and ending.is_short:
                self.noticed |= {"cut_off": framing.row_count, "cut_off_line": ending.line}

    def _table(self, chunk: str, framing: _Framing, mapper: Mapper) -> tuple[Table, str] | None:
        if not TABLE_FROM_CHARS <= len(chunk) < FIELD_LIMIT_CHARS:
            return None
        from bulk_unenroll.inputs.formats.csv_columns import (  # pyarrow is slow to import
            Chunk,
            read_table,
        )

        next_chunk = Chunk(chunk, framing.row_count + 1, framing.lines_done + 1)
        return read_table(next_chunk, self._delimiter, mapper)

    def _framing(self) -> _Framing:
        framing = _Framing(self._text.lines(), self._delimiter, self.header)
        if self._take_header(framing) != self.header:
            raise changed()
        return framing

    def _read_header(self, delimiter: str) -> tuple[str, ...]:
        with _field_limit():
            return self._take_header(_Framing(self._text.lines(), delimiter, ()))

    def _take_header(self, framing: _Framing) -> tuple[str, ...]:
        return framing.take_header(self._skipped, is_exact=self._reading.header_row is not None)

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
        self.lines_done = 0
        """The number of lines read so far."""
        self.row_count = 0
        """The number of records read so far, without the header."""

    @property
    def unended(self) -> str:
        """The last line, if it has no end."""
        return self._lines.unended

    def take_header(self, skipped: int, *, is_exact: bool) -> tuple[str, ...]:
        """Read the first record after ``skipped`` lines, and return its cells.

        ``is_exact``: it must be in the next line, else empty ones may come before it.
        """
        lines = self._split(self._chunks)
        above = sum(1 for _ in islice(lines, skipped))
        reader = self._reader(lines)
        try:
            cells = next(reader, None) if is_exact else next(filter(any, reader), None)
        except csv.Error as error:
            raise InputRefused(f"the header cannot be read: {error}", QUOTE_REMEDY) from None
        if is_exact and cells is None:
            lines_read = f"{above:,} line{'s' * (above != 1)}"
            raise InputRefused(f"the file has {lines_read}", "correct --header-row")
        if is_exact and not any(cells or ()):
            raise InputRefused(
                f"line {skipped + 1} is empty: it is not the header", "correct --header-row"
            )
        if cells is None:
            raise InputRefused(
                "the file is empty: there is no header",
                "add a first row with the headers customerId, targetGroupId and targetId",
            )
        self.lines_done = above + reader.line_num
        left = self._lines_fed - self.lines_done
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
        self.lines_done += line_count(chunk)
        self.row_count += row_count

    def records(self, chunk: str) -> Iterator[Record]:
        """Yield the records from this chunk on, up to the first that ends where a chunk ends."""
        done = self._lines_fed = self.lines_done
        reader = self._reader(self._split(chain((chunk,), self._chunks)))
        while True:
            before = reader.line_num
            try:
                for cells in reader:
                    if any(cells):
                        self.row_count += 1
                        yield self._record(cells, done + before + 1)
                    before = reader.line_num
                    if done + before == self._lines_fed:
                        break
            except csv.Error as error:
                self.row_count += 1
                yield self._damaged(error, done + before, done + reader.line_num)
                if done + reader.line_num != self._lines_fed:
                    continue
            self.lines_done = done + reader.line_num
            return

    def _split(self, chunks: Iterator[str]) -> Iterator[str]:
        return chain.from_iterable(map(self._feed, chunks))

    def _reader(self, lines: Iterator[str]) -> Any:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _feed(self, chunk: str) -> list[str]:
        self._fed = split_lines(chunk)
        self._lines_fed += len(self._fed)
        return self._fed

    def _record(self, cells: list[str], line: int) -> Record:
        has_nul = self._lines.has_nul and any("\0" in cell for cell in cells)
        flaw = _nul(cells, self._header) if has_nul else None
        return Record(self.row_count, tuple(cells), flaw, line)

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
    flaw = Invalid("malformed_quotes", f"damaged quotes: {shown(line)}")
    return Record(row, (line,), flaw, number)


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
