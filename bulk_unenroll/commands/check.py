"""Check a job: report everything that would keep it from sending, at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bulk_unenroll.capillary.base_url import check_scope, same_api
from bulk_unenroll.capillary.credentials import credentials, read_environment
from bulk_unenroll.commands.connect import api, base_url, check_goes_on, check_kind, other_api
from bulk_unenroll.commands.memory import as_last_time
from bulk_unenroll.commands.options import Settings, settings_among
from bulk_unenroll.errors import FolderUnusable, Next, Stop
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.ledger.folder import existing_folder, ledger_path
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.model import Enrollment, Invalid
from bulk_unenroll.reports.plan import TooManyInvalid
from bulk_unenroll.sending.open_files import allow_open_files
from bulk_unenroll.settings import RUN_MAX_INVALID, RunSettings

ANY_URL: Final = "https://localhost"
"""Credentials are checked with it, so that a wrong URL of the job does not hide their faults."""


class Bound(NamedTuple):
    """What a folder is bound to: the base URL of its API, if any, and the settings of a run."""

    base_url: str | None
    run: RunSettings


def check(folder: Path, names: Sequence[str], options: Mapping[str, Any]) -> list[Stop]:
    """Return everything that would keep a run from sending. Sends nothing, makes no folder.

    ``names`` are the inputs; a job that continues its folder has none. ``options`` are those of
    the job's command.
    """
    settings = settings_among(options)
    faults: list[Stop] = []
    orgs = False
    with _collecting(faults):
        orgs = bool(names) and _check_inputs(names, settings)
    with _collecting(faults):
        allow_open_files(settings.send.concurrency)
    bound = Bound(None, settings.run)
    with _collecting(faults):
        bound = _check_folder(folder, settings, new=bool(names))
    if bound.run.sandbox:
        with _collecting(faults), api(bound.run, None) as rehearsal:
            check_scope(rehearsal.base_url, orgs)
        return faults
    with _collecting(faults):
        url = base_url(bound.run, bound.base_url)
        if bound.base_url and not same_api(bound.base_url, url):
            raise other_api(bound.base_url, url)
        check_scope(url, orgs)
    with _collecting(faults):
        credentials(read_environment(), ANY_URL)
    return faults


@contextmanager
def _collecting(faults: list[Stop]) -> Iterator[None]:
    try:
        yield
    except Stop as stop:
        faults.append(stop)


def _check_inputs(names: Sequence[str], settings: Settings) -> bool:
    """Read the inputs to their end; return whether they name connected orgs."""
    read, invalid, orgs = 0, 0, False
    with tempfile.TemporaryDirectory() as spool:
        for file in find_inputs(names):
            with open_source(file, settings.read, Path(spool)) as source:
                for record in source.records():
                    with source.naming():
                        found = source.mapper.enrollment(record)
                    read += 1
                    invalid += isinstance(found, Invalid)
                    orgs = orgs or (isinstance(found, Enrollment) and found.target.org is not None)
    if (settings.max_invalid or RUN_MAX_INVALID).exceeded(invalid, read):
        raise TooManyInvalid(invalid, read)
    return orgs


def _check_folder(folder: Path, settings: Settings, *, new: bool) -> Bound:
    """Return what the folder is bound to; raise ``Stop`` where it is of the other kind."""
    if new and not ledger_path(folder).exists():
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise FolderUnusable(f"{folder} cannot be made in {nearest}", "give another folder")
        return Bound(None, settings.run)
    with open_reader(existing_folder(folder)) as reader:
        if new:
            check_kind(reader, folder, rehearsal=settings.run.sandbox, own=False)
        else:
            check_goes_on(reader, folder, settings.given, Next("resume", (str(folder),)))
            settings = as_last_time(settings, reader)
        url = reader.base_url() if not new or reader.has_judged() else None
        return Bound(url, settings.run)
