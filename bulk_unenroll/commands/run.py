"""Planning, running, going on: from options to outcome. Printing and exit codes are the CLI's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bulk_unenroll.commands.connect import (
    api,
    check_conservation,
    check_orgs,
    check_same_api,
    working_ledger,
)
from bulk_unenroll.commands.finish import Running
from bulk_unenroll.errors import (
    EXIT_FINISHED,
    EXIT_ROWS_FAILED,
    InputRefused,
    LedgerFailed,
    UsageError,
)
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.rows import Reading
from bulk_unenroll.inputs.source import InputFile, find_inputs
from bulk_unenroll.ledger.folder import existing_folder, who_works
from bulk_unenroll.ledger.sqlite.ledger import Ledger
from bulk_unenroll.ledger.sqlite.reader import Counts, callable_count, count
from bulk_unenroll.model import State
from bulk_unenroll.reports.plan import Plan, survey
from bulk_unenroll.reports.summary import Exit, Outcome, command
from bulk_unenroll.settings import Api, Going, Sending, Share

if TYPE_CHECKING:
    from bulk_unenroll.reports.metrics import MetricsFile
    from bulk_unenroll.sending.runner import Observer

log = structlog.get_logger()

NOTHING_CONFIRMED = "nothing in this folder was confirmed by a `run`"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to read, how, and how many invalid rows are too many (None: a plan refuses none)."""

    names: Sequence[str]
    reading: Reading
    max_invalid: Share | None


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
    with working_ledger(folder, new=True) as ledger:
        _, seen = _plan(ledger, folder, files, inputs, sending)
        show(seen)
        check_conservation(ledger)
    ended = too_invalid(seen.counts, inputs.max_invalid) or _planned(seen)
    return Outcome(str(folder), ended, "", None, seen.counts, time.monotonic() - began_s)


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
    watching: Callable[..., AbstractContextManager[Observer]],
) -> Outcome:
    """Plan, confirm, send, record, export. ``confirm`` raises if the person does not."""
    files = find_inputs(inputs.names)
    with api(going, None) as reached, working_ledger(folder, new=True) as ledger:
        check_same_api(ledger, reached)
        sources, seen = _plan(ledger, folder, files, inputs, sending)
        check_orgs(ledger, reached)
        refused = too_invalid(seen.counts, inputs.max_invalid)
        if refused:
            return Outcome(str(folder), refused, "", None, seen.counts)
        _check_expected(seen.to_call, going.expect)
        confirm(seen)
        ledger.confirm(sources, reached.base_url)
        return _go(folder, ledger, reached, sources, "run", sending, going, watching)


def _plan(
    ledger: Ledger, folder: Path, files: list[InputFile], inputs: Inputs, sending: Sending
) -> tuple[list[int], Plan]:
    sources = load(ledger, files, inputs.reading, folder)
    return sources, survey(
        ledger.connection, sources, sending.rate, sending.resend_after_s(time.time())
    )


def too_invalid(counts: Counts, most: Share | None) -> Exit | None:
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
    given: Path,
    sending: Sending,
    going: Going,
    watching: Callable[..., AbstractContextManager[Observer]],
    reopening: Reopening | None = None,
) -> Outcome:
    """Go on with what is confirmed and not settled; ``retry`` reopens rows before."""
    folder = existing_folder(given)
    with working_ledger(folder, new=False) as ledger:
        sources = ledger.confirmed_sources()
        if not sources:
            then = command("run", "INPUT", "--out", str(folder))
            raise UsageError(NOTHING_CONFIRMED, command=then)
        with api(going, ledger.base_url()) as reached:
            check_same_api(ledger, reached)
            check_orgs(ledger, reached)

            def check() -> None:
                if going.expect is not None:
                    to_call = callable_count(
                        ledger.connection, sources, sending.resend_after_s(time.time())
                    )
                    _check_expected(to_call, going.expect)

            if reopening:
                _reopen(ledger, reopening, check)
            else:
                check()
            name = "retry" if reopening else "resume"
            return _go(folder, ledger, reached, sources, name, sending, going, watching)


def _reopen(ledger: Ledger, reopening: Reopening, check: Callable[[], None]) -> None:
    number = ledger.reopen(
        reopening.states, reopening.codes, reopening.targets, now_s=time.time(), check=check
    )
    log.info("reopened", customers=number)


# ── sending ──────────────────────────────────────────────────────────────────────────────────────


def _go(
    folder: Path,
    ledger: Ledger,
    reached: Api,
    sources: list[int],
    name: str,
    sending: Sending,
    going: Going,
    watching: Callable[..., AbstractContextManager[Observer]],
) -> Outcome:
    from bulk_unenroll.sending.runner import Observers
    from bulk_unenroll.sending.send import Order, send  # aiohttp is slow to import

    running = Running(folder, ledger, sources, uuid.uuid4().hex[:12], sending, going)
    before = count(ledger.connection, sources)
    to_call = callable_count(
        ledger.connection, sources, sending.resend_after_s(time.time()), before
    )
    log.info("run", run_id=running.run_id, command=name, to_call=to_call, rate=str(sending.rate))
    order = Order(running.run_id, name, who_works(), sources, _time_left_s(going), running.end_now)
    metrics = _metrics(folder, before, going)
    try:
        with watching(before, to_call, log_ids=going.log_ids, quiet=going.quiet) as watch:
            observers: list[Observer] = [watch, *metrics]
            endings = send(ledger, reached, sending, order, Observers(observers))
    except LedgerFailed as failed:
        outcome = running.fail(failed)
    else:
        outcome = running.finish(endings)
    for file in metrics:
        file.ended(outcome.counts, outcome.exit.code)
    return outcome


def _metrics(folder: Path, before: Counts, going: Going) -> list[MetricsFile]:
    if going.metrics_file is None:
        return []
    try:
        from bulk_unenroll.reports.metrics import MetricsFile

        return [MetricsFile(going.metrics_file, folder.name, before)]
    except ImportError:
        raise UsageError(
            "--metrics-file needs an extra", "pip install 'bulk-unenroll[metrics]'"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {going.metrics_file}: {error.strerror}") from None


def _time_left_s(going: Going) -> float | None:
    if going.stop_in_s is None:
        return None
    return going.stop_in_s - (time.monotonic() - going.began_s)
