"""Run inputs; resume and retry what is not settled."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bulk_unenroll.capillary.base_url import host_of
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
from bulk_unenroll.commands.order import broken_order, not_as_planned, pending_by_target
from bulk_unenroll.commands.past import Past, state_of
from bulk_unenroll.commands.plan import find_given, held_doubts, load_and_survey, never_paths
from bulk_unenroll.commands.results import target_named
from bulk_unenroll.commands.what_is_left import WhatIsLeft
from bulk_unenroll.errors import InputRefused, LedgerFailed, Next, OutsideWindow, UsageError
from bulk_unenroll.history.senders import sending_alone
from bulk_unenroll.inputs.never import Never, read_never
from bulk_unenroll.ledger.counts import Counts, callable_count, count, known_by_target
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import (
    existing_folder,
    forget_stop,
    is_asked_to_stop,
    who_works,
)
from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Reopening
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import REOPENABLE, State, Target
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
SHOWN_TARGETS = 5
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
    plan: str | None = None,
    dry_run: bool = False,
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[SendOptions],
) -> Summary:
    """Send what is confirmed in ``folder`` and not settled; see ``run``. Needs no input file.

    With ``dry_run`` nothing is sent: ``Summary.would_call`` says what would be called.
    """
    order = _Order(plan, dry_run)
    return _continue(Path(folder), None, order, options, on_event, stop, frontend)


def retry(
    folder: str | os.PathLike[str],
    *,
    states: str | Sequence[str] = (State.FAILED, State.BLOCKED),
    codes: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    plan: str | None = None,
    dry_run: bool = False,
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
    order = _Order(plan, dry_run)
    return _continue(Path(folder), reopening, order, options, on_event, stop, frontend)


# ── planning and confirming ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Order:
    """How a folder shall go on: only as in a plan, or only shown."""

    plan: str | None = None
    dry_run: bool = False


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
            surveyed = load_and_survey(ledger, given, settings, max_invalid, to)
            sources, plan, settings = surveyed.sources, surveyed.plan, surveyed.settings
            with refusing(plan):
                ledger.note_alarms(plan.alarms, now_s=time.time(), noted_by=who_works())
                check_orgs(ledger, endpoint)
                _check_plan(ledger.reader, plan, plan_id, settings.run)
                allowed = control.frontend.confirm(plan)
            alarms = plan.allowing(allowed).alarms
            ledger.note_alarms(alarms, now_s=time.time(), noted_by=who_works())
            kept = kept_of(settings)
            ledger.confirm(sources, endpoint.base_url, given.parts_of, settings=kept, anew=anew)
            if plan.held:
                settings = holding_doubts(settings)
            surveyed.past.note_plan(ledger, sources, confirmed=True)
            sending = _Sending(
                given.folder,
                ledger,
                endpoint,
                sources,
                settings,
                control,
                surveyed.never,
                surveyed.past,
                plan.id,
            )
            return sending.send("run")


def _check_plan(reader: LedgerReader, plan: Plan, plan_id: str | None, run: RunSettings) -> None:
    """Raise ``InputRefused`` (65) where the plan is not what was ordered."""
    if plan.run_refuses:
        wrong = plan.counts.invalid - plan.protected
        raise TooManyInvalid(wrong, plan.counts.read, plan.folder)
    by_target = pending_by_target(plan.targets)
    broken = broken_order(run, plan.to_call, by_target)
    if plan_id is not None and plan_id != plan.id:
        broken = broken or not_as_planned(reader, plan_id, plan.parts)
    if broken:
        raise InputRefused(broken, "look at the plan", instead="plan")


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────


def _continue(
    folder: Path,
    reopening: Reopening | None,
    order: _Order,
    options: Mapping[str, Any],
    on_event: OnEvent | None,
    stop: StopRequest | None,
    frontend: Frontend | None,
) -> Summary:
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    task = partial(_resume, folder, settings, reopening, order, _Control(frontend, stop))
    return frontend.work(task)


def _resume(
    folder: Path,
    settings: Settings,
    reopening: Reopening | None,
    order: _Order,
    control: _Control,
) -> Summary:
    folder = existing_folder(folder)
    with working_ledger(folder) as ledger:
        reader = ledger.reader
        sources = confirmed_ids(reader.sources())
        if not sources:
            then = Next("run", ("INPUT",), {"out": str(folder)})
            raise UsageError(NOTHING_CONFIRMED, next=then)
        check_goes_on(reader, folder, settings.given, _without_options(folder, reopening))
        settings = as_last_time(settings, reader)
        if not order.dry_run:
            _check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        never = read_never(never_paths(settings.run))
        kept = kept_in(reader, settings)
        if held := held_doubts(reader, settings):
            log.warning("in_doubt_held", customers=held, hint=HELD)
            settings = holding_doubts(settings)
        with api(settings.run, reader.base_url()) as endpoint:
            if not settings.run.sandbox:
                check_same_api(reader, endpoint)
            check_orgs(ledger, endpoint)
            left = WhatIsLeft(reader, folder, sources, settings, reopening, endpoint.base_url)
            if order.dry_run:
                return left.dry_run(ledger, order.plan)
            number = left.reopen(ledger, order.plan)
            if reopening:
                log.info("reopened", customers=number)
            name, nothing = left.name, left.nothing(number)
            ledger.remember(kept)
            past = Past.of(settings.run, destination_of(endpoint, settings.run), folder)
            sending = _Sending(folder, ledger, endpoint, sources, settings, control, never, past)
            return sending.send(name, nothing)


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


# ── sending ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Sending:
    """One command's sending, with all that it needs."""

    folder: Path
    ledger: Ledger
    endpoint: Endpoint
    sources: list[int]
    settings: Settings
    control: _Control
    never: Never
    past: Past
    plan_id: str = ""

    def send(self, name: str, nothing: str = "") -> Summary:
        """Send, and say how it ended. ``nothing`` says why there is nothing to send, if so."""
        run, state = self.settings.run, state_of(self.settings.run)
        alone = None if run.beside else state
        place, user = host_of(self.endpoint.base_url), self.endpoint.credentials.user
        forget_stop(self.folder)  # asked of somebody else, before
        with sending_alone(alone, place, user, self.folder):
            hold = self._hold()
            summary, held = self._send_once(name, nothing, hold)
            if held:
                self.past.note_asked(self.ledger, hold.targets)
                if self.control.frontend.goes_on(hold.question):
                    summary, _ = self._send_once("resume", "", FirstTime())
        forget_stop(self.folder)
        with suppress(LedgerFailed):  # the run is over, and its end is told
            self.past.note_end(self.ledger)
        self.control.frontend.ended(summary)
        return summary

    def _hold(self) -> FirstTime:
        """For which targets the run stops after the canary."""
        if self.settings.run.first_time == "go" or self.settings.send.canary == 0:
            return FirstTime()
        by_target = self.ledger.reader.counts_by_target(self.sources)
        pending = {some.target: None for some in by_target if some.state is State.PENDING}
        left = sum(some.number for some in by_target if some.state is State.PENDING)
        if left <= self.settings.send.canary:
            return FirstTime()
        targets = self.past.unknown(self.ledger, list(pending))
        return FirstTime(host_of(self.endpoint.base_url), targets)

    def _send_once(self, name: str, nothing: str, hold: FirstTime) -> tuple[Summary, bool]:
        from bulk_unenroll.sending.observers import Observers
        from bulk_unenroll.sending.send import RunRequest, send  # aiohttp is slow to import

        settings, ledger, frontend = self.settings, self.ledger, self.control.frontend
        run_id = uuid.uuid4().hex[:12]
        end = RunEnd(
            self.folder, ledger, self.sources, run_id, settings, frontend, nothing, self.plan_id
        )
        before = count(ledger.reader, self.sources)
        resend_after_s = settings.send.resend_after_s(time.time())
        to_call = callable_count(ledger.reader, self.sources, resend_after_s, before)
        log.info("run", run_id=run_id, command=name, to_call=to_call, rate=str(settings.send.rate))
        request = RunRequest(
            run_id,
            name,
            who_works(),
            self.sources,
            known=known_by_target(ledger.reader),
            protected=self.never.covers if self.never else None,
            limit=settings.run.limit,
            hold=hold.reason,
            why_stop=partial(_why_stop, self.folder, settings.run),
            end_now=end.end_now if frontend.owns_process else None,
            stop=self.control.stop,
        )
        metrics = _metrics(self.folder, before, settings.run)
        reasons: dict[int, str] = {}
        try:
            with frontend.watch(before, to_call) as watcher:
                calls = CallLog(log_ids=settings.run.log_ids)
                observers: list[Observer] = [calls, watcher, *metrics]
                reasons = send(ledger, self.endpoint, settings.send, request, Observers(observers))
        except LedgerFailed as failed:
            summary = end.fail(failed)
        else:
            summary = end.finish(reasons)
        for file in metrics:
            file.ended(summary.counts, summary.exit.code)
        return summary, bool(hold) and hold.reason in reasons.values()


