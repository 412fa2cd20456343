"""Checking a job: all that would keep it from sending, at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bulk_unenroll.capillary.base_url import check_scope, same_api
from bulk_unenroll.capillary.credentials import credentials, read_environment
from bulk_unenroll.commands.connect import api, base_url, other_api
from bulk_unenroll.commands.plan import Inputs, too_invalid
from bulk_unenroll.errors import FolderUnusable, InputRefused, Stop
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.folder import existing_folder, ledger_path
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.model import Enrollment, Invalid
from bulk_unenroll.settings import RunSettings

ANY_URL: Final = "https://localhost"
"""Credentials are looked for whatever is wrong with the job's own URL."""


def check(folder: Path, inputs: Inputs | None, going: RunSettings) -> list[Stop]:
    """All that would keep a run from sending, found without sending and without a new folder.

    ``inputs`` is None for a job that goes on with its folder.
    """
    faults: list[Stop] = []
    orgs = False
    with _collecting(faults):
        orgs = inputs is not None and _check_inputs(inputs)
    kept: str | None = None
    with _collecting(faults):
        kept = _check_folder(folder, new=inputs is not None)
    if going.sandbox:
        with _collecting(faults), api(going, kept) as rehearsal:
            _check_url(rehearsal.base_url, kept, orgs=orgs)
        return faults
    with _collecting(faults):
        _check_url(base_url(going, kept), kept, orgs=orgs)
    with _collecting(faults):
        credentials(read_environment(), ANY_URL)
    return faults


def _check_url(url: str, kept: str | None, *, orgs: bool) -> None:
    if kept and not same_api(kept, url):
        raise other_api(kept, url)
    check_scope(url, orgs)


@contextmanager
def _collecting(faults: list[Stop]) -> Iterator[None]:
    try:
        yield
    except Stop as stop:
        faults.append(stop)


def _check_inputs(inputs: Inputs) -> bool:
    """Read the inputs to their end; whether they name connected orgs."""
    read, invalid, orgs = 0, 0, False
    with tempfile.TemporaryDirectory() as spool:
        for file in find_inputs(inputs.names):
            with open_source(file, inputs.reading, Path(spool)) as source:
                for record in source.records():
                    found = source.mapper.enrollment(record)
                    read += 1
                    invalid += isinstance(found, Invalid)
                    orgs = orgs or (isinstance(found, Enrollment) and found.target.org is not None)
    counts = Counts(read=read, invalid=invalid)
    refused = too_invalid(counts, inputs.max_invalid)
    if refused:
        raise InputRefused(refused.reason)
    return orgs


def _check_folder(folder: Path, *, new: bool) -> str | None:
    """The base URL that the folder was confirmed for, if it is there."""
    if new and not ledger_path(folder).exists():
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise FolderUnusable(f"{folder} cannot be made in {there}", "give another folder")
        return None
    with open_reader(existing_folder(folder)) as reader:
        return reader.base_url()
