"""Run inputs; resume and retry what is not settled."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from bulk_unenroll.commands.events import EventFrontend, OnEvent
from bulk_unenroll.commands.frontend import Frontend
from bulk_unenroll.commands.options import (
    RunOptions,
    SendOptions,
    Settings,
    holding_doubts,
    settings_from,
    several,
)
from bulk_unenroll.commands.results import target_named
from bulk_unenroll.commands.steps.connect import (
    api,
    check_kind,
    check_orgs,
    destination_of,
    is_confirmed_anew,
    working_ledger,
)
from bulk_unenroll.commands.steps.joining import joined
from bulk_unenroll.commands.steps.memory import as_careful_as_last_time, kept_of
from bulk_unenroll.commands.steps.order import broken_order, not_as_planned, pending_by_target
from bulk_unenroll.commands.steps.placing import engine_of
from bulk_unenroll.commands.steps.progress_file import ProgressFile, progress_file
from bulk_unenroll.commands.steps.reading import Given, find_given, load_and_survey, with_listed
from bulk_unenroll.commands.steps.resuming import resumed
from bulk_unenroll.commands.steps.sending import Control, Order, Sending
from bulk_unenroll.commands.steps.stops import check_window
from bulk_unenroll.errors import InputRefused, UsageError
from bulk_unenroll.ledger.folder import who_works
from bulk_unenroll.ledger.interface import LedgerReader, Reopening, Trust
from bulk_unenroll.model import REOPENABLE, State
from bulk_unenroll.reports.plan import Plan, TooManyInvalid, refusing
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.open_files import allow_open_files
from bulk_unenroll.sending.stopping import StopRequest
from bulk_unenroll.settings import RUN_MAX_INVALID, RunSettings


def run(
    *inputs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    begin_only: bool = False,
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
    all is recorded. ``begin_only`` begins the run of a shared job and leaves all calls to ``work``,
    which must come within 15 minutes. ``stop`` lets another thread stop it. ``frontend`` is for
    programs with a user interface of their own, and replaces ``on_event``.

    ``options`` are those of the command line, see ``RunOptions`` and ``docs/reference.md``. How to
    read: columns, target_group_id, target_id, data_scope_org, delimiter, encoding, sheet,
    header_row, max_invalid, max_rows, allow, loaders. Where to send: base_url, sandbox,
    sandbox_scenario. How: rate, pace, concurrency, max_attempts, read_timeout, connect_timeout,
    in_doubt. When not to start, or to stop: expect, canary, max_failures, stop_after, stop_at. What
    to write: export, metrics_file, log_ids.

    Raises the errors of ``bulk_unenroll.errors`` if the run cannot begin. Once it began, how it
    ended is a value: see ``Summary.exit``.
    """
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    given = find_given(inputs, out, settings)
    with progress_file(settings.run.progress_file, given.folder) as progress:
        order = Order(plan, begin_only=begin_only)
        task = partial(_run, given, settings, order, Control(frontend, stop, progress))
        return _ended(frontend.work(task), progress)


def resume(
    folder: str | os.PathLike[str],
    *,
    plan: str | None = None,
    dry_run: bool = False,
    restored: bool = False,
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[SendOptions],
) -> Summary:
    """Send what is confirmed in ``folder`` and not settled; see ``run``. Needs no input file.

    With ``dry_run`` nothing is sent: ``Summary.would_call`` says what would be called. ``restored``
    goes on with a shared ledger that is an older copy: who was called since is called again.
    """
    order = Order(plan, dry_run, Trust.RESTORED if restored else Trust.ATTENDED)
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
    order = Order(plan, dry_run)
    return _continue(Path(folder), reopening, order, options, on_event, stop, frontend)


