"""The result rows of a folder, one by one or as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bulk_unenroll.commands.options import several
from bulk_unenroll.errors import UsageError
from bulk_unenroll.exports.columns import Columns
from bulk_unenroll.inputs.ids import checked_target
from bulk_unenroll.ledger.facts import ResultRow
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.opening import existing_folder, open_reader
from bulk_unenroll.model import State

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def results(
    folder: str | os.PathLike[str],
    *,
    states: str | Sequence[str] = (),
    codes: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
) -> Results:
    """Return the result rows of ``folder``: all, or those of ``states``, ``codes`` and ``targets``.

    ``states`` may name ``invalid`` and ``duplicate`` too; ``targets`` are ``"1001/2001"``. Works
    while a run is going.
    """
    return Results(existing_folder(Path(folder)), selection(states, codes, targets))


class Results:
    """Result rows, read anew each time: iterate over them, or take them as a table."""

    def __init__(self, folder: Path, selection: Selection) -> None:
        self._folder = folder
        self._selection = selection

    def __iter__(self) -> Iterator[ResultRow]:
        with open_reader(self._folder) as reader:
            for page in reader.result_pages(self._selection):
                yield from page

    def to_arrow(self) -> pa.Table:
        """The rows as a table of Arrow: the columns of the view ``results``, and ``input``.

        ``input`` is the row as it was, as JSON. Ids are 64-bit integers, null where invalid.
        """
        import pyarrow as pa

        from bulk_unenroll.exports.arrow import SCHEMA, batch_of  # pandas is slow to import

        with open_reader(self._folder) as reader:
            columns = Columns(self._selection.of(reader.sources()))
            pages = reader.result_pages(self._selection)
            return pa.Table.from_batches([batch_of(page, columns.named) for page in pages], SCHEMA)

    def to_pandas(self) -> pd.DataFrame:
        """The same as a data frame. Ids stay whole numbers: their columns are ``Int64``."""
        import pandas as pd
        import pyarrow as pa

        whole = {pa.int64(): pd.Int64Dtype()}
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=whole.get)
        return frame


def selection(
    states: str | Sequence[str], codes: str | Sequence[str], targets: str | Sequence[str]
) -> Selection:
    """The rows with one of ``states``, of ``codes`` and of ``targets``; empty means any.

    Raises ``UsageError`` (2) for a state that does not exist, and for what is no target.
    """
    states = several(states)
    known = {*(state.value for state in State), "invalid", "duplicate"}
    for state in states:
        if state not in known:
            remedy = f"use one of {', '.join(sorted(known))}"
            raise UsageError(f"{state!r} is not a state", remedy)
    chosen = [target_named(text) for text in several(targets)]
    return Selection(states=states or None, codes=several(codes) or None, targets=chosen or None)


def target_named(text: str) -> str:
    """``text`` if it names a target, as ``group/target``; else raises ``UsageError`` (2)."""
    try:
        return checked_target(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
