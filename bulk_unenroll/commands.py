"""What each command does, from options to outcome. Printing and exit codes are the CLI's."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import structlog

from bulk_unenroll import remote
from bulk_unenroll.console import watching
from bulk_unenroll.digest import digest
from bulk_unenroll.errors import (
    EXIT_FINISHED,
    EXIT_LEDGER,
    EXIT_LEFT_OVER,
    EXIT_ROWS_FAILED,
    FolderUnusable,
    InputRefused,
    Interrupted,
    LedgerFailed,
    Misconfigured,
    Stop,
    UsageError,
)
from bulk_unenroll.folder import (
    existing_folder,
    is_locked,
    ledger_path,
    locked,
    make_folder,
    who_works,
)
from bulk_unenroll.ledger import DAMAGED, DAMAGED_REMEDY, Ledger, failure, is_left_open
from bulk_unenroll.load import load
from bulk_unenroll.model import Invalid, Key, State
from bulk_unenroll.outcome import SHOWN_TROUBLES, Exit, Outcome, command, conclude, next_command
from bulk_unenroll.planning import Plan, survey
from bulk_unenroll.policy import RESEND_WINDOW_S, Share
from bulk_unenroll.queries import (
    Counts,
    Row,
    ask,
    callable_count,
    conservation_faults,
    count,
    integrity_faults,
    reader,
    tally,
)
from bulk_unenroll.rows import Reading
from bulk_unenroll.settings import (
    Api,
    Basic,
    Sending,
    check_scope,
    credentials,
    is_rehearsal,
    parse_base_url,
    read_environment,
    same_api,
)
from bulk_unenroll.sources import InputFile, find_inputs, open_source
from bulk_unenroll.urls import is_remote, without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.metrics import MetricsFile
    from bulk_unenroll.runner import Observer

log = structlog.get_logger()

REPORT_NAME: Final = "report.html"
NOTHING_CONFIRMED: Final = "nothing in this folder was confirmed by a `run`"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to read, how, and how many invalid rows are too many (None: a plan refuses none)."""

    names: Sequence[str]
    reading: Reading
    max_invalid: Share | None


@dataclass(frozen=True, slots=True)
class Going:
    """Everything about going through with it, beside how to send.

    ``began_s`` is the command's start on the monotonic clock.
    """

    base_url: str | None
    sandbox: bool
    sandbox_scenario: Path | None
    expect: int | None
    stop_in_s: float | None
    export: bool
    log_ids: bool
    quiet: bool
    json: bool
    metrics_file: Path | None
    began_s: float


@dataclass(frozen=True, slots=True)
class Reopening:
    """What ``retry`` reopens; empty ``codes`` or ``targets`` mean any."""

    states: Sequence[State]
    codes: Sequence[str]
    targets: Sequence[str]


# ── plan and run ─────────────────────────────────────────────────────────────────────────────────


def plan(folder: Path, inputs: Inputs, sending: Sending, show: Callable[[Plan], None]) -> Outcome:
    """Read the inputs into the folder and show what a run would do. Cannot send."""
    began_s = time.monotonic()
    files = find_inputs(inputs.names)
    with _working_ledger(folder, new=True) as ledger:
        _, seen = _plan(ledger, folder, files, inputs, sending)
        show(seen)
        _check_conservation(ledger)
    ended = _too_invalid(seen.counts, inputs.max_invalid) or _planned(seen)
    then = command("run", *_shown(inputs), "--out", str(folder))
    return Outcome(str(folder), ended, then, None, seen.counts, time.monotonic() - began_s)


def _shown(inputs: Inputs) -> list[str]:
    return [without_secrets(name) for name in inputs.names]


def _planned(seen: Plan) -> Exit:
    if seen.counts.invalid:
        return Exit(EXIT_ROWS_FAILED, f"{seen.counts.invalid} invalid rows")
    return Exit(EXIT_FINISHED, f"{seen.to_call} to call")