def work(
    folder: str | os.PathLike[str],
    *,
    on_event: OnEvent | None = None,
    stop: StopRequest | None = None,
    frontend: Frontend | None = None,
    **options: Unpack[SendOptions],
) -> Summary:
    """Join the run of a shared job as a further sender, and send until it is complete.

    While the job is still being planned, load parts of its input first; nobody sends before all are
    in and the run was confirmed. A run that was not begun by then raises ``FolderBusy`` (75).
    ``folder`` names the job, see ``bulk_unenroll.shared``. All senders together keep ``--rate``.
    The settings are those that the job was confirmed with. Where no run goes on there is nothing
    to join: then the exit is 0 if nothing is left to call, and 3 otherwise.
    """
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    path = Path(folder)
    with progress_file(settings.run.progress_file, path) as progress:
        task = partial(joined, path, settings, Control(frontend, stop, progress))
        return _ended(frontend.work(task), progress)


# ── planning and confirming ──────────────────────────────────────────────────────────────────────


def _ended(summary: Summary, progress: ProgressFile) -> Summary:
    progress.end(summary.exit)
    return summary


def _ignore(_: object) -> None:
    pass


def _reopenable(name: str) -> State:
    known = [state for state in REOPENABLE if state == name]
    if not known:
        names = ", ".join(sorted(REOPENABLE))
        raise UsageError(f"{name!r} is not a state that can be reopened", f"use one of {names}")
    return known[0]


def _run(given: Given, settings: Settings, order: Order, control: Control) -> Summary:
    max_invalid = settings.max_invalid or RUN_MAX_INVALID
    with working_ledger(given.folder) as ledger:
        if order.begin_only and ledger.shared is None:
            raise UsageError("--begin-only needs a job that others can join", "add --job NAME")
        if order.begin_only and settings.run.limit is not None:
            raise UsageError(
                "--begin-only leaves all calls to others, and --limit is of one command alone",
                "use one of them",
            )
        settings = with_listed(as_careful_as_last_time(settings, ledger.reader))
        check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        check_kind(ledger.reader, given.folder, rehearsal=settings.run.sandbox, own=given.own)
        with api(settings.run, None) as endpoint, engine_of(given.folder, settings) as engine:
            anew = is_confirmed_anew(ledger.reader, endpoint)
            to = destination_of(endpoint, settings.run)
            surveyed = load_and_survey(ledger, given, settings, max_invalid, to, control.progress)
            sources, plan, settings = surveyed.sources, surveyed.plan, surveyed.settings
            with refusing(plan):
                ledger.note_alarms(plan.alarms, now_s=time.time(), noted_by=who_works())
                check_orgs(ledger, endpoint)
                _check_plan(ledger.reader, plan, order.plan, settings.run)
                control.progress.enter("confirming")
                allowed = control.frontend.confirm(plan)
            alarms = plan.allowing(allowed).alarms
            ledger.note_alarms(alarms, now_s=time.time(), noted_by=who_works())
            kept = kept_of(settings)
            ledger.confirm(sources, endpoint.base_url, given.parts_of, settings=kept, anew=anew)
            if plan.held:
                settings = holding_doubts(settings)
            surveyed.past.note_plan(ledger, sources, confirmed=True)
            sending = Sending(
                given.folder,
                ledger,
                endpoint,
                sources,
                settings,
                control,
                surveyed.never,
                surveyed.past,
                plan.id,
                engine,
            )
            return sending.begin() if order.begin_only else sending.send("run")


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


def _continue(
    folder: Path,
    reopening: Reopening | None,
    order: Order,
    options: Mapping[str, Any],
    on_event: OnEvent | None,
    stop: StopRequest | None,
    frontend: Frontend | None,
) -> Summary:
    settings = settings_from(options)
    stop = stop or StopRequest()
    frontend = frontend or EventFrontend(on_event or _ignore, stop)
    with progress_file(settings.run.progress_file, folder) as progress:
        control = Control(frontend, stop, progress)
        task = partial(resumed, folder, settings, reopening, order, control)
        return _ended(frontend.work(task), progress)
