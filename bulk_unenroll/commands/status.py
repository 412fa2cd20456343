"""What a folder holds: where it stands, its rows as a file, its page, one customer, a proof.

Read-only, also while a run is going.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bulk_unenroll import remote
from bulk_unenroll.commands.connect import prove
from bulk_unenroll.commands.finish import REPORT_NAME, mend_of, next_of, with_sandbox
from bulk_unenroll.errors import EXIT_FINISHED, EXIT_LEFT_OVER, FolderUnusable, UsageError
from bulk_unenroll.ledger.folder import existing_folder, is_locked
from bulk_unenroll.ledger.sqlite.reader import Row, ask, count, reader, sources_in_force
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Exit, Outcome, command
from bulk_unenroll.results import export as results
from bulk_unenroll.settings import RESEND_WINDOW_S, is_rehearsal
from bulk_unenroll.urls import is_remote, without_secrets


@dataclass(frozen=True, slots=True)
class Status:
    """Where a folder stands. ``runs`` are tuples of the statement ``runs``.

    ``going_on``: a process works in the folder.
    """

    outcome: Outcome
    runs: list[Row]
    going_on: bool


def status(given: Path) -> Status:
    """Where a folder stands; read-only, also while a run is going."""
    folder = existing_folder(given)
    going_on = is_locked(folder)
    with reader(folder) as connection:
        runs = ask(connection, "runs")
        outcome = _outcome(connection, folder, *_last_end(runs, going_on=going_on))
        then = _next_after(connection, outcome, going_on=going_on)
    return Status(replace(outcome, next=then), runs, going_on)


def _last_end(runs: list[Row], *, going_on: bool) -> tuple[str | None, Exit]:
    if not runs:
        return None, Exit(EXIT_FINISHED, "planned, not run")
    run_id, _, _, _, code, reason = runs[-1]
    if code is None:
        why = "the run is going on" if going_on else "the last run was killed"
        return run_id, Exit(EXIT_LEFT_OVER, why)
    return run_id, Exit(code, reason)


def _outcome(
    connection: sqlite3.Connection, folder: Path, run_id: str | None, ended: Exit
) -> Outcome:
    sources = sources_in_force(connection)
    base_url, pace = _meta(connection, "base_url"), _meta(connection, "pace")
    sandbox = base_url is not None and is_rehearsal(base_url)
    return Outcome(
        str(folder),
        ended,
        next="",
        run_id=run_id,
        counts=count(connection, sources),
        pace=json.loads(pace) if pace else None,
        mend=with_sandbox(mend_of(connection, str(folder), sources), sandbox=sandbox),
        sandbox=sandbox,
    )


def _meta(connection: sqlite3.Connection, name: str) -> str | None:
    found = ask(connection, "get_meta", name=name)
    return found[0][0] if found else None


def _next_after(connection: sqlite3.Connection, outcome: Outcome, *, going_on: bool) -> str:
    """The exact next command for a folder as it was found."""
    folder, counts = outcome.folder, outcome.counts
    if going_on:
        return command("status", folder, "--follow")
    if outcome.run_id is None or counts is None:
        return command("run", "INPUT", "--out", folder)
    reopened = outcome.exit.code == EXIT_FINISHED and counts.left
    if reopened or counts.states[State.SENDING]:  # which a killed run left
        then = command("resume", folder)
    else:
        sources = sources_in_force(connection)
        resend_after_s = time.time() - RESEND_WINDOW_S
        then = next_of(connection, folder, outcome.exit, counts, sources, resend_after_s)
    return with_sandbox(then, sandbox=outcome.sandbox)


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
    chosen = results.Selection(states=states or None, codes=codes or None)
    with _destination(to) as path, reader(folder) as connection:
        return results.export(connection, path, chosen)


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
    with _destination(to) as path, reader(folder) as connection:
        _write_page_of(connection, path, found.outcome)
    return to


def _write_page_of(connection: sqlite3.Connection, to: Path, outcome: Outcome) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(connection, to, outcome, sources_in_force(connection))


def _check_place(to: Path) -> None:
    if not to.parent.is_dir():
        raise FolderUnusable(f"{to.parent} is no folder", "make it, or give another --to")


@dataclass(frozen=True, slots=True)
class Explained:
    """Every row and every attempt of one customer, as tuples of the two ``explain_`` statements."""

    customer: int
    rows: list[Row]
    attempts: list[Row]


def explain(given: Path, customer: int) -> Explained:
    """What is known of one customer."""
    with reader(existing_folder(given)) as connection:
        rows = ask(connection, "explain_rows", customer=customer)
        attempts = ask(connection, "explain_attempts", customer=customer)
    return Explained(customer, rows, attempts)


def verify(given: Path) -> None:
    """Prove the ledger; raises ``LedgerFailed`` naming the first thing that is wrong."""
    prove(existing_folder(given))