def run(
    folder: Path,
    inputs: Inputs,
    sending: Sending,
    going: Going,
    confirm: Callable[[Plan], None],
) -> Outcome:
    """Plan, confirm, send, record, export. ``confirm`` raises if the person does not."""
    files = find_inputs(inputs.names)
    with _api(going, None) as api, _working_ledger(folder, new=True) as ledger:
        _check_same_api(ledger, api)
        sources, seen = _plan(ledger, folder, files, inputs, sending)
        _check_orgs(ledger, api)
        refused = _too_invalid(seen.counts, inputs.max_invalid)
        if refused:
            then = command("plan", *_shown(inputs), "--out", str(folder))
            return Outcome(str(folder), refused, then, None, seen.counts)
        _check_expected(seen.to_call, going.expect)
        confirm(seen)
        ledger.confirm(sources, api.base_url)
        return _go(folder, ledger, api, sources, "run", sending, going)


def _plan(
    ledger: Ledger, folder: Path, files: list[InputFile], inputs: Inputs, sending: Sending
) -> tuple[list[int], Plan]:
    sources = load(ledger, files, inputs.reading, folder)
    return sources, survey(ledger.connection, sources, sending.rate, _resend_after_s(sending))


def _too_invalid(counts: Counts, most: Share | None) -> Exit | None:
    if most is None or not most.exceeded(counts.invalid, counts.read):
        return None
    reason = f"{counts.invalid} of {counts.read} rows are invalid: more than --max-invalid allows"
    return Exit(InputRefused.code, f"{reason}; mend the file, or allow more")


def _check_expected(to_call: int, expected: int | None) -> None:
    if expected is not None and to_call != expected:
        raise InputRefused(
            f"{to_call} customers/targets would be called, not the {expected} of --expect",
            "look at the plan",
        )


# ── resume and retry ─────────────────────────────────────────────────────────────────────────────


def resume(
    given: Path, sending: Sending, going: Going, reopening: Reopening | None = None
) -> Outcome:
    """Go on with what is confirmed and not settled; ``retry`` reopens rows before."""
    folder = existing_folder(given)
    with _working_ledger(folder, new=False) as ledger:
        sources = ledger.confirmed_sources()
        if not sources:
            then = command("run", "INPUT", "--out", str(folder))
            raise UsageError(NOTHING_CONFIRMED, command=then)
        with _api(going, ledger.base_url()) as api:
            _check_same_api(ledger, api)
            _check_orgs(ledger, api)

            def check() -> None:
                if going.expect is not None:
                    to_call = callable_count(ledger.connection, sources, _resend_after_s(sending))
                    _check_expected(to_call, going.expect)

            if reopening:
                _reopen(ledger, reopening, check)
            else:
                check()
            name = "retry" if reopening else "resume"
            return _go(folder, ledger, api, sources, name, sending, going)


def _reopen(ledger: Ledger, reopening: Reopening, check: Callable[[], None]) -> None:
    number = ledger.reopen(
        reopening.states, reopening.codes, reopening.targets, now_s=time.time(), check=check
    )
    log.info("reopened", customers=number)


# ── sending ──────────────────────────────────────────────────────────────────────────────────────


def _go(
    folder: Path,
    ledger: Ledger,
    api: Api,
    sources: list[int],
    name: str,
    sending: Sending,
    going: Going,
) -> Outcome:
    from bulk_unenroll.runner import Observers
    from bulk_unenroll.send import Order, send  # aiohttp is slow to import

    run_id = uuid.uuid4().hex[:12]
    before = count(ledger.connection, sources)
    to_call = callable_count(ledger.connection, sources, _resend_after_s(sending), before)
    log.info("run", run_id=run_id, command=name, to_call=to_call, rate=str(sending.rate))
    end_now = _end_now(folder, run_id, going)
    order = Order(run_id, name, who_works(), sources, _time_left_s(going), end_now)
    metrics = _metrics(folder, before, going)
    try:
        with watching(before, to_call, log_ids=going.log_ids, quiet=going.quiet) as watch:
            observers: list[Observer] = [watch, *metrics]
            endings = send(ledger, api, sending, order, Observers(observers))
    except LedgerFailed as failed:
        outcome = _ledger_failed(folder, ledger, sources, run_id, failed, going)
    else:
        outcome = _finish(folder, ledger, sources, run_id, endings, sending, going)
    for file in metrics:
        file.ended(outcome.counts, outcome.exit.code)
    return outcome