@dataclass(frozen=True, slots=True)
class FirstTime:
    """Targets out of which nobody was ever taken at a host; none: there is nothing to ask."""

    host: str = ""
    targets: Sequence[Target] = ()

    def __bool__(self) -> bool:
        return bool(self.targets)

    @property
    def reason(self) -> str:
        """Why the run stops after the canary; "" if it does not."""
        if not self.targets:
            return ""
        shown = ", ".join(map(str, self.targets[:SHOWN_TARGETS]))
        more = len(self.targets) - SHOWN_TARGETS
        return (
            f"this is the first time for {shown}{f' and {more} more targets' if more > 0 else ''}"
            f" at {self.host}: look one of the first customers up there, before the others are"
            " called"
        )

    @property
    def question(self) -> str:
        """What a person at a terminal is asked."""
        return f"The first calls succeeded, and {self.reason}"


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


def _why_stop(folder: Path, settings: RunSettings) -> str:
    if is_asked_to_stop(folder):
        return "stopped by `bulk-unenroll stop`"
    return "time is up" if settings.time_is_up(datetime.datetime.now(), elapsed_s()) else ""


def _check_window(settings: RunSettings) -> None:
    """Raise ``OutsideWindow`` (3) if calls may not be made at this time of day."""
    now, window = datetime.datetime.now(), settings.window
    if window is not None and now.time() not in window:
        raise OutsideWindow(
            f"it is {now:%H:%M}, outside the window {window}; nothing was sent",
            f"it opens at {window.begins:%H:%M}; to send now, add --window {ALWAYS}",
        )
