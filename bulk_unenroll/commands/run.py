"""Planning, running, going on: from options to summary. Printing and exit codes are the CLI's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bulk_unenroll.capillary.credentials import Endpoint
from bulk_unenroll.commands.connect import (
    api,
    check_orgs,
    check_same_api,
    working_ledger,
)
from bulk_unenroll.commands.finish import RunEnd
from bulk_unenroll.commands.plan import Inputs, _plan, too_invalid
from bulk_unenroll.errors import (
    InputRefused,
    LedgerFailed,
    Next,
    UsageError,
)
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import existing_folder, who_works
from bulk_unenroll.ledger.interface import Expected, Ledger, Reopening, UnexpectedCalls
from bulk_unenroll.log import get_logger
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.settings import RunSettings, SendSettings

if TYPE_CHECKING:
    from bulk_unenroll.reports.metrics import MetricsFile
    from bulk_unenroll.sending.observers import Observer

log = get_logger()

NOTHING_CONFIRMED = "nothing in this folder was confirmed by a `run`"


# ── plan and run ─────────────────────────────────────────────────────────────────────────────────


def run(
    folder: Path,
    inputs: Inputs,
    sending: SendSettings,
    going: RunSettings,
    confirm: Callable[[Plan], None],
    watching: Callable[..., AbstractContextManager[Observer]],
) -> Summary:
    """Plan, confirm, send, record, export. ``confirm`` raises if the person does not."""
    files = find_inputs(inputs.names)
    with api(going, None) as reached, working_ledger(folder) as ledger:
        check_same_api(ledger, reached)
        sources, seen = _plan(ledger, folder, files, inputs, sending)
        check_orgs(ledger, reached)
        refused = too_invalid(seen.counts, inputs.max_invalid)
        if refused:
            return Summary(str(folder), refused, counts=seen.counts)
        _check_expected(seen.to_call, going.expect)
        confirm(seen)
        ledger.confirm(sources, reached.base_url)
        return _go(folder, ledger, reached, sources, "run", sending, going, watching)


def _check_expected(to_call: int, expected: int | None) -> None:
    if expected is not None and to_call != expected:
        raise _unexpected(to_call, expected)


def _unexpected(to_call: int, expected: int) -> InputRefused:
    return InputRefused(
        f"{to_call} customers/targets would be called, not the {expected} of --expect",
        "look at the plan",
    )


# ── resume and retry ─────────────────────────────────────────────────────────────────────────────


def resume(
    given: Path,
    sending: SendSettings,
    going: RunSettings,
    watching: Callable[..., AbstractContextManager[Observer]],
    reopening: Reopening | None = None,
) -> Summary:
    """Go on with what is confirmed and not settled; ``retry`` reopens rows before."""
    folder = existing_folder(given)
    with working_ledger(folder) as ledger:
        sources = confirmed_ids(ledger.reader.sources())
        if not sources:
            then = Next("run", ("INPUT",), {"out": str(folder)})
            raise UsageError(NOTHING_CONFIRMED, next=then)
        with api(going, ledger.reader.base_url()) as reached:
            check_same_api(ledger, reached)
            check_orgs(ledger, reached)
            resend_after_s = sending.resend_after_s(time.time())
            if reopening:
                _reopen(ledger, reopening, going.expect, resend_after_s)
            elif going.expect is not None:
                to_call = callable_count(ledger.reader, sources, resend_after_s)
                _check_expected(to_call, going.expect)
            name = "retry" if reopening else "resume"
            return _go(folder, ledger, reached, sources, name, sending, going, watching)


def _reopen(ledger: Ledger, reopening: Reopening, calls: int | None, resend_after_s: float) -> None:
    expect = None if calls is None else Expected(calls, resend_after_s)
    try:
        number = ledger.reopen(reopening, now_s=time.time(), expect=expect)
    except UnexpectedCalls as found:
        raise _unexpected(found.to_call, found.expected) from None
    log.info("reopened", customers=number)


# ── sending ──────────────────────────────────────────────────────────────────────────────────────


def _go(
    folder: Path,
    ledger: Ledger,
    reached: Endpoint,
    sources: list[int],
    name: str,
    sending: SendSettings,
    going: RunSettings,
    watching: Callable[..., AbstractContextManager[Observer]],
) -> Summary:
    from bulk_unenroll.sending.observers import Observers
    from bulk_unenroll.sending.send import RunRequest, send  # aiohttp is slow to import

    running = RunEnd(folder, ledger, sources, uuid.uuid4().hex[:12], sending, going)
    before = count(ledger.reader, sources)
    to_call = callable_count(ledger.reader, sources, sending.resend_after_s(time.time()), before)
    log.info("run", run_id=running.run_id, command=name, to_call=to_call, rate=str(sending.rate))
    order = RunRequest(
        running.run_id, name, who_works(), sources, _time_left_s(going), running.end_now
    )
    metrics = _metrics(folder, before, going)
    try:
        with watching(before, to_call) as watch:
            observers: list[Observer] = [watch, *metrics]
            endings = send(ledger, reached, sending, order, Observers(observers))
    except LedgerFailed as failed:
        summary = running.fail(failed)
    else:
        summary = running.finish(endings)
    for file in metrics:
        file.ended(summary.counts, summary.exit.code)
    return summary


def _metrics(folder: Path, before: Counts, going: RunSettings) -> list[MetricsFile]:
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


def _time_left_s(going: RunSettings) -> float | None:
    if going.stop_in_s is None:
        return None
    return going.stop_in_s - (time.monotonic() - going.began_s)
