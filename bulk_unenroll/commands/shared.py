"""Shared jobs: their ledger is in PostgreSQL, where senders on several machines work with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bulk_unenroll.errors import InputMissing, UsageError
from bulk_unenroll.inputs.finding import RUN_FOLDER_ENDING
from bulk_unenroll.ledger.folder import ledger_path, make_folder
from bulk_unenroll.ledger.job_address import (
    EXAMPLE,
    VARIABLE,
    SharedJob,
    check_name,
    given_url,
    job_named_after,
    name_job,
    named_job,
)


def shared(
    job: str,
    *,
    ledger: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Return the run folder of a shared job on this machine, which every other function takes.

    ``ledger`` is the address of its server, without a password, else that of the environment:
    ``BULK_UNENROLL_LEDGER_URL``, or the file that ``BULK_UNENROLL_LEDGER_URL_FILE`` names. The
    folder is ``NAME.unenroll`` unless given; it holds results and reports, and says where the
    ledger is. Raises ``UsageError`` (2) and ``Misconfigured`` (78).
    """
    check_name(job)
    url = given_url(ledger)
    if url is None:
        raise UsageError(
            f"the job {job} needs the address of its ledger",
            f"give --ledger {EXAMPLE}, or set {VARIABLE}",
        )
    path = Path(folder) if folder is not None else Path(f"{job}{RUN_FOLDER_ENDING}")
    make_folder(path)
    named = named_job(path)
    was_named = named is not None and named.job == job
    if ledger_path(path).exists() and not was_named:  # if it was, it has moved there
        raise UsageError(
            f"{path} has a ledger of its own",
            "give --out another folder",
            lacking={"out": "FOLDER"},
        )
    name_job(path, SharedJob(job, url, named.move if named and was_named else ""))
    return path


@contextmanager
def present_job(job: str, ledger: str | None) -> Iterator[Path]:
    """The run folder of a shared job that must be there.

    If it is not (``InputMissing``, 66), no folder stays of a name that was mistyped.
    """
    is_new = not Path(f"{job}{RUN_FOLDER_ENDING}").exists()
    folder = shared(job, ledger=ledger)
    try:
        yield folder
    except InputMissing:
        if is_new:  # so all that is in it was made for this command
            shutil.rmtree(folder, ignore_errors=True)
        raise


def shared_folder(
    inputs: Sequence[str], ledger: str | None, job: str | None, out: str | None
) -> str | None:
    """The run folder for inputs of which ``--ledger`` or ``--job`` says that they are shared."""
    if ledger is None and job is None:
        return out
    name = job_named_after(inputs[0]) if job is None else job
    return str(shared(name, ledger=ledger, folder=out))
