"""``results.csv`` and ``failed.csv`` of a run folder. What a person works on stays as it is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bulk_unenroll.exports.columns import Columns
from bulk_unenroll.exports.csv_style import style_of
from bulk_unenroll.exports.csv_writer import CsvWriter
from bulk_unenroll.files import open_text, replacing
from bulk_unenroll.ledger.facts import ResultPage, Source, WrittenFile
from bulk_unenroll.ledger.folder import writing
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.model import State

MENDABLE: Final = frozenset({"invalid", "failed", "blocked", "review", "in_doubt"})
"""What stands in ``failed.csv``: a person can mend it, or decide about it."""
ENDED: Final = (*(state for state in State if state is not State.PENDING), "invalid", "duplicate")
"""Every state of a row but ``pending``."""


def results_path(reader: LedgerReader, folder: Path) -> Path:
    """Where the results of all rows are written."""
    return _free_path(folder, "results", _inputs(reader))


def write_results(
    reader: LedgerReader, folder: Path, sources: Sequence[int], *, pending: bool = True
) -> WrittenFile:
    """Write both files for ``sources``, each whole or not at all; return the one of failed rows.

    Without ``pending``, the rows that are still pending are left out.

    A file that is an input by now, or of failed rows that somebody changed, stays as it is: the new
    one is written beside it, as ``failed-2.csv`` for instance.
    """
    selection = Selection(sources=sources, states=None if pending else ENDED)
    chosen = selection.of(reader.sources())
    columns, style = Columns(chosen), style_of(reader.noticed(sources).values())
    all_path = results_path(reader, folder)
    failed_path = _free_path(folder, "failed", _inputs(reader), reader.failed_file())
    mended = _Mended(reader, chosen)
    with writing(f"{all_path.name}, {failed_path.name}", folder), ExitStack() as stack:
        results = stack.enter_context(replacing(all_path))
        failed = stack.enter_context(replacing(failed_path))
        with (
            CsvWriter(open_text(results), columns, style) as all_rows,
            CsvWriter(open_text(failed), columns, style) as failed_rows,
        ):
            for page in reader.result_pages(selection):
                all_rows.write(page)
                failed_rows.write(mended.left_of(page))
        digest = _digest(failed)
    return WrittenFile(failed_path.name, digest)


def _inputs(reader: LedgerReader) -> set[Path]:
    return {Path(source.path) for source in reader.sources()}


def _free_path(
    folder: Path, stem: str, inputs: set[Path], written: WrittenFile | None = None
) -> Path:
    """Where to write: the first name that is no input, and no file that somebody changed."""
    for number in itertools.count(1):
        path = folder / (f"{stem}.csv" if number == 1 else f"{stem}-{number}.csv")
        is_changed = written is not None and path.exists() and not _is(path, written)
        if not (is_changed or path.absolute() in inputs):
            return path
    raise AssertionError("there are numbers left")


def _is(path: Path, written: WrittenFile) -> bool:
    return path.name == written.name and _digest(path) == written.sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Mended:
    """Knows which rows a mended file has taken the place of.

    Once a file of results was confirmed as an input, of the rows of earlier sources only those are
    left to mend that something happened to since.
    """

    def __init__(self, reader: LedgerReader, sources: Sequence[Source]) -> None:
        noticed = reader.noticed([source.id for source in sources])
        own = [source for source in sources if noticed[source.id].get("own")]
        last = max(own, key=lambda source: source.id, default=None)
        self._last_id = last.id if last else 0
        moment = datetime.fromtimestamp((last and last.confirmed_s) or 0, UTC)
        self._since = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")

    def left_of(self, page: ResultPage) -> ResultPage:
        """The rows of a page that are left to mend or decide."""
        columns = page.columns
        if page.source_id >= self._last_id:
            return page.where(status in MENDABLE for status in columns["status"])
        pairs = zip(columns["status"], columns["updated_at"], strict=True)
        return page.where(s in MENDABLE and (at or "") >= self._since for s, at in pairs)
