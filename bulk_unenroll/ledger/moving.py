"""Moves a job from its folder in SQLite to PostgreSQL, for good.

Two stores cannot commit as one. So one file decides where the job is: the folder's ``ledger.json``,
which appears in one step.

1. All is copied to PostgreSQL in one transaction, and bears a mark: nobody may send from it.
2. ``ledger.json`` names the job, with the same mark. From now on the job is there.
3. The ledger in SQLite is closed for good, should the file ever be removed.
4. The mark is taken off the job, then off the file.

A kill before 2 leaves the folder as it was; the next move makes the copy anew. After 2 whoever
opens the folder to work does 3 and 4 first, and nothing opens what it held before.
"""

from __future__ import annotations

import uuid
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import Moved
from bulk_unenroll.ledger.job_address import SharedJob, has_password, name_job, shown
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.moving import close_for_good, moved_tables

MARK: Final = "move"


def move(ledger: SqliteLedger, folder: Path, to: SharedJob, starts_from_s: float) -> None:
    """Move the job of ``folder``, within its lock. No call starts before ``starts_from_s``.

    Raises ``UsageError`` (2) where there is a job of that name, and what opening it raises.
    """
    from bulk_unenroll.ledger.postgres.moving import receive
    from bulk_unenroll.ledger.postgres.session import Address

    address = Address.of(to.url, to.job)
    mark = ledger.reader.note(MARK) or uuid.uuid4().hex
    ledger.note(MARK, mark)
    with receive(address, mark, moved_tables(ledger.connection), starts_from_s):
        name_job(folder, replace(to, move=mark))
        close_for_good(ledger.connection, _where(to))
    name_job(folder, to)


def end_move(folder: Path, to: SharedJob) -> None:
    """End a move of which a kill left the last steps, within the folder's lock."""
    from bulk_unenroll.ledger.postgres.moving import release
    from bulk_unenroll.ledger.postgres.session import Address

    with suppress(Moved), closing(SqliteLedger.open(folder)) as ledger:
        close_for_good(ledger.connection, _where(to))
    release(Address.of(to.url, to.job), to.move)
    name_job(folder, replace(to, move=""))


def _where(to: SharedJob) -> dict[str, str]:
    url = "" if has_password(to.url) else to.url
    return {"job": to.job, "url": url, "place": shown(to.url)}
