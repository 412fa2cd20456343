"""Loads the inputs of an order: one after the other, or with others who load parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.loader import Loader, OnRead, Progress
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.never import Never
from bulk_unenroll.inputs.own_files import check_belongs, is_own
from bulk_unenroll.inputs.parts import Order
from bulk_unenroll.inputs.source import Source, open_source
from bulk_unenroll.ledger.interface import Ledger


def load(
    ledger: Ledger,
    inputs: Sequence[InputFile],
    reading: ReadSettings,
    folder: Path,
    *,
    named: bool = False,
    spool: Path | None = None,
    never: Never | None = None,
    on_read: OnRead = lambda _rows, _bytes: None,
) -> list[int]:
    """Load every input whose content is not in the ledger yet. Return the ids of the sources.

    ``folder`` is the run folder; standard input is copied into it, or into ``spool``. ``named``: a
    person named it. The rows that ``never`` protects are invalid. ``on_read`` is told of all inputs
    together. Where the ledger is shared, others may load some of several inputs.

    Raises what ``open_source`` and ``check_belongs`` raise; no row of a refused input remains in
    the ledger.
    """
    knows = any(source.confirmed_s for source in ledger.reader.sources())
    loader = Loader(reading, never or Never(), at_home=knows)

    def check(source: Source) -> None:
        if is_own(source.header):
            check_belongs(source.file, folder, named=named)

    if ledger.loading is not None and len(inputs) > 1:
        return Order(ledger.loading, loader, spool or folder, check, on_read).load(inputs)
    sources, progress = [], Progress(on_read)
    for file in inputs:
        with open_source(file, reading, spool or folder) as source:
            check(source)
            sources.append(loader.load(ledger, source, progress.read))
            progress.ended(source.size_bytes)
    return list(dict.fromkeys(sources))
