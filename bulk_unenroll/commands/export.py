"""Write the rows or the page of a folder, to a path or to a remote address."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bulk_unenroll import remote
from bulk_unenroll.commands.results import selection
from bulk_unenroll.errors import FolderUnusable, UsageError
from bulk_unenroll.exports import export as exporting
from bulk_unenroll.ledger.folder import LEDGER_NAME, existing_folder
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import open_reader
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
    with destination(to) as path, open_reader(folder) as reader:
        _check_not_needed(path, folder, reader)
        return exporting.export(reader, path, selected)


def _check_not_needed(to: Path, folder: Path, reader: LedgerReader) -> None:
    """Refuse to overwrite an input, or a file that the run folder lives by."""
    ours = [path for path in folder.iterdir() if path.name.startswith(LEDGER_NAME)]
    needed = [*ours, *(Path(source.path) for source in reader.sources())]
    if to.exists() and any(path.exists() and path.samefile(to) for path in needed):
        raise UsageError(f"{to} is an input or the ledger of this folder", "give another --to")


@contextmanager
def destination(to: str) -> Iterator[Path]:
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


def _check_parent(to: Path) -> None:
    if not to.parent.is_dir():
        raise FolderUnusable(f"{to.parent} is not a folder", "make it, or give another --to")
