"""Write the rows of a folder, to a path or to a remote address."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

from bulk_unenroll import remote
from bulk_unenroll.commands.results import selection
from bulk_unenroll.errors import FolderUnusable, LedgerFailed, UsageError
from bulk_unenroll.exports import export as exporting
from bulk_unenroll.exports.attempts import export_attempts, export_attempts_as_csv
from bulk_unenroll.ledger.folder import LEDGER_NAME
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import existing_folder, open_reader
from bulk_unenroll.urls import is_remote, without_secrets

STANDARD_OUTPUT: Final = "-"


def export(
    folder: str | os.PathLike[str],
    to: str,
    *,
    states: str | Sequence[str] = (),
    codes: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    attempts: bool = False,
) -> int:
    """Write rows of ``folder`` to ``to``, a path or a remote address; return how many.

    The ending decides the format: .csv, .csv.gz, .parquet, .jsonl or .xlsx; ``-`` is CSV on
    standard output. ``states``, ``codes`` and ``targets`` select rows, as in ``results``. With
    ``attempts``, each attempt of these rows is written instead, in the columns of the view
    ``attempt_history``. 0 where the reader of standard output went away.
    """
    is_printed = to == STANDARD_OUTPUT
    if not is_printed and exporting.ending_of(PurePosixPath(to).name) is None:
        shown = without_secrets(to)
        raise UsageError(
            f"{shown} does not end in one of {', '.join(exporting.ENDINGS)}", "give --to FILE.csv"
        )
    selected, folder = selection(states, codes, targets), existing_folder(Path(folder))
    if is_printed:
        write_csv = export_attempts_as_csv if attempts else exporting.export_as_csv
        # who reads may have seen enough
        with suppress(BrokenPipeError), _printing(), open_reader(folder) as reader:
            return write_csv(reader, _standard_output(), selected)
        return 0
    write = export_attempts if attempts else exporting.export
    with destination(to) as path, open_reader(folder) as reader:
        _check_not_needed(path, folder, reader)
        return write(reader, path, selected)


@contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"standard output cannot be written: {error.strerror}"
        raise LedgerFailed(why, "look where it goes") from error


class _NoFile(io.StringIO):
    """For a standard output that is no file, as in a notebook: written there once it is closed."""

    def close(self) -> None:
        sys.stdout.write(self.getvalue())
        super().close()


def _standard_output() -> TextIO:
    """Standard output itself, so that its loss is noticed: half a table is no table."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return _NoFile(newline="")
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


def _check_not_needed(to: Path, folder: Path, reader: LedgerReader) -> None:
    """Refuse to overwrite an input or a file of the ledger."""
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
