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
from bulk_unenroll.access import prove
from bulk_unenroll.ending import REPORT_NAME, mend_of, next_of, with_sandbox
from bulk_unenroll.errors import EXIT_FINISHED, EXIT_LEFT_OVER, FolderUnusable, UsageError
from bulk_unenroll.folder import existing_folder, is_locked
from bulk_unenroll.model import State
from bulk_unenroll.outcome import Exit, Outcome, command
from bulk_unenroll.policy import RESEND_WINDOW_S
from bulk_unenroll.queries import Counts, Row, ask, count, reader, sources_in_force
from bulk_unenroll.settings import is_rehearsal
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
        counts = count(connection, sources_in_force(connection))
        runs = ask(connection, "runs")
        told = ask(connection, "get_meta", name="pace")
    pace = json.loads(told[0][0]) if told and told[0][0] else None
    ended = _last_end(folder, counts, runs, going_on)
    outcome = Outcome(str(folder), *ended, counts=counts, pace=pace)
    return Status(outcome, runs, going_on)


def _last_end(
    folder: Path, counts: Counts, runs: list[Row], going_on: bool
) -> tuple[Exit, str, str | None]:
    if not runs:
        return Exit(EXIT_FINISHED, "planned, not run"), "", None
    run_id, _, _, _, code, reason = runs[-1]
    then = command("resume", str(folder)) if counts.left else ""
    if code is None:
        why = "the run is going on" if going_on else "the last run was killed"
        return Exit(EXIT_LEFT_OVER, why), "" if going_on else then, run_id
    return Exit(code, reason), then, run_id


def export(given: Path, to: str, states: Sequence[str], codes: Sequence[str]) -> int:
    """Write the chosen rows to ``to``, here or elsewhere; how many."""
    from bulk_unenroll import results  # pandas is slow to import

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
        _write_page_of(connection, path, found)
    return to


def _write_page_of(connection: sqlite3.Connection, to: Path, found: Status) -> None:
    from bulk_unenroll.page import write_page  # jinja2 and matplotlib are slow to import

    base_url = ask(connection, "get_meta", name="base_url")
    sandbox = bool(base_url) and is_rehearsal(base_url[0][0])
    sources = sources_in_force(connection)
    then = _next_after(connection, found, sources, sandbox=sandbox)
    mend = with_sandbox(mend_of(connection, found.outcome.folder, sources), sandbox=sandbox)
    outcome = replace(found.outcome, next=then, mend=mend, sandbox=sandbox)
    write_page(connection, to, outcome, sources)


def _next_after(
    connection: sqlite3.Connection, found: Status, sources: list[int], *, sandbox: bool
) -> str:
    """The exact next command for a folder as it was found."""
    outcome = found.outcome
    if found.going_on:
        return command("status", outcome.folder, "--follow")
    if not found.runs or outcome.counts is None:
        return command("run", "INPUT", "--out", outcome.folder)
    resend_after_s = time.time() - RESEND_WINDOW_S
    then = next_of(
        connection, outcome.folder, outcome.exit, outcome.counts, sources, resend_after_s
    )
    return with_sandbox(then, sandbox=sandbox)


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
