"""Write attempts, one line each, in three formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self, TextIO

import orjson

from bulk_unenroll.errors import UsageError
from bulk_unenroll.exports.csv_style import CsvStyle, style_of
from bulk_unenroll.exports.csv_writer import CsvTable
from bulk_unenroll.exports.export import ending_of, open_csv
from bulk_unenroll.files import replacing
from bulk_unenroll.ledger.facts import AttemptRow
from bulk_unenroll.ledger.folder import writing
from bulk_unenroll.ledger.interface import LedgerReader, Selection

NAMES: Final = AttemptRow._fields
WHOLE: Final = frozenset(
    {"org_id", "target_group_id", "target_id", "customer_id", "attempt", "http_status"}
)
"""The columns of whole numbers; the others are text."""


def export_attempts(reader: LedgerReader, to: Path, selection: Selection) -> int:
    """Write the attempts of the selected rows to ``to``, whole or not at all; return how many."""
    with (
        writing(str(to), to.parent),
        replacing(to) as part,
        _writer(ending_of(to.name), part, _style(reader, selection)) as writer,
    ):
        return _write_pages(reader, writer, selection)


def export_attempts_as_csv(reader: LedgerReader, out: TextIO, selection: Selection) -> int:
    """Write them to an open file, which is closed; return how many."""
    with CsvTable(out, NAMES, _style(reader, selection)) as writer:
        return _write_pages(reader, writer, selection)


def _write_pages(reader: LedgerReader, writer: _Writer, selection: Selection) -> int:
    number = 0
    for page in reader.attempt_pages(selection):
        writer.write_columns([*zip(*page, strict=True)])
        number += len(page)
    return number


def _style(reader: LedgerReader, selection: Selection) -> CsvStyle:
    sources = selection.of(reader.sources())
    return style_of(reader.noticed([source.id for source in sources]).values())


class _Writer(Protocol):
    def __enter__(self) -> _Writer: ...
    def __exit__(self, *_: object) -> None: ...
    def write_columns(self, columns: Sequence[Sequence[Any]], /) -> None: ...


def _writer(ending: str | None, path: Path, style: CsvStyle) -> _Writer:
    if ending == ".parquet":
        return _ParquetAttempts(path)
    if ending == ".jsonl":
        return _JsonAttempts(path)
    if ending == ".xlsx":
        raise UsageError("attempts are not written as a workbook", "give --to FILE.csv")
    return CsvTable(open_csv(path, ending), NAMES, style)


class _JsonAttempts:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_columns(self, columns: Sequence[Sequence[Any]]) -> None:
        self._file.writelines(_json_lines(columns))


def _json_lines(columns: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    for row in zip(*columns, strict=True):
        named = dict(zip(NAMES, row, strict=True))
        yield orjson.dumps(named, option=orjson.OPT_APPEND_NEWLINE)


class _ParquetAttempts:
    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # slow to import
        from pyarrow import parquet as pq

        kinds = ((name, pa.int64() if name in WHOLE else pa.string()) for name in NAMES)
        self._schema = pa.schema(list(kinds))
        self._batch = pa.record_batch
        self._file = pq.ParquetWriter(path, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_columns(self, columns: Sequence[Sequence[Any]]) -> None:
        self._file.write_batch(self._batch([*map(list, columns)], schema=self._schema))
