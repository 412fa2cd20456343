"""The ledger as files: ``results.csv``, ``failed.csv``, and ``export`` in four formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from bulk_unenroll.errors import LedgerFailed, UsageError
from bulk_unenroll.files import replacing
from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.sqlite.ledger import (
    DAMAGED,
    DAMAGED_REMEDY,
    LAST_ROW,
    PLACE_BITS,
    translated,
)
from bulk_unenroll.ledger.sqlite.reader import Row, ask
from bulk_unenroll.results.columns import ADDED, SHOWN, Columns, _added, _text
from bulk_unenroll.results.csv_writer import _CsvWriter

SETTLED_WELL: Final = frozenset({"succeeded", "not_enrolled", "duplicate"})
ENDINGS: Final = (".csv", ".parquet", ".jsonl", ".xlsx")

_PLACE: Final = itemgetter(-1)


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
