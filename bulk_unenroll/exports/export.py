"""Write chosen rows of the ledger, in four formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from bulk_unenroll.errors import UsageError
from bulk_unenroll.exports.columns import ADDED, ADDED_FIELDS, SHOWN, Columns, as_text
from bulk_unenroll.exports.csv_style import CsvStyle, style_of
from bulk_unenroll.exports.csv_writer import CsvWriter
from bulk_unenroll.files import replacing
from bulk_unenroll.ledger.facts import ResultPage
from bulk_unenroll.ledger.folder import writing
from bulk_unenroll.ledger.interface import LedgerReader, Selection

ENDINGS: Final = (".csv", ".parquet", ".jsonl", ".xlsx")

# ── export ───────────────────────────────────────────────────────────────────────────────────────


def export(reader: LedgerReader, to: Path, selection: Selection) -> int:
    """Write the selected rows to ``to``, whole or not at all; return how many.

    The ending of ``to`` decides the format.
    """
    sources = selection.of(reader.sources())
    columns = Columns(sources)
    style = style_of(reader.noticed([source.id for source in sources]).values())
    number = 0
    ending = to.suffix.lower()
    with (
        writing(str(to), to.parent),
        replacing(to) as part,
        _writer(ending, part, columns, style) as writer,
    ):
        for page in reader.result_pages(selection):
            writer.write(page)
            number += len(page)
    return number


# ── writers ──────────────────────────────────────────────────────────────────────────────────────


class _Writer(Protocol):
    def __enter__(self) -> _Writer: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, page: ResultPage) -> None: ...


def _writer(ending: str, path: Path, columns: Columns, style: CsvStyle) -> _Writer:
    if ending == ".parquet":
        return _parquet_writer(path, columns)
    if ending == ".xlsx":
        return _workbook_writer(path, columns)
    if ending == ".jsonl":
        return _JsonLinesWriter(path, columns)
    return CsvWriter(path, columns, style)


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
