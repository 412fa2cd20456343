"""The loading pipeline: input files → records → rows of the ledger, in chunks of limited size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from bulk_unenroll.ledger import Ledger, SourceInfo, StagedRow
from bulk_unenroll.model import Invalid, Record
from bulk_unenroll.rows import Mapper, Reading
from bulk_unenroll.sources import InputFile, Source, open_source

CHUNK_ROWS: Final = 20_000
CHUNK_CHARS: Final = 1 << 22


def load(ledger: Ledger, inputs: Sequence[InputFile], reading: Reading, spool: Path) -> list[int]:
    """Read every input that is not yet known in this content; the ids of the sources.

    Standard input is spooled into the folder ``spool``. Raises ``InputRefused`` (65); nothing of
    the refused input stays.
    """
    sources = [_load_one(ledger, file, reading, spool) for file in inputs]
    return list(dict.fromkeys(sources))


def _load_one(ledger: Ledger, file: InputFile, reading: Reading, spool: Path) -> int:
    with open_source(file, reading, spool) as source:
        info = SourceInfo(
            path=file.path,
            name=file.display,
            sha256=source.sha256,
            reading=reading.signature(),
            header=source.mapper.kept,
        )
        known = ledger.find_source(info)
        return _read_all(ledger, info, source) if known is None else known


def _read_all(ledger: Ledger, info: SourceInfo, source: Source) -> int:
    number = ledger.add_source(info)
    try:
        row_count = 0
        for chunk in _chunks(source):
            ledger.add_rows(number, chunk)
            row_count += len(chunk)
    except BaseException:
        ledger.drop_source(number)
        raise
    ledger.source_loaded(number, row_count)
    return number


def _chunks(source: Source) -> Iterator[list[StagedRow]]:
    chunk: list[StagedRow] = []
    chars = 0
    for record in source.records():
        row = _stage(record, source.mapper)
        chunk.append(row)
        chars += len(row.cells)
        if len(chunk) == CHUNK_ROWS or chars >= CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


def _stage(record: Record, mapper: Mapper) -> StagedRow:
    key = mapper.key(record)
    cells = orjson.dumps(mapper.kept_cells(record), default=str).decode()
    if isinstance(key, Invalid):
        return StagedRow(record.row, None, key.code, key.message, cells)
    return StagedRow(record.row, key, None, None, cells)
