"""Write the rows or the page of a folder, to a path or to a remote address."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bulk_unenroll import remote
from bulk_unenroll.commands.finish import REPORT_NAME
from bulk_unenroll.commands.results import selection
from bulk_unenroll.commands.status import status
from bulk_unenroll.errors import FolderUnusable, UsageError
from bulk_unenroll.exports import export as exporting
from bulk_unenroll.ledger.folder import existing_folder
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.urls import is_remote, without_secrets


def export(
    folder: str | os.PathLike[str],
    to: str,
    *,
    states: Sequence[str] = (),
    codes: Sequence[str] = (),
) -> int:
    """Write rows of ``folder`` to ``to``, a path or a remote address; return how many.

    The ending decides the format: .csv, .parquet, .jsonl or .xlsx. ``states`` and ``codes`` select
    rows, as in ``results``.
    """
    if PurePosixPath(to).suffix.lower() not in exporting.ENDINGS:
        shown = without_secrets(to)
        raise UsageError(
            f"{shown} does not end in one of {', '.join(exporting.ENDINGS)}", "give --to FILE.csv"
        )
    selected, folder = selection(states, codes), existing_folder(Path(folder))
    with _destination(to) as path, open_reader(folder) as reader:
        return exporting.export(reader, path, selected)


@contextmanager
def _destination(to: str) -> Iterator[Path]:
    """A path to write to. If ``to`` is remote, the file is uploaded when the context ends."""
    if not is_remote(to):
        _check_parent(Path(to))
        yield Path(to)
        return
    remote.check_writable(to)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PurePosixPath(to).name
        yield path
        remote.upload(path, to)


def report(folder: Path, to: str | None) -> str:
    """Write the page of ``folder`` to ``to``, by default into the folder; return where it is."""
    folder = existing_folder(folder)
    to = to or str(folder / REPORT_NAME)
    if PurePosixPath(to).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{without_secrets(to)} does not end in .html", f"give --to {REPORT_NAME}")
    summary = status(folder).summary
    with _destination(to) as path, open_reader(folder) as reader:
        _write_page(reader, path, summary)
    return to


def _write_page(reader: LedgerReader, to: Path, summary: Summary) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(reader, to, summary)


def _check_parent(to: Path) -> None:
    if not to.parent.is_dir():
        raise FolderUnusable(f"{to.parent} is not a folder", "make it, or give another --to")
