"""Run inputs; resume and retry what is not settled."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bulk_unenroll.capillary.credentials import Endpoint
from bulk_unenroll.commands.call_log import CallLog
from bulk_unenroll.commands.connect import (
    api,
    check_goes_on,
    check_kind,
    check_orgs,
    check_same_api,
    destination_of,
    is_confirmed_anew,
    working_ledger,
)
from bulk_unenroll.commands.events import EventFrontend, OnEvent
from bulk_unenroll.commands.finish import RunEnd
from bulk_unenroll.commands.frontend import Frontend
from bulk_unenroll.commands.memory import (
    as_careful_as_last_time,
    as_last_time,
    kept_in,
    kept_of,
)
from bulk_unenroll.commands.options import (
    RunOptions,
    SendOptions,
    Settings,
    holding_doubts,
    settings_from,
    several,
)
from bulk_unenroll.commands.plan import find_given, held_doubts, load_and_survey
from bulk_unenroll.commands.results import target_named
from bulk_unenroll.errors import InputRefused, LedgerFailed, Next, OutsideWindow, UsageError
from bulk_unenroll.ledger.counts import Counts, callable_count, count, known_by_target
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import existing_folder, who_works
from bulk_unenroll.ledger.interface import Expected, Ledger, Reopening, UnexpectedCalls
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import REOPENABLE, State
from bulk_unenroll.reports.plan import Plan, TooManyInvalid, refusing
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.open_files import allow_open_files
from bulk_unenroll.sending.stopping import StopRequest
from bulk_unenroll.settings import ALWAYS, RUN_MAX_INVALID, RunSettings, elapsed_s

if TYPE_CHECKING:
    from bulk_unenroll.reports.metrics import MetricsFile
    from bulk_unenroll.sending.observers import Observer

log = get_logger()

HELD = "so many at once look like an outage: look some up, then `retry --state in_doubt`"
NOTHING_CONFIRMED = "nothing in this folder was confirmed by a `run`"


# ── the functions ────────────────────────────────────────────────────────────────────────────────


def run(
    *inputs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[RunOptions],
) -> Summary:
    """Plan ``inputs``, send what is not settled, record and export; return how it ended.

    ``plan`` is the ``id`` of the plan that you looked at: the run is refused if its plan is another
    one, or has an alarm that ``allow`` does not name. ``on_event`` is called with ``Planned``,
    ``Started``, ``Progress``, ``Paused`` and ``Ended``, in this thread, while the run works in
    another one. What is raised in this thread meanwhile stops the run cleanly, and comes out once
    all is recorded. ``stop`` lets another thread stop it. ``frontend`` is for programs with a user
    interface of their own, and replaces ``on_event``.

    ``options`` are those of the command line, see ``RunOptions`` and ``docs/reference.md``. How to
    read: columns, target_group_id, target_id, data_scope_org, delimiter, encoding, sheet,
    header_row, max_invalid, max_rows, allow. Where to send: base_url, sandbox, sandbox_scenario.
    How: rate, pace, concurrency, max_attempts, read_timeout, connect_timeout, in_doubt. When not to
    start, or to stop: expect, canary, max_failures, stop_after, stop_at. What to write: export,
    metrics_file, log_ids.

    Raises the errors of ``bulk_unenroll.errors`` if the run cannot begin. Once it began, how it
    ended is a value: see ``Summary.exit``.
    """
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    task = partial(_run, inputs, out, settings, plan, _Control(frontend, stop))
    return frontend.work(task)


def resume(
    folder: str | os.PathLike[str],
    *,
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[SendOptions],
) -> Summary:
    """Send what is confirmed in ``folder`` and not settled; see ``run``. Needs no input file."""
    return _continue(Path(folder), None, options, on_event, stop, frontend)


def retry(
    folder: str | os.PathLike[str],
    *,
    states: str | Sequence[str] = (State.FAILED, State.BLOCKED),
    codes: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[SendOptions],
) -> Summary:
    """Reopen rows of ``folder`` by state, code and target, then do as ``resume`` does.

    ``states`` are ``failed``, ``blocked``, ``review`` or ``in_doubt``; no ``codes`` and no
    ``targets`` (``"1001/2001"``) mean any.
    """
    chosen = [_reopenable(state) for state in several(states)]
    reopening = Reopening(chosen, several(codes), [target_named(text) for text in several(targets)])
    return _continue(Path(folder), reopening, options, on_event, stop, frontend)


# ── planning and confirming ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Control:
    """Who follows a run, and who may stop it."""

    frontend: Frontend
    stop: StopRequest


def _ignore(_: object) -> None:
    pass


def _reopenable(name: str) -> State:
    known = [state for state in REOPENABLE if state == name]
    if not known:
        names = ", ".join(sorted(REOPENABLE))
        raise UsageError(f"{name!r} is not a state that can be reopened", f"use one of {names}")
    return known[0]


def _run(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None,
    settings: Settings,
    plan_id: str | None,
    control: _Control,
) -> Summary:
    given = find_given(inputs, out, settings)
    max_invalid = settings.max_invalid or RUN_MAX_INVALID
    with working_ledger(given.folder) as ledger:
        settings = as_careful_as_last_time(settings, ledger.reader)
        _check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        check_kind(ledger.reader, given.folder, rehearsal=settings.run.sandbox, own=given.own)
        with api(settings.run, None) as endpoint:
            anew = is_confirmed_anew(ledger.reader, endpoint)
            to = destination_of(endpoint, settings.run)
            sources, plan, settings = load_and_survey(ledger, given, settings, max_invalid, to)
            with refusing(plan):
                ledger.note_alarms(plan.alarms, now_s=time.time(), noted_by=who_works())
                check_orgs(ledger, endpoint)
                _check_plan(plan, plan_id, settings.run.expect)
                allowed = control.frontend.confirm(plan)
            alarms = plan.allowing(allowed).alarms
            ledger.note_alarms(alarms, now_s=time.time(), noted_by=who_works())
            kept = kept_of(settings)
            ledger.confirm(sources, endpoint.base_url, given.parts_of, settings=kept, anew=anew)
            if plan.held:
                settings = holding_doubts(settings)
            return _send(given.folder, ledger, endpoint, sources, "run", settings, control)


def _check_plan(plan: Plan, plan_id: str | None, expect: int | None) -> None:
    if plan.run_refuses:
        raise TooManyInvalid(plan.counts.invalid, plan.counts.read, plan.folder)
    if plan_id is not None and plan.id != plan_id:
        raise InputRefused(
            f"the plan is now {plan.id}, not {plan_id}: the inputs, or how they are read, changed",
            "look at the plan",
            instead="plan",
        )
    if expect is not None and plan.to_call != expect:
        raise InputRefused(_unexpected(plan.to_call, expect), "look at the plan", instead="plan")


def _unexpected(to_call: int, expected: int) -> str:
    return f"{to_call} customers/targets would be called, not the {expected} of --expect"


def _unexpected_in(folder: Path, to_call: int, expected: int) -> InputRefused:
    then = Next("status", (str(folder),))
    return InputRefused(_unexpected(to_call, expected), "look at what is left", then)


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────


def _continue(
    folder: Path,
    reopening: Reopening | None,
    options: Mapping[str, Any],
    on_event: OnEvent | None,
    stop: StopRequest | None,
    frontend: Frontend | None,
) -> Summary:
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    task = partial(_resume, folder, settings, reopening, _Control(frontend, stop))
    return frontend.work(task)


def _resume(
    folder: Path, settings: Settings, reopening: Reopening | None, control: _Control
) -> Summary:
    folder = existing_folder(folder)
    with working_ledger(folder) as ledger:
        sources = confirmed_ids(ledger.reader.sources())
        if not sources:
            then = Next("run", ("INPUT",), {"out": str(folder)})
            raise UsageError(NOTHING_CONFIRMED, next=then)
        check_goes_on(ledger.reader, folder, settings.given, _without_options(folder, reopening))
        settings = as_last_time(settings, ledger.reader)
        _check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        kept = kept_in(ledger.reader, settings)
        if held := held_doubts(ledger.reader, settings):
            log.warning("in_doubt_held", customers=held, hint=HELD)
            settings = holding_doubts(settings)
        with api(settings.run, ledger.reader.base_url()) as endpoint:
            if not settings.run.sandbox:
                check_same_api(ledger.reader, endpoint)
            check_orgs(ledger, endpoint)
            if reopening:
                name, nothing = "retry", _reopen(folder, ledger, reopening, settings)
            else:
                name, nothing = "resume", _nothing_left(folder, ledger, sources, settings)
            ledger.remember(kept)
            return _send(folder, ledger, endpoint, sources, name, settings, control, nothing)


def _without_options(folder: Path, reopening: Reopening | None) -> Next:
    """The command as it was given, but for the options of how to send."""
    if reopening is None:
        return Next("resume", (str(folder),))
    chosen = {
        "state": [state.value for state in reopening.states],
        "code": reopening.codes,
        "target": reopening.targets,
    }
    return Next("retry", (str(folder),), {name: texts for name, texts in chosen.items() if texts})


def _reopen(folder: Path, ledger: Ledger, reopening: Reopening, settings: Settings) -> str:
    """Reopen what was asked for; why that was nothing, if so."""
    expect = settings.run.expect
    resend_after_s = settings.send.resend_after_s(time.time())
    expected = None if expect is None else Expected(expect, resend_after_s)
    try:
        number = ledger.reopen(reopening, now_s=time.time(), expect=expected)
    except UnexpectedCalls as found:
        raise _unexpected_in(folder, found.to_call, found.expected) from None
    log.info("reopened", customers=number)
    return "" if number else f"no row {_chosen(reopening)}, so none was reopened"


def _chosen(reopening: Reopening) -> str:
    """The rows that were asked for: ``is failed or blocked with code 310011``."""
    chosen = f"is {_either(reopening.states)}"
    if reopening.codes:
        chosen += f" with code {_either(reopening.codes)}"
    return chosen + (f" in target {_either(reopening.targets)}" if reopening.targets else "")


def _either(texts: Sequence[str]) -> str:
    return " or ".join(map(str, texts))


def _nothing_left(folder: Path, ledger: Ledger, sources: list[int], settings: Settings) -> str:
    """Why ``resume`` has nothing to do, if so; raises ``InputRefused`` (65) by ``--expect``."""
    resend_after_s = settings.send.resend_after_s(time.time())
    to_call = callable_count(ledger.reader, sources, resend_after_s)
    if settings.run.expect is not None and to_call != settings.run.expect:
        raise _unexpected_in(folder, to_call, settings.run.expect)
    return "" if to_call else "nothing is left to call"


# ── sending ──────────────────────────────────────────────────────────────────────────────────────


def _send(
    folder: Path,
    ledger: Ledger,
    endpoint: Endpoint,
    sources: list[int],
    name: str,
    settings: Settings,
    control: _Control,
    nothing: str = "",
) -> Summary:
    from bulk_unenroll.sending.observers import Observers
    from bulk_unenroll.sending.send import RunRequest, send  # aiohttp is slow to import

    run_id = uuid.uuid4().hex[:12]
    end = RunEnd(folder, ledger, sources, run_id, settings, control.frontend, nothing)
    before = count(ledger.reader, sources)
    resend_after_s = settings.send.resend_after_s(time.time())
    to_call = callable_count(ledger.reader, sources, resend_after_s, before)
    log.info("run", run_id=end.run_id, command=name, to_call=to_call, rate=str(settings.send.rate))
    request = RunRequest(
        end.run_id,
        name,
        who_works(),
        sources,
        known=known_by_target(ledger.reader),
        time_is_up=partial(_time_is_up, settings.run),
        end_now=end.end_now if control.frontend.owns_process else None,
        stop=control.stop,
    )
    metrics = _metrics(folder, before, settings.run)
    try:
        with control.frontend.watch(before, to_call) as watcher:
            calls = CallLog(log_ids=settings.run.log_ids)
            observers: list[Observer] = [calls, watcher, *metrics]
            reasons = send(ledger, endpoint, settings.send, request, Observers(observers))
    except LedgerFailed as failed:
        summary = end.fail(failed)
    else:
        summary = end.finish(reasons)
    for file in metrics:
        file.ended(summary.counts, summary.exit.code)
    return _ended(summary, control)


def _ended(summary: Summary, control: _Control) -> Summary:
    control.frontend.ended(summary)
    return summary


def _metrics(folder: Path, before: Counts, settings: RunSettings) -> list[MetricsFile]:
    if settings.metrics_file is None:
        return []
    try:
        from bulk_unenroll.reports.metrics import MetricsFile

        return [MetricsFile(settings.metrics_file, folder.name, before)]
    except ImportError:
        raise UsageError(
            "--metrics-file needs an extra", "pip install 'bulk-unenroll[metrics]'"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {settings.metrics_file}: {error.strerror}") from None


def _time_is_up(settings: RunSettings) -> bool:
    return settings.time_is_up(datetime.datetime.now(), elapsed_s())


def _check_window(settings: RunSettings) -> None:
    """Raise ``OutsideWindow`` (3) if calls may not be made at this time of day."""
    now, window = datetime.datetime.now(), settings.window
    if window is not None and now.time() not in window:
        raise OutsideWindow(
            f"it is {now:%H:%M}, outside the window {window}; nothing was sent",
            f"it opens at {window.begins:%H:%M}; to send now, add --window {ALWAYS}",
        )
