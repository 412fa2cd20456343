"""Loads input files into the ledger: files → pieces → batches, each of limited size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.inputs.source import Source, open_source
from bulk_unenroll.ledger.batch import Batch, StagedRow, staged_batch, staged_row
from bulk_unenroll.ledger.sqlite.ledger import Bulk, Ledger, SourceInfo
from bulk_unenroll.model import Record, Target

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

COMMIT_ROWS: Final = 200_000
BULK_FROM_ROWS: Final = 50_000
BULK_FROM_BYTES: Final = 1 << 25
"""A source of at least this size is loaded in bulk; that much is read first to decide."""

_T = TypeVar("_T")


def load(
    ledger: Ledger, inputs: Sequence[InputFile], reading: ReadSettings, spool: Path
) -> list[int]:
    """Load every input whose content is not in the ledger yet. Return the ids of the sources.

    Standard input is copied into the folder ``spool``. Raises what ``open_source`` raises; no row
    of a refused input remains in the ledger.
    """
    sources = [_load_one(ledger, file, reading, spool) for file in inputs]
    return list(dict.fromkeys(sources))


def _load_one(ledger: Ledger, file: InputFile, reading: ReadSettings, spool: Path) -> int:
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
        _add_all(ledger, number, (_batch(piece, source.mapper) for piece in source.pieces()))
    except BaseException:
        ledger.drop_source(number)
        raise
    return number


def _add_all(ledger: Ledger, number: int, batches: Iterator[Batch]) -> None:
    """Add all batches, in bulk if the ledger is empty and the source is large."""
    first: list[Batch] = []
    if ledger.is_empty():
        while not _is_large(first) and (batch := next(batches, None)) is not None:
            first.append(batch)
        if _is_large(first):
            _add_in_bulk(ledger, number, chain(first, batches))
            return
    row_count = 0
    for group in _groups(chain(first, batches)):
        for batch, _ in ledger.add_batches(number, group):
            row_count += batch.row_count
    ledger.source_loaded(number, row_count)


def _is_large(batches: Sequence[Batch]) -> bool:
    return (
        sum(batch.row_count for batch in batches) >= BULK_FROM_ROWS
        or sum(len(batch.cells) for batch in batches) >= BULK_FROM_BYTES
    )


def _add_in_bulk(ledger: Ledger, number: int, batches: Iterator[Batch]) -> None:
    """Find repeated rows in memory; the ledger's UNIQUE index then proves that none was missed."""
    from bulk_unenroll.inputs.dedupe import RepeatFinder  # numpy is slow to import

    ledger.begin_bulk()
    repeats = RepeatFinder()
    row_count = 0
    for group in _groups(_prefetched(_with_guesses(batches))):
        for batch, targets in ledger.add_batches(number, group, bulk=True):
            repeats.add(batch, targets)
            row_count += batch.row_count
    ledger.source_loaded(number, row_count, Bulk(repeats.repeats(), repeats.target_counts()))


def _with_guesses(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches, each with the ids that an empty ledger will give to its targets."""
    numbers: dict[Target, int] = {}
    for batch in batches:
        ids = [numbers.setdefault(target, len(numbers) + 1) for target in batch.targets]
        yield replace(batch, guess=batch.keys(ids))


def _batch(piece: Piece, mapper: Mapper) -> Batch:
    if isinstance(piece, list):
        return staged_batch([_stage(record, mapper) for record in piece])
    from bulk_unenroll.inputs.columns import table_batch  # pyarrow is slow to import

    return table_batch(piece, mapper)


def _stage(record: Record, mapper: Mapper) -> StagedRow:
    return staged_row(record.row, mapper.enrollment(record), mapper.kept_cells(record))


def _groups(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """The batches in groups of about ``COMMIT_ROWS``, one for each commit.

    Each group must be consumed before the next one.
    """
    for batch in batches:
        most = COMMIT_ROWS // batch.row_count
        yield chain((batch,), islice(batches, most))


def _prefetched(items: Iterator[_T]) -> Iterator[_T]:
    """The same items, each made in another thread while the previous one is used."""
    end = object()
    with ThreadPoolExecutor(1, "reading") as executor:
        pending = executor.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = executor.submit(next, items, end)
            yield item  # type: ignore[misc]
