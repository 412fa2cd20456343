"""What a folder holds: where it stands, its rows as a file, its page, one customer, a proof.

Read-only, also while a run is going.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bulk_unenroll.capillary.base_url import is_rehearsal
from bulk_unenroll.commands.finish import fix_of, next_of
from bulk_unenroll.errors import Next
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.folder import existing_folder, is_locked
from bulk_unenroll.ledger.sqlite.reader import Row, ask, count, reader, sources_in_force
from bulk_unenroll.model import State
from bulk_unenroll.reports.next_command import again
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.settings import RESEND_WINDOW_S


@dataclass(frozen=True, slots=True)
class Status:
    """Where a folder stands. ``runs`` are tuples of the statement ``runs``.

    ``going_on``: a process works in the folder.
    """

    summary: Summary
    runs: list[Row]
    going_on: bool


def status(given: Path) -> Status:
    """Where a folder stands; read-only, also while a run is going."""
    folder = existing_folder(given)
    going_on = is_locked(folder)
    with reader(folder) as connection:
        runs = ask(connection, "runs")
        summary = _summary(connection, folder, *_last_end(runs, going_on=going_on))
        then = _next_after(connection, summary, going_on=going_on)
    return Status(replace(summary, next=then), runs, going_on)


def _last_end(runs: list[Row], *, going_on: bool) -> tuple[str | None, Exit]:
    if not runs:
        return None, Exit(ExitCode.FINISHED, "planned, not run")
    run_id, _, _, _, code, reason = runs[-1]
    if code is None:
        why = "the run is going on" if going_on else "the last run was killed"
        return run_id, Exit(ExitCode.LEFT_OVER, why)
    return run_id, Exit(code, reason)


def _summary(
    connection: sqlite3.Connection, folder: Path, run_id: str | None, ended: Exit
) -> Summary:
    sources = sources_in_force(connection)
    base_url, pace = _meta(connection, "base_url"), _meta(connection, "pace")
    sandbox = base_url is not None and is_rehearsal(base_url)
    return Summary(
        str(folder),
        ended,
        run_id=run_id,
        counts=count(connection, sources),
        pace=json.loads(pace) if pace else None,
        fix=again(fix_of(connection, str(folder), sources), sandbox=sandbox),
        sandbox=sandbox,
    )


def _meta(connection: sqlite3.Connection, name: str) -> str | None:
    found = ask(connection, "get_meta", name=name)
    return found[0][0] if found else None


def _next_after(connection: sqlite3.Connection, summary: Summary, *, going_on: bool) -> Next | None:
    """The next command for a folder as it was found."""
    folder, counts = summary.folder, summary.counts
    if going_on:
        return Next("status", (folder,), {"follow": True})
    if summary.run_id is None or counts is None:
        return Next("run", ("INPUT",), {"out": folder})
    reopened = summary.exit.code == ExitCode.FINISHED and counts.left
    if reopened or counts.states[State.SENDING]:  # which a killed run left
        then: Next | None = Next("resume", (folder,))
    else:
        sources = sources_in_force(connection)
        resend_after_s = time.time() - RESEND_WINDOW_S
        then = next_of(connection, folder, summary.exit, counts, sources, resend_after_s)
    return again(then, sandbox=summary.sandbox)