def _metrics(folder: Path, before: Counts, going: Going) -> list[MetricsFile]:
    if going.metrics_file is None:
        return []
    try:
        from bulk_unenroll.metrics import MetricsFile

        return [MetricsFile(going.metrics_file, folder.name, before)]
    except ImportError:
        raise UsageError(
            "--metrics-file needs an extra", "pip install 'bulk-unenroll[metrics]'"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {going.metrics_file}: {error.strerror}") from None


def _ledger_failed(
    folder: Path,
    ledger: Ledger,
    sources: list[int],
    run_id: str,
    failed: LedgerFailed,
    going: Going,
) -> Outcome:
    """The end of a run whose ledger failed: with counts, where it can still be read."""
    counts = None
    with suppress(LedgerFailed, sqlite3.Error):
        counts = count(ledger.connection, sources)
    then = _with_sandbox(command("resume", str(folder)), going)
    seconds = time.monotonic() - going.began_s
    return Outcome(str(folder), Exit(failed.code, str(failed)), then, run_id, counts, seconds)


def _time_left_s(going: Going) -> float | None:
    if going.stop_in_s is None:
        return None
    return going.stop_in_s - (time.monotonic() - going.began_s)


def _end_now(folder: Path, run_id: str, going: Going) -> Callable[[int], None]:
    def end(code: int) -> None:
        then = _with_sandbox(command("resume", str(folder)), going)
        why = "ended at once by a second signal: calls in flight stay in doubt"
        if going.json:
            ended = Outcome(str(folder), Exit(code, why), then, run_id).as_json()
            sys.stdout.write(json.dumps(ended) + "\n")
            sys.stdout.flush()
        sys.stderr.write(f"bulk-unenroll: {why} (exit {code})\nnext: {then}\n")
        sys.stderr.flush()

    return end


def _finish(
    folder: Path,
    ledger: Ledger,
    sources: list[int],
    run_id: str,
    endings: dict[int, str],
    sending: Sending,
    going: Going,
) -> Outcome:
    _check_conservation(ledger)
    if going.export:
        with _noting_failure(endings):
            _write_results(folder, ledger)
    outcome = _conclude(folder, ledger, sources, run_id, endings, sending, going)
    if going.export:
        with _noting_failure(endings):
            _write_page(folder, ledger.connection, outcome)
        if EXIT_LEDGER in endings:  # it ended in another way then
            outcome = _conclude(folder, ledger, sources, run_id, endings, sending, going)
    return outcome


@contextmanager
def _noting_failure(endings: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except LedgerFailed as failed:
        endings[EXIT_LEDGER] = f"the results could not be written: {failed.reason}"


def _write_results(folder: Path, ledger: Ledger) -> None:
    from bulk_unenroll.report import write_results  # pandas is slow to import

    write_results(ledger.connection, folder, ledger.confirmed_sources())


def _write_page(folder: Path, connection: sqlite3.Connection, outcome: Outcome) -> None:
    from bulk_unenroll.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(connection, folder / REPORT_NAME, outcome, _sources(connection))


def _conclude(
    folder: Path,
    ledger: Ledger,
    sources: list[int],
    run_id: str,
    endings: dict[int, str],
    sending: Sending,
    going: Going,
) -> Outcome:
    connection = ledger.connection
    tallied = tally(connection, sources)
    counts = count(connection, sources, tallied)
    ((doubts,),) = ask(connection, "doubts_left")
    ended = conclude(counts, endings, doubts)
    ledger.end_run(ended.code, ended.reason)
    resend_after_s = _resend_after_s(sending)
    then = _next(connection, str(folder), ended, counts, sources, resend_after_s)
    return Outcome(
        str(folder),
        ended,
        _with_sandbox(then, going),
        run_id,
        counts,
        time.monotonic() - going.began_s,
        digest=digest(connection, sources, tallied, targets=0, troubles=SHOWN_TROUBLES),
        sandbox=going.sandbox,
    )


def _next(
    connection: sqlite3.Connection,
    folder: str,
    ended: Exit,
    counts: Counts,
    sources: list[int],
    resend_after_s: float,
) -> str:
    worst = ask(connection, "worst_code", sources=sources)
    found = (State(worst[0][0]), worst[0][1]) if worst else None
    left = callable_count(connection, sources, resend_after_s, counts)
    return next_command(folder, ended, counts, found, callable_=left)


def _with_sandbox(then: str, going: Going) -> str:
    return f"{then} --sandbox" if then and going.sandbox else then


# ── shared checks ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _working_ledger(folder: Path, *, new: bool) -> Iterator[Ledger]:
    """The ledger of the folder, held alone."""
    if new:
        make_folder(folder)
    with locked(folder):
        ledger = _open(folder)
        try:
            yield ledger
        except Interrupted as stop:
            stop.command = command("status", str(folder))
            raise
        except LedgerFailed as stop:
            stop.command = stop.command or command("resume", str(folder))
            raise
        except sqlite3.Error as error:  # from a question asked over its connection
            failed = failure(error)
            failed.command = command("verify", str(folder))
            raise failed from None
        finally:
            ledger.close()


def _open(folder: Path) -> Ledger:
    try:
        if is_left_open(ledger_path(folder)):
            _prove(folder)
        return Ledger.open(folder)
    except LedgerFailed as stop:
        stop.command = command("verify", str(folder))
        raise


def _prove(folder: Path) -> None:
    with reader(folder) as connection:
        faults = integrity_faults(connection)
    if faults:
        then = command("export", str(folder), "--to", "rescued.csv")
        raise LedgerFailed(f"{DAMAGED}: {faults[0]}", DAMAGED_REMEDY, then)


@contextmanager
def _api(going: Going, kept_url: str | None) -> Iterator[Api]:
    """Where to send: ``--base-url``, the environment, or what the folder was confirmed for."""
    if going.sandbox:
        with _sandbox(going.sandbox_scenario) as api:
            yield api
        return
    environment = read_environment()
    given = going.base_url or environment.base_url or kept_url
    if not given:
        raise Misconfigured(
            "no base URL: there is no default host for a call that cannot be undone",
            "give --base-url https://HOST/v3.1 or set BULK_UNENROLL_BASE_URL, or add --sandbox",
        )
    base_url = parse_base_url(given)
    yield Api(base_url, credentials(environment, base_url))


@contextmanager
def _sandbox(scenario: Path | None) -> Iterator[Api]:
    from pydantic import SecretStr

    from bulk_unenroll import sandbox

    try:
        loaded = sandbox.load_scenario(scenario) if scenario else None
    except (OSError, sandbox.ScenarioError) as error:
        raise UsageError(f"the scenario is wrong: {error}") from None
    base_url, stop = sandbox.start_in_thread(loaded)
    till = SecretStr(sandbox.SANDBOX_USERNAME)
    password = SecretStr(sandbox.SANDBOX_PASSWORD)
    try:
        yield Api(base_url, Basic.of(till, password))
    finally:
        stop()


def _check_same_api(ledger: Ledger, api: Api) -> None:
    kept = ledger.base_url()
    if kept and not same_api(kept, api.base_url):
        raise _other_api(kept, api)


def _other_api(kept: str, api: Api) -> Misconfigured:
    return Misconfigured(
        f"this folder was confirmed for {kept}, not for {api.base_url}",
        "use the same base URL, or another --out folder",
    )


def _check_orgs(ledger: Ledger, api: Api) -> None:
    ((others,),) = ask(ledger.connection, "has_other_orgs")
    check_scope(api.base_url, bool(others))


def _check_conservation(ledger: Ledger) -> None:
    faults = conservation_faults(ledger.connection)
    if faults:
        raise Stop(f"the accounting does not close: {faults[0]}", "please report this")


def _resend_after_s(sending: Sending) -> float:
    return time.time() - RESEND_WINDOW_S if sending.resend else float("inf")


# ── checking a job ───────────────────────────────────────────────────────────────────────────────


def check(folder: Path, inputs: Inputs | None, going: Going) -> list[Stop]:
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
    with _collecting(faults), _api(going, kept) as api:
        if kept and not same_api(kept, api.base_url):
            raise _other_api(kept, api)
        check_scope(api.base_url, orgs)
    return faults


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
                    key = source.mapper.key(record)
                    read += 1
                    invalid += isinstance(key, Invalid)
                    orgs = orgs or (isinstance(key, Key) and key.org is not None)
    counts = Counts(read=read, invalid=invalid)
    refused = _too_invalid(counts, inputs.max_invalid)
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
    with reader(existing_folder(folder)) as connection:
        found = ask(connection, "get_meta", name="base_url")
    return found[0][0] if found else None


# ── looking, exporting, proving ──────────────────────────────────────────────────────────────────


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
        counts = count(connection, _sources(connection))
        runs = ask(connection, "runs")
        told = ask(connection, "get_meta", name="pace")
    pace = json.loads(told[0][0]) if told and told[0][0] else None
    ended = _last_end(folder, counts, runs, going_on)
    outcome = Outcome(str(folder), *ended, counts=counts, pace=pace)
    return Status(outcome, runs, going_on)


def _sources(connection: sqlite3.Connection) -> list[int]:
    """What a folder is about: its confirmed sources, or as long as there are none the planned."""
    confirmed = ask(connection, "confirmed_sources")
    return [source for (source,) in confirmed or ask(connection, "planned_sources")]


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
    from bulk_unenroll import report  # pandas is slow to import

    if PurePosixPath(to).suffix.lower() not in report.ENDINGS:
        shown = without_secrets(to)
        raise UsageError(
            f"{shown} ends in none of {', '.join(report.ENDINGS)}", "give --to FILE.csv"
        )
    known = {*(state.value for state in State), "invalid", "duplicate"}
    for state in states:
        if state not in known:
            raise UsageError(f"{state!r} is no state", f"one of {', '.join(sorted(known))}")
    folder = existing_folder(given)
    chosen = report.Selection(states=states or None, codes=codes or None)
    with _destination(to) as path, reader(folder) as connection:
        return report.export(connection, path, chosen)


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


def report(given: Path, to: Path | None) -> Path:
    """Write the page of a folder to ``to``, or into the folder; where it lies now."""
    folder = existing_folder(given)
    to = to or folder / REPORT_NAME
    if to.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{to} does not end in .html", f"give --to {REPORT_NAME}")
    _check_place(to)
    found = status(folder)
    with reader(folder) as connection:
        _write_page_of(connection, to, found)
    return to


def _write_page_of(connection: sqlite3.Connection, to: Path, found: Status) -> None:
    from bulk_unenroll.page import write_page  # jinja2 and matplotlib are slow to import

    base_url = ask(connection, "get_meta", name="base_url")
    sandbox = bool(base_url) and is_rehearsal(base_url[0][0])
    sources = _sources(connection)
    then = _next_after(connection, found, sources, sandbox=sandbox)
    write_page(connection, to, replace(found.outcome, next=then, sandbox=sandbox), sources)


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
    then = _next(connection, outcome.folder, outcome.exit, outcome.counts, sources, resend_after_s)
    return f"{then} --sandbox" if then and sandbox else then


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
    _prove(existing_folder(given))
