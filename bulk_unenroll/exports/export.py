"""Write chosen rows of the ledger, in four formats."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import orjson

from bulk_unenroll.errors import UsageError
from bulk_unenroll.exports.columns import ADDED, ADDED_FIELDS, SHOWN, Columns, as_text
from bulk_unenroll.exports.csv_style import CsvStyle, style_of
from bulk_unenroll.exports.csv_writer import CsvWriter
from bulk_unenroll.files import open_text, replacing
from bulk_unenroll.ledger.facts import ResultPage
from bulk_unenroll.ledger.folder import writing
from bulk_unenroll.ledger.interface import LedgerReader, Selection

ENDINGS: Final = (".csv", ".csv.gz", ".parquet", ".jsonl", ".xlsx")

# ── export ───────────────────────────────────────────────────────────────────────────────────────


def ending_of(name: str) -> str | None:
    """Which of ``ENDINGS`` a name has."""
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), None)


def export(reader: LedgerReader, to: Path, selection: Selection) -> int:
    """Write the selected rows to ``to``, whole or not at all; return how many.

    The ending of ``to`` decides the format.
    """
    columns, style = _columns_and_style(reader, selection)
    with (
        writing(str(to), to.parent),
        replacing(to) as part,
        _writer(ending_of(to.name), part, columns, style) as writer,
    ):
        return _write_pages(reader, writer, selection)


def export_as_csv(reader: LedgerReader, out: TextIO, selection: Selection) -> int:
    """Write the selected rows to an open file, which is closed; return how many."""
    with CsvWriter(out, *_columns_and_style(reader, selection)) as writer:
        return _write_pages(reader, writer, selection)


def _columns_and_style(reader: LedgerReader, selection: Selection) -> tuple[Columns, CsvStyle]:
    sources = selection.of(reader.sources())
    noticed = reader.noticed([source.id for source in sources])
    return Columns(sources), style_of(noticed.values())


def _write_pages(reader: LedgerReader, writer: _Writer, selection: Selection) -> int:
    number = 0
    for page in reader.result_pages(selection):
        writer.write(page)
        number += len(page)
    return number


# ── writers ──────────────────────────────────────────────────────────────────────────────────────


class _Writer(Protocol):
    def __enter__(self) -> _Writer: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, page: ResultPage) -> None: ...


def _writer(ending: str | None, path: Path, columns: Columns, style: CsvStyle) -> _Writer:
    if ending == ".parquet":
        return _parquet_writer(path, columns)
    if ending == ".xlsx":
        return _workbook_writer(path, columns)
    if ending == ".jsonl":
        return _JsonLinesWriter(path, columns)
    return CsvWriter(open_csv(path, ending), columns, style)


def open_csv(path: Path, ending: str | None) -> TextIO:
    """Open a file for CSV, compressed if its ``ending`` says so."""
    if ending == ".csv.gz":
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return open_text(path)


def _parquet_writer(path: Path, columns: Columns) -> _Writer:
    from bulk_unenroll.exports.parquet_writer import ParquetWriter  # pandas is slow to import

    return ParquetWriter(path, columns.named)


def _workbook_writer(path: Path, columns: Columns) -> _Writer:
    try:
        from bulk_unenroll.exports.excel_writer import WorkbookWriter
    except ImportError:
        raise UsageError(
            "workbooks need an extra", "pip install 'bulk-unenroll[xlsx]', or give --to FILE.csv"
        ) from None

    def lines(page: ResultPage) -> Iterator[tuple[Any, ...]]:
        ours = zip(*(page.columns[name] for name in ADDED_FIELDS), strict=True)
        for cells, added in zip(columns.cells(page), ours, strict=True):
            yield (*map(as_text, cells), *added)

    return WorkbookWriter(path, (*columns.names, *ADDED), lines)


class _JsonLinesWriter:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = columns
        self._file = path.open("wb")

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, page: ResultPage) -> None:
        names = (*SHOWN, "input")
        values = zip(
            *(page.columns[name] for name in SHOWN), self._columns.named(page), strict=True
        )
        for row in values:
            named = dict(zip(names, row, strict=True))
            self._file.write(orjson.dumps(named, option=orjson.OPT_APPEND_NEWLINE))
