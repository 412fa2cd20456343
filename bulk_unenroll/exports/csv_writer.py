"""Rows as CSV in which a spreadsheet finds no formula to run."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from types import NoneType
from typing import Final, Self, TextIO, cast

from bulk_unenroll.exports.columns import ADDED, ADDED_FIELDS, Columns, as_text
from bulk_unenroll.exports.csv_style import CsvStyle
from bulk_unenroll.ledger.facts import ResultPage


class CsvTable:
    """Writes columns of cells under a header into ``file``, which it closes."""

    def __init__(self, file: TextIO, names: Iterable[str], style: CsvStyle) -> None:
        self._file = file
        self._names = [*map(escape_formula, names)]
        if style.bom:
            self._file.write("\ufeff")
        writer = partial(
            csv.writer, self._file, delimiter=style.delimiter, lineterminator=style.line_end
        )
        self._csv = writer()
        # the csv module takes a CR for a line end when it reads, but not always when it writes
        self._quoting = writer(quoting=csv.QUOTE_ALL)

    def __enter__(self) -> Self:
        self._write([self._names], has_cr=_has_cr(self._names))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_columns(self, columns: Iterable[Sequence[object]]) -> None:
        """Write columns of equal length."""
        escaped = [*map(_escape_formulas, columns)]
        self._write(zip(*escaped, strict=True), has_cr=any(map(_has_cr, escaped)))

    def _write(self, rows: Iterable[Sequence[object]], *, has_cr: bool = False) -> None:
        (self._quoting if has_cr else self._csv).writerows(rows)


class CsvWriter(CsvTable):
    """Writes the rows of ``columns``, and the columns that are added."""

    def __init__(self, file: TextIO, columns: Columns, style: CsvStyle) -> None:
        super().__init__(file, (*columns.names, *ADDED), style)
        self._columns = columns

    def write(self, page: ResultPage) -> None:
        """Write the rows of a page."""
        if len(page):
            cells = zip(*self._columns.cells(page), strict=True)
            self.write_columns(chain(cells, (page.columns[name] for name in ADDED_FIELDS)))


def _has_cr(column: Sequence[object]) -> bool:
    return "\r" in "\0".join(cell for cell in column if isinstance(cell, str))


_FORMULA_STARTS: Final = "=+@\t\r-"
_FORMULA_AFTER_NUL: Final = re.compile(f"\0[{_FORMULA_STARTS}]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def escape_formula(cell: str) -> str:
    """``cell``, with a leading ``'`` if a spreadsheet would run it (OWASP, "CSV Injection").

    A number, with or without blanks around it, stays as it is: it may be an id.
    """
    if cell.startswith(tuple(_FORMULA_STARTS)) and not _NUMBER.fullmatch(cell.strip(" \t")):
        return f"'{cell}"
    return cell


def _escape_formulas(column: Sequence[object]) -> Sequence[object]:
    """The cells of a column, each escaped by ``escape_formula``; fast if none needs it."""
    kinds = set(map(type, column))
    if kinds <= {int, NoneType}:
        return column
    if kinds <= {str, NoneType}:
        cells = "\0".join(cell or "" for cell in cast("Sequence[str | None]", column))
        if not _FORMULA_AFTER_NUL.search(f"\0{cells}"):
            return column
    return [escape_formula(as_text(cell)) for cell in column]
