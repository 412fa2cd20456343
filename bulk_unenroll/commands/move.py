"""Move a job from its run folder to PostgreSQL, where other machines can join it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bulk_unenroll.commands.options import settings_from
from bulk_unenroll.commands.steps.connect import working_ledger
from bulk_unenroll.commands.steps.memory import as_last_time
from bulk_unenroll.errors import UsageError
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.job_address import (
    EXAMPLE,
    VARIABLE,
    SharedJob,
    given_url,
    named_job,
    shown,
)
from bulk_unenroll.ledger.opening import existing_folder, move_to


def move(folder: str | os.PathLike[str], job: str, *, to: str | None = None) -> str:
    """Move the job of ``folder`` to PostgreSQL as ``job``, for good; return where, in words.

    ``to`` is the address of the server, see ``shared``. The folder names the job from then on, and
    is used as before; what its own ledger held is never sent from again. Where a kill ends a move
    the job is in one of the two, whole, and the same call goes on. Raises ``UsageError`` (2) where
    there is a job of that name, and ``FolderBusy`` (75) while somebody works in the folder.
    """
    path = existing_folder(Path(folder))
    url = given_url(to, "--to")
    if url is None:
        raise UsageError(
            "the new place of the job needs an address",
            f"give --to {EXAMPLE}, or set {VARIABLE}",
        )
    if not _is_there(path, job):
        with working_ledger(path) as ledger:
            move_to(SharedJob(job, url), ledger, path, _starts_from_s(ledger.reader))
    return f"{job} in {shown(url)}"


def _is_there(folder: Path, job: str) -> bool:
    """Whether an earlier move succeeded; what a kill left of its last steps is done here."""
    named = named_job(folder)
    if named is None:
        return False
    if named.job != job:
        raise UsageError(
            f"{folder} belongs to the job {named.job} already", f"give --job {named.job}"
        )
    if named.move:
        with working_ledger(folder):
            pass
    return True


def _starts_from_s(reader: LedgerReader) -> float:
    """The earliest start (Unix seconds) that keeps the rate, counting the calls of the folder."""
    from bulk_unenroll.sending.rate_limit import RateLimit

    now_s, rate = time.time(), as_last_time(settings_from({}), reader).send.rate
    starts = reader.recent_starts(now_s - rate.unit_s)
    return now_s + RateLimit(rate).hold_off_s(starts, now_s)
