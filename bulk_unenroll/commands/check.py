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
from bulk_unenroll.commands.options import Settings, settings_among
from bulk_unenroll.commands.steps.connect import (
    api,
    base_url,
    check_goes_on,
    check_kind,
    other_api,
    working_ledger,
)
from bulk_unenroll.commands.steps.memory import as_last_time
from bulk_unenroll.commands.steps.progress_file import ProgressFile
from bulk_unenroll.commands.steps.reading import find_given, load_and_survey, with_listed
from bulk_unenroll.errors import FolderUnusable, Next, Stop, UsageError
from bulk_unenroll.ledger.opening import existing_folder, has_ledger, open_reader
from bulk_unenroll.reports.alarms.raising import AlarmsRaised
from bulk_unenroll.reports.plan import Destination, TooManyInvalid
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
    settings = with_listed(settings_among(options))
    faults: list[Stop] = []
    orgs = False
    with _collecting(faults):
        orgs = bool(names) and _check_inputs(names, folder, settings)
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


def _check_inputs(names: Sequence[str], folder: Path, settings: Settings) -> bool:
    """Plan the inputs in a folder of their own; return whether they name connected orgs.

    Raises what a run of them would raise, alarms included.
    """
    given = find_given(names, folder, settings)
    with tempfile.TemporaryDirectory() as apart, working_ledger(Path(apart)) as ledger:
        max_invalid = settings.max_invalid or RUN_MAX_INVALID
        to = Destination(rehearsal=settings.run.sandbox)
        plan = load_and_survey(
            ledger, given, settings, max_invalid, to, ProgressFile(None, folder), spool=Path(apart)
        ).plan
        if plan.run_refuses:
            raise TooManyInvalid(plan.counts.invalid, plan.counts.read)
        if plan.alarms_raised:
            raise AlarmsRaised(plan.alarms_raised)
        return ledger.reader.has_other_orgs()


def check_writing(
    log_file: Path | None, metrics_file: Path | None, progress_file: Path | None
) -> list[Stop]:
    """Return which of the files beside the run folder a job cannot write. Makes none."""
    faults: list[Stop] = []
    named = {"log-file": log_file, "metrics-file": metrics_file, "progress-file": progress_file}
    for option, path in named.items():
        if path is not None and (why := _why_not_written(path)):
            faults.append(UsageError(f"--{option} {path} cannot be written: {why}"))
    if metrics_file is not None:
        try:
            import bulk_unenroll.reports.metrics  # noqa: F401 - is it there?
        except ImportError:
            faults.append(
                UsageError("--metrics-file needs an extra", "pip install 'bulk-unenroll[metrics]'")
            )
    return faults


def _why_not_written(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    parent = path.absolute().parent
    if not parent.is_dir():
        return f"there is no folder {parent}"
    place = path if path.exists() else parent
    return "" if os.access(place, os.W_OK) else "permission denied"


def _check_folder(folder: Path, settings: Settings, *, new: bool) -> Bound:
    """Return what the folder is bound to; raise ``Stop`` where it is of the other kind."""
    if new and not has_ledger(folder):
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
