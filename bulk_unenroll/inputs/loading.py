"""The loading pipeline: input files → pieces → batches for the ledger, each of limited size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.never import Never
from bulk_unenroll.inputs.own_files import check_belongs, is_own
from bulk_unenroll.inputs.source import Source, open_source
from bulk_unenroll.inputs.staging import batch_of
from bulk_unenroll.inputs.tally import Tally
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.interface import Ledger, SourceInfo


def load(
    ledger: Ledger,
    inputs: Sequence[InputFile],
    reading: ReadSettings,
    folder: Path,
    *,
    named: bool = False,
    spool: Path | None = None,
    never: Never | None = None,
) -> list[int]:
    """Load every input whose content is not in the ledger yet. Return the ids of the sources.

    ``folder`` is the run folder; standard input is copied into it, or into ``spool``. ``named``: a
    person named it. The rows that ``never`` protects are invalid.

    Raises what ``open_source`` and ``check_belongs`` raise; no row of a refused input remains in
    the ledger.
    """
    sources = []
    for file in inputs:
        with open_source(file, reading, spool or folder) as source:
            if is_own(source.header):
                check_belongs(file, folder, named=named)
            sources.append(_load_one(ledger, source, reading, never or Never()))
    return list(dict.fromkeys(sources))


def _load_one(ledger: Ledger, source: Source, reading: ReadSettings, never: Never) -> int:
    file = source.file
    info = SourceInfo(
        path=file.path,
        name=file.display,
        sha256=source.sha256,
        reading=reading.signature(never.sha256),
        header=source.mapper.kept,
        part_of=file.part_of,
    )
    tally = Tally()

    def noticed() -> dict[str, object]:
        own = is_own(source.header)
        ids, sample = asdict(tally.facts()), tally.sample()
        return {"ids": ids, "sample": sample, "own": own, **source.noticed}

    batches = _limited(_batches(source, tally, never), file, reading.max_rows)
    return ledger.load(info, batches, noticed)


def _batches(source: Source, tally: Tally, never: Never) -> Iterator[Batch]:
    for piece in source.pieces():
        with source.naming():
            batch = never.keep_out(batch_of(piece, source.mapper))
        tally.add(batch)
        yield batch


def _limited(batches: Iterator[Batch], file: InputFile, max_rows: int) -> Iterator[Batch]:
    for batch in batches:
        if batch.first_row + batch.row_count - 1 > max_rows:
            raise InputRefused(
                f"{file.display}: there are more than {max_rows:,} rows",
                "check the file; if it is right, give a larger --max-rows",
            )
        yield batch
