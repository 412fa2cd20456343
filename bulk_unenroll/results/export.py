"""The ledger as files: ``results.csv``, ``failed.csv``, and ``export`` in four formats."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import Any, Final, Protocol, cast

import orjson

from bulk_unenroll.errors import LedgerFailed, UsageError
from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.folder import open_text, replacing
from bulk_unenroll.ledger.sqlite.ledger import (
    DAMAGED,
    DAMAGED_REMEDY,
    LAST_ROW,
    PLACE_BITS,
    translated,
)
from bulk_unenroll.ledger.sqlite.reader import Row, ask

SETTLED_WELL: Final = frozenset({"succeeded", "not_enrolled", "duplicate"})
RAGGED: Final = frozenset({"missing_fields", "extra_fields"})
ENDINGS: Final = (".csv", ".parquet", ".jsonl", ".xlsx")

_PLACE: Final = itemgetter(-1)

ADDED: Final = (
    "unenroll_source",
    "unenroll_row",
    "unenroll_status",
    "unenroll_code",
    "unenroll_message",
    "unenroll_http_status",
    "unenroll_attempts",
    "unenroll_at",
    "unenroll_request_id",
)

_added: Final = itemgetter(0, 1, *range(6, 13))
"""A row's cells under ``ADDED``."""

SHOWN: Final = (
    "source",
    "row",
    "org_id",
    "target_group_id",
    "target_id",
    "customer_id",
    "status",
    "code",
    "message",
    "http_status",
    "attempts",
    "updated_at",
)
"""A row's first cells, as the view ``results`` has them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows to write; None means all. ``states`` may name ``invalid`` and ``duplicate``."""

    sources: Sequence[int] | None = None
    states: Sequence[str] | None = None
    codes: Sequence[str] | None = None


# ── the two files of a run ───────────────────────────────────────────────────────────────────────


def write_results(connection: sqlite3.Connection, folder: Path, sources: Sequence[int]) -> None:
    """Write ``results.csv`` and ``failed.csv`` for ``sources``, each whole or not at all."""
    columns = Columns(connection, sources)
    with _writing("results.csv, failed.csv"), ExitStack() as stack:
        results = stack.enter_context(replacing(folder / "results.csv"))
        failed = stack.enter_context(replacing(folder / "failed.csv"))
        all_rows = stack.enter_context(_CsvWriter(results, columns))
        failed_rows = stack.enter_context(_CsvWriter(failed, columns))
        for rows in _chunks(connection, Selection(sources=sources)):
            all_rows.write(rows)
            failed_rows.write([row for row in rows if row[6] not in SETTLED_WELL])


# ── export ───────────────────────────────────────────────────────────────────────────────────────


def export(connection: sqlite3.Connection, to: Path, selection: Selection) -> int:
    """Write the selected rows to ``to``, by its ending; how many rows. ``to`` appears whole."""
    columns = Columns(connection, selection.sources)
    number = 0
    ending = to.suffix.lower()
    with _writing(str(to)), replacing(to) as part, _writer(ending, part, columns) as writer:
        for rows in _chunks(connection, selection):
            writer.write(rows)
            number += len(rows)
    return number


@contextmanager
def _writing(what: str) -> Iterator[None]:
    with translated():
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)
            raise LedgerFailed(f"{what}: cannot be written: {why}", "check the disk") from error


def _chunks(connection: sqlite3.Connection, selection: Selection) -> Iterator[list[Row]]:
    for source, _ in ask(connection, "headers"):
        if selection.sources is None or source in selection.sources:
            for first, last in _extents(connection, source):
                rows = _rows(connection, selection, first, last)
                if rows:
                    yield rows


def _extents(connection: sqlite3.Connection, source: int) -> list[tuple[int, int]]:
    """The first and the last place of each chunk of a source."""
    places = [place for (place,) in ask(connection, "chunks", source=source)]
    return list(pairwise([*places, (source << PLACE_BITS | LAST_ROW) + 1]))


def _rows(connection: sqlite3.Connection, selection: Selection, first: int, end: int) -> list[Row]:
    """The selected rows of a chunk: what the view says, their cells, their source."""
    chosen = {"first": first, "last": end - 1, "states": selection.states, "codes": selection.codes}
    found = ask(connection, "result_rows", **chosen)
    others = ask(connection, "other_result_rows", **chosen)
    if others:
        found = sorted(found + others, key=_PLACE)
    if not found:
        return []
    cells = _cells(connection, first, end)
    source = first >> PLACE_BITS
    try:
        return [(*row[:-1], cells[row[-1] - first], source) for row in found]
    except IndexError:
        raise LedgerFailed(f"{DAMAGED}: cells of rows are missing", DAMAGED_REMEDY) from None


def _cells(connection: sqlite3.Connection, first: int, end: int) -> list[Sequence[Any]]:
    ((packed,),) = ask(connection, "chunk_cells", place=first)
    try:
        cells = unpack(packed)
        for place, kept in ask(connection, "cells_apart", first=first, last=end - 1):
            cells.insert(place - first, orjson.loads(kept))
    except ValueError:
        raise LedgerFailed(f"{DAMAGED}: cells of rows cannot be read", DAMAGED_REMEDY) from None
    return cells


