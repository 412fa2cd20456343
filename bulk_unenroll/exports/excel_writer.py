"""Rows as an Excel workbook: a summary sheet, then a sheet for each state and code.

Needs the extra ``xlsx``. Ids are text, so that no digit is rounded; no cell is a formula.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from bulk_unenroll.capillary.codes import advice, says
from bulk_unenroll.errors import UsageError
from bulk_unenroll.ledger.facts import ResultPage
from bulk_unenroll.model import TROUBLED

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
MOST_CHARS: Final = 32_767
MOST_NAME_CHARS: Final = 31
MOST_CODES: Final = 100
"""The most sheets: each keeps a file open, and a server may send any number of codes."""
CUT: Final = " … (cut)"
SUMMARY: Final = {
    "sheet": 31,
    "rows": 10,
    "status": 14,
    "code": 20,
    "what it means": 45,
    "what to do": 60,
}
"""The columns of the first sheet, with their widths in characters."""
OTHER_CODES: Final = "other codes"
INVALID: Final = "invalid"
BY_CODE: Final = frozenset({*TROUBLED, INVALID})
_ILLEGAL: Final = re.compile(r"[^ -~]|[\[\]:*?/\\]")

Cell = str | int | None


@dataclass(slots=True)
class _Sheet:
    """Rows of one state; for the states of ``BY_CODE``, of one code too.

    They fill several worksheets if need be: ``part`` is the current one, ``names`` are those of
    all.
    """

    status: str
    code: str
    names: list[str]
    part: Any
    part_rows: int = 1
    row_count: int = 0


class WorkbookWriter:
    """Writes rows to ``path``, as ``lines`` gives them, under ``header``.

    Memory does not grow with the rows: they are in files next to ``path`` until the end. Rows that
    a worksheet cannot hold go into another one. Raises ``UsageError`` (2) for too many columns.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        lines: Callable[[ResultPage], Iterable[Sequence[Cell]]],
    ) -> None:
        if len(header) > MOST_COLUMNS:
            raise UsageError(
                f"{len(header):,} columns are more than a workbook can hold", "give --to FILE.csv"
            )
        self._header, self._lines = header, lines
        self._sheets: dict[tuple[str, str], _Sheet] = {}
        self._names: set[str] = set()
        # next to the target: rows are personal data, and may need much space
        self._spool = tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}-")
        self._archive = _Archive(path)
        options = {"constant_memory": True, "tmpdir": self._spool.name, "use_zip64": True}
        self._book = Workbook(self._archive, options)
        self._bold = self._book.add_format({"bold": True})

    def __enter__(self) -> WorkbookWriter:
        _, self._summary = self._new_part("summary", list(SUMMARY))
        for place, width_chars in enumerate(SUMMARY.values()):
            self._summary.set_column(place, place, width_chars)
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            if raised[0] is None:
                self._end()
        finally:
            self._clean_up()

    def write(self, page: ResultPage) -> None:
        """Add rows, each to the sheet of its state and code."""
        statuses, codes = page.columns["status"], page.columns["code"]
        for status, code, line in zip(statuses, codes, self._lines(page), strict=True):
            sheet = self._sheet_of(status, code or "")
            if sheet.part_rows == MOST_ROWS:
                self._continue(sheet)
            self._put(sheet.part, sheet.part_rows, line)
            sheet.part_rows += 1
            sheet.row_count += 1

    def _sheet_of(self, status: str, code: str) -> _Sheet:
        key = status, code if status in BY_CODE else ""
        if key not in self._sheets and len(self._sheets) >= MOST_CODES:
            key = status, OTHER_CODES
        if key not in self._sheets:
            name, part = self._new_part(" ".join(key).strip(), self._header)
            self._sheets[key] = _Sheet(*key, [name], part)
        return self._sheets[key]

    def _continue(self, sheet: _Sheet) -> None:
        self._filter(sheet)
        name, sheet.part = self._new_part(sheet.names[0], self._header)
        sheet.names.append(name)
        sheet.part_rows = 1

    def _new_part(self, wanted: str, header: Sequence[str]) -> tuple[str, Any]:
        name = next(name for name in _legal_names(wanted) if name.lower() not in self._names)
        self._names.add(name.lower())
        part = self._book.add_worksheet(name)
        part.freeze_panes(1, 0)
        self._put(part, 0, header, self._bold)
        return name, part

    def _filter(self, sheet: _Sheet) -> None:
        sheet.part.autofilter(0, 0, sheet.part_rows - 1, len(self._header) - 1)

    @staticmethod
    def _put(part: Any, number: int, cells: Sequence[Cell], style: Any = None) -> None:
        for place, cell in enumerate(cells):
            if isinstance(cell, int):
                part.write_number(number, place, cell, style)
            elif cell:  # always as text: no formula, no link, no rounded id
                part.write_string(number, place, _fitting(cell), style)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    def _end(self) -> None:
        for number, sheet in enumerate(self._sheets.values(), 1):
            self._filter(sheet)
            names, meaning = ", ".join(sheet.names), _meaning(sheet)
            self._put(
                self._summary, number, (names, sheet.row_count, sheet.status, sheet.code, *meaning)
            )
        total = sum(sheet.row_count for sheet in self._sheets.values())
        self._put(self._summary, len(self._sheets) + 1, ("all", total), self._bold)
        try:
            self._book.close()
        except FileCreateError as error:
            raise error.args[0] from None  # the error of the system
        self._archive.close()
        if self._archive.failure:
            raise self._archive.failure

    def _clean_up(self) -> None:
        self._archive.close()
        for part in self._book.worksheets():
            with suppress(OSError):
                part.row_data_fh.close()
        self._spool.cleanup()


