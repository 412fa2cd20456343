"""Reads Excel workbooks as numbered records. Needs the extra ``xlsx``.

A spreadsheet keeps 15 digits of a number. A longer id that was stored as a number has lost its last
digits, so it is read as a rounded number, which is invalid.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.formats.hidden_rows import count_hidden_rows
from bulk_unenroll.inputs.formats.records import grouped
from bulk_unenroll.inputs.formats.workbook_limits import check_workbook
from bulk_unenroll.inputs.formats.workbook_parts import last_rows
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

EXACT_BELOW: Final = 10.0**15
CHOOSE: Final = "choose one with --sheet NAME"
Cell = str | int | bool
_OTHERS: Final = {
    b"\xd0\xcf\x11\xe0": (
        "this is an old or a password-protected workbook",
        "save it as .xlsx without a password",
    ),
    b"%PDF": ("this is a PDF, not a workbook", "save the table itself as .xlsx"),
}
"""Beginnings of files that are no such workbook, with what to say and what to do."""


class XlsxRecords:
    """One sheet of a workbook, open in binary mode: ``sheet``, or the only visible one with rows.

    ``header`` is its row ``header_row`` as Excel counts, or the first that is not blank. Raises
    ``InputRefused`` (65) if the workbook cannot be read, or if it is not clear which sheet to read.
    """

    def __init__(self, handle: BinaryIO, sheet: str | None, header_row: int | None = None) -> None:
        with _readable():
            self._sheet = _chosen(_workbook(handle), sheet)
        first = next(self._rows(1), None)
        if first is None:
            raise InputRefused(f"sheet {shown(self._sheet.name)} is empty", "choose another sheet")
        self._header_row = header_row or first[0]
        self.header = self.header_at(self._header_row)
        hidden = count_hidden_rows(handle, self._sheet.name, self._header_row)
        self.traits = {"sheet": self._sheet.name}
        self.noticed: dict[str, object] = {"hidden_rows": hidden} if hidden else {}
        self.may_grow = False

    def header_at(self, number: int) -> tuple[str, ...]:
        """What the header would be if it was in row ``number``."""
        cells = next(islice(self._sheet.iter_rows(), number - 1, None), [])
        if _is_blank(cells):
            height = sum(1 for _ in self._sheet.iter_rows())
            sheet, remedy = f"sheet {shown(self._sheet.name)}", "correct --header-row"
            if number > height:
                raise InputRefused(f"{sheet} has {height:,} row{'s' * (height != 1)}", remedy)
            raise InputRefused(f"row {number} of {sheet} is empty: it is not the header", remedy)
        return tuple(str(_plain(cell)) for cell in cells)

    def check(self, mapper: Mapper) -> None:
        """Do nothing: any column of a sheet can hold ids."""

    def records(self) -> Iterator[Record]:
        """Yield every row after the header, numbered from 1. Blank rows are not counted.

        Whole numbers of up to 15 digits are int; other values that JSON does not have are text.
        """
        for number, (line, cells) in enumerate(self._rows(self._header_row + 1), 1):
            yield Record(number, cells, line=line)

    def pieces(self, mapper: Mapper) -> Iterator[list[Record]]:
        """Yield the same records, many at a time."""
        return grouped(self.records())

    def _rows(self, begin: int) -> Iterator[tuple[int, tuple[Cell, ...]]]:
        """Yield the rows from ``begin`` on that are not blank, with the numbers Excel shows."""
        for number, row in enumerate(self._sheet.iter_rows(), 1):
            if number >= begin and not _is_blank(row):
                yield number, tuple(map(_plain, row))


def visible_sheets(handle: BinaryIO) -> dict[str, int | None]:
    """A workbook's visible sheets by name, with the number of the last row where it says so.

    Raises ``InputRefused`` (65).
    """
    names, rows = _visible(_workbook(handle)), last_rows(handle)
    return {name: rows.get(name) for name in names}


def _workbook(handle: BinaryIO) -> CalamineWorkbook:
    handle.seek(0)
    head = handle.read(max(map(len, _OTHERS)))
    for start, refused in _OTHERS.items():
        if head.startswith(start):
            raise InputRefused(*refused)
    check_workbook(handle)
    handle.seek(0)
    with _readable():
        return CalamineWorkbook.from_filelike(handle)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (CalamineError, OSError, ValueError) as error:
        raise InputRefused(f"not a readable workbook: {error}", "save it again") from None


def _visible(workbook: CalamineWorkbook) -> list[str]:
    return [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.visible == SheetVisibleEnum.Visible
    ]


def _chosen(workbook: CalamineWorkbook, wanted: str | None) -> CalamineSheet:
    visible = _visible(workbook)
    if wanted is not None:
        if wanted not in workbook.sheet_names:
            raise InputRefused(
                f"there is no sheet {shown(wanted)}; found: {_listed(visible)}",
                "give --sheet NAME with one of these",
            )
        return workbook.get_sheet_by_name(wanted)
    chosen, with_rows = None, []
    for name in visible:
        sheet = workbook.get_sheet_by_name(name)
        if sheet.height:
            with_rows.append(name)
            chosen = chosen or sheet  # not all of them, which would take their memory together
    if chosen is None:
        raise InputRefused("no visible sheet has rows", CHOOSE)
    if len(with_rows) > 1:
        names = _listed(with_rows)
        raise InputRefused(f"several sheets have rows: {names}", CHOOSE, lacking={"sheet": "NAME"})
    return chosen


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names))


def _is_blank(cells: Sequence[Any]) -> bool:
    return cells.count("") == len(cells)


def _plain(cell: Any) -> Cell:
    kind = type(cell)
    if kind is str:
        return cell  # type: ignore[no-any-return]
    if kind is float:
        return _number(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return cell if isinstance(cell, bool) else str(cell)


def _number(value: float) -> Cell:
    if abs(value) >= EXACT_BELOW:
        return f"{value:.14E}"
    return int(value) if value.is_integer() else repr(value)