class Columns:
    """The input's own columns: of several inputs the union in order of appearance."""

    def __init__(self, connection: sqlite3.Connection, sources: Sequence[int] | None) -> None:
        self.names: list[str] = []
        self._places: dict[int, list[int]] = {}
        self._headers: dict[int, list[str]] = {}
        known: dict[tuple[str, int], int] = {}
        for source, header in ask(connection, "headers"):
            if sources is None or source in sources:
                self._add(source, orjson.loads(header), known)
        self._all = list(range(len(self.names)))

    def _add(self, source: int, header: list[str], known: dict[tuple[str, int], int]) -> None:
        seen: dict[str, int] = {}
        places = []
        for name in header:
            seen[name] = seen.get(name, 0) + 1  # a header may stand twice
            key = (name, seen[name])
            if key not in known:
                known[key] = len(self.names)
                self.names.append(name)
            places.append(known[key])
        self._places[source] = places
        self._headers[source] = _distinct(header)

    def cells(self, row: Row) -> Sequence[object]:
        """The row's own cells under ``names``.

        A ragged row stands whole in the first column: spread over the columns it might pass for a
        good row when the file is read again.
        """
        cells: Sequence[object] = row[13]
        places = self._places[row[14]]
        if len(cells) != len(places) or (row[6] == "invalid" and row[7] in RAGGED):
            cells = [f"{','.join(map(_text, cells))} ({row[7]})"]
        elif places == self._all:
            return cells
        out: list[object] = [""] * len(self.names)
        for place, cell in zip(places, cells, strict=False):
            out[place] = cell
        return out

    def named(self, row: Row) -> dict[str, Any]:
        """The row as it was, by column name; cells beyond the header count from ``extra_1``."""
        header = self._headers[row[14]]
        cells = row[13]
        if len(cells) > len(header):
            beyond = len(cells) - len(header)
            header = _distinct([*header, *(f"extra_{n}" for n in range(1, beyond + 1))])
        return dict(zip(header, cells, strict=False))


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, where one that stands again gets a number: ``note``, ``note_2``."""
    distinct: list[str] = []
    for name in names:
        again = 1
        shown = name
        while shown in distinct:
            again += 1
            shown = f"{name}_{again}"
        distinct.append(shown)
    return distinct


# ── writers ──────────────────────────────────────────────────────────────────────────────────────


class _Writer(Protocol):
    def __enter__(self) -> _Writer: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, rows: Sequence[Row]) -> None: ...


def _writer(ending: str, path: Path, columns: Columns) -> _Writer:
    if ending == ".parquet":
        return _parquet_writer(path, columns)
    if ending == ".xlsx":
        return _workbook_writer(path, columns)
    return _JsonLinesWriter(path, columns) if ending == ".jsonl" else _CsvWriter(path, columns)


def _parquet_writer(path: Path, columns: Columns) -> _Writer:
    from bulk_unenroll.results.parquet_writer import ParquetWriter  # pandas is slow to import

    return ParquetWriter(path, (*SHOWN, "request_id", "input", "source_id"), columns.named)


def _workbook_writer(path: Path, columns: Columns) -> _Writer:
    try:
        from bulk_unenroll.results.excel_writer import WorkbookWriter
    except ImportError:
        raise UsageError(
            "workbooks need an extra", "pip install 'bulk-unenroll[xlsx]', or give --to FILE.csv"
        ) from None
    return WorkbookWriter(
        path,
        (*columns.names, *ADDED),
        lambda row: (*map(_text, columns.cells(row)), *_added(row)),
    )


class _CsvWriter:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = columns
        self._file = open_text(path)
        # CRLF as in RFC 4180: Python 3.11 quotes a lone CR in a cell only if the line end has one
        self._csv = csv.writer(self._file, lineterminator="\r\n")

    def __enter__(self) -> _CsvWriter:
        self._csv.writerow(map(harmless, (*self._columns.names, *ADDED)))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: Sequence[Row]) -> None:
        if rows:
            cells = zip(*map(self._columns.cells, rows), strict=True)
            added = zip(*map(_added, rows), strict=True)
            self._csv.writerows(zip(*map(_harmless, chain(cells, added)), strict=True))


class _JsonLinesWriter:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = columns
        self._file = path.open("wb")

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            named = dict(zip(SHOWN, row, strict=False))
            named["input"] = self._columns.named(row)
            self._file.write(orjson.dumps(named, option=orjson.OPT_APPEND_NEWLINE))


# ── cells ────────────────────────────────────────────────────────────────────────────────────────

_FORMULA: Final = "=+@\t\r-"
_BEGUN: Final = re.compile(f"\0[{_FORMULA}]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def harmless(cell: str) -> str:
    """``cell``, with a leading ``'`` if a spreadsheet would run it (OWASP, "CSV Injection").

    Not before a number, blanks around it or not: an id is one, and must stay what it is.
    """
    if cell.startswith(tuple(_FORMULA)) and not _NUMBER.fullmatch(cell.strip(" \t")):
        return f"'{cell}"
    return cell


def _harmless(column: Sequence[object]) -> Sequence[object]:
    """The cells of a column, each ``harmless``."""
    kinds = set(map(type, column))
    if kinds <= {int, NoneType}:
        return column
    if kinds <= {str, NoneType}:
        cells = "\0".join(cell or "" for cell in cast("Sequence[str | None]", column))
        if not _BEGUN.search(f"\0{cells}"):
            return column
    return [harmless(_text(cell)) for cell in column]


def _text(cell: object) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else str(cell)