class _Archive:
    """A file to write that keeps its first failure, to be raised at the end.

    Raised earlier, it would leave a ``zipfile`` that is closed once more when it is collected, and
    prints a traceback.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._at_byte = 0
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of ``data``."""
        self._try(lambda: self._file.write(data))
        self._at_byte += len(data)
        return len(data)

    def seek(self, at_byte: int) -> int:
        """Go to ``at_byte``, counted from the beginning."""
        self._try(lambda: self._file.seek(at_byte))
        self._at_byte = at_byte
        return at_byte

    def tell(self) -> int:
        """The position that the file would have if nothing had failed."""
        return self._at_byte

    def flush(self) -> None:
        """Flush what is written so far."""
        self._try(self._file.flush)

    def close(self) -> None:
        """Close the file; later writes are ignored."""
        self._try(self._file.close)

    def _try(self, do: Callable[[], object]) -> None:
        if self.failure is None and not self._file.closed:
            try:
                do()
            except OSError as error:
                self.failure = error
                with suppress(OSError):
                    self._file.close()


def _legal_names(wanted: str) -> Iterator[str]:
    """``wanted`` as a legal name of a worksheet, then with numbers in case it is taken."""
    name = _ILLEGAL.sub("_", wanted)
    yield name[:MOST_NAME_CHARS].rstrip("'")
    for number in count(2):
        ending = f" ({number})"
        yield name[: MOST_NAME_CHARS - len(ending)] + ending


def _meaning(sheet: _Sheet) -> tuple[str, str]:
    """What the code of a sheet means, and what to do about it."""
    if sheet.status == INVALID:
        return "cannot be called: see unenroll_message", "fix the rows, then run them again"
    if sheet.code == OTHER_CODES:
        return "rare codes: see unenroll_code", "read unenroll_message"
    return says(sheet.code or None), advice(sheet.code or None)


def _fitting(text: str) -> str:
    units = len(text.encode("utf-16-le")) // 2
    if units <= MOST_CHARS:
        return text
    room = MOST_CHARS - len(CUT)
    return text.encode("utf-16-le")[: room * 2].decode("utf-16-le", "ignore") + CUT
