"""A folder's rows as a file, and its page, here or in a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bulk_unenroll import remote
from bulk_unenroll.commands.finish import REPORT_NAME
from bulk_unenroll.commands.status import status
from bulk_unenroll.errors import FolderUnusable, UsageError
from bulk_unenroll.ledger.folder import existing_folder
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.results import export as results
from bulk_unenroll.urls import is_remote, without_secrets


def export(given: Path, to: str, states: Sequence[str], codes: Sequence[str]) -> int:
    """Write the chosen rows to ``to``, here or elsewhere; how many."""
    if PurePosixPath(to).suffix.lower() not in results.ENDINGS:
        shown = without_secrets(to)
        raise UsageError(
            f"{shown} ends in none of {', '.join(results.ENDINGS)}", "give --to FILE.csv"
        )
    known = {*(state.value for state in State), "invalid", "duplicate"}
    for state in states:
        if state not in known:
            raise UsageError(f"{state!r} is no state", f"one of {', '.join(sorted(known))}")
    folder = existing_folder(given)
    chosen = Selection(states=states or None, codes=codes or None)
    with _destination(to) as path, open_reader(folder) as reader:
        return results.export(reader, path, chosen)


@contextmanager
def _destination(to: str) -> Iterator[Path]:
    """Where to write what shall lie at ``to``; if that is elsewhere, it is copied there after."""
    if not is_remote(to):
        _check_place(Path(to))
        yield Path(to)
        return
    remote.check_writable(to)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PurePosixPath(to).name
        yield path
        remote.upload(path, to)


def report(given: Path, to: str | None) -> str:
    """Write the page of a folder to ``to``, here or elsewhere, or into it; where it lies now."""
    folder = existing_folder(given)
    to = to or str(folder / REPORT_NAME)
    if PurePosixPath(to).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{without_secrets(to)} does not end in .html", f"give --to {REPORT_NAME}")
    found = status(folder)
    with _destination(to) as path, open_reader(folder) as reader:
        _write_page_of(reader, path, found.summary)
    return to


def _write_page_of(reader: LedgerReader, to: Path, summary: Summary) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(reader, to, summary)


def _check_place(to: Path) -> None:
    if not to.parent.is_dir():
        raise FolderUnusable(f"{to.parent} is no folder", "make it, or give another --to")
