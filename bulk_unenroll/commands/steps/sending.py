"""One command's sending: begin, the first calls, the rest, the end."""

from __future__ import annotations

import time
import uuid
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bulk_unenroll.capillary.base_url import host_of
from bulk_unenroll.capillary.credentials import Endpoint
from bulk_unenroll.commands.frontend import Frontend
from bulk_unenroll.commands.options import Settings
from bulk_unenroll.commands.steps.call_log import CallLog
from bulk_unenroll.commands.steps.connect import note_user
from bulk_unenroll.commands.steps.finish import RunEnd
from bulk_unenroll.commands.steps.first_time import FirstTime
from bulk_unenroll.commands.steps.past import Past
from bulk_unenroll.commands.steps.placing import Engine
from bulk_unenroll.commands.steps.progress_file import ProgressFile
from bulk_unenroll.commands.steps.stops import why_stop
from bulk_unenroll.errors import (
    CutOff,
    Interrupted,
    LedgerAway,
    LedgerFailed,
    Next,
    UsageError,
)
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.history.senders import sending_alone
from bulk_unenroll.history.store import state_folder
from bulk_unenroll.inputs.never import Never
from bulk_unenroll.ledger.counts import Counts, callable_count, count, known_by_target
from bulk_unenroll.ledger.folder import STOPPED, forget_stop, is_asked_to_stop, who_works
from bulk_unenroll.ledger.interface import Ledger, Trust
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.stopping import StopRequest
from bulk_unenroll.settings import RunSettings

if TYPE_CHECKING:
    from bulk_unenroll.observers import Observer
    from bulk_unenroll.reports.metrics import MetricsFile


log = get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """How a folder shall go on: only as in a plan, or only shown; with what trust in it."""

    plan: str | None = None
    dry_run: bool = False
    trust: Trust = Trust.USUAL
    begin_only: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """Who follows a run, who may stop it, and what is told of it."""

    frontend: Frontend
    stop: StopRequest
    progress: ProgressFile


@dataclass(frozen=True, slots=True)
class Sending:
    """One command's sending, with all that it needs."""

    folder: Path
    ledger: Ledger
    endpoint: Endpoint
    sources: list[int]
    settings: Settings
    control: Control
    never: Never
    past: Past
    plan_id: str = ""
    engine: Engine | None = None

    def send(self, name: str, nothing: str = "") -> Summary:
        """Send, and say how it ended. ``nothing`` says why there is nothing to send, if so."""
        run = self.settings.run
        alone = None if run.beside or run.sandbox else state_folder()
        place, user = host_of(self.endpoint.base_url), self.endpoint.credentials.user
        if is_asked_to_stop(self.folder):  # while the inputs were read, or the question stood
            raise Interrupted(ExitCode.LEFT_OVER, f"{STOPPED}: nothing was sent")
        with sending_alone(alone, place, user, self.folder):
            note_user(self.ledger, self.endpoint)
            hold = self._hold()
            summary, held = self._send_once(name, nothing, hold)
            if held:
                self.past.note_asked(self.ledger, hold.targets)
                self.control.progress.enter("confirming")
                if self.control.frontend.goes_on(hold.question):
                    summary, _ = self._send_once("resume", "", FirstTime())
        forget_stop(self.folder)
        with suppress(LedgerFailed):  # the run is over, and its end is told
            self.past.note_end(self.ledger)
        self.control.frontend.ended(summary)
        return summary

    def begin(self) -> Summary:
        """Begin a run and leave it to those that join it."""
        folder = str(self.folder)
        if hold := self._hold():
            raise UsageError(
                f"--begin-only would leave nobody to look: {hold.reason}",
                "let this command send, or add --first-time go",
            )
        now_s, send = time.time(), self.settings.send
        run_id = _new_run_id()
        note_user(self.ledger, self.endpoint)
        self.ledger.begin_run(
            run_id,
            "run",
            self.sources,
            now_s=now_s,
            resend_after_s=send.resend_after_s(now_s),
            started_by=who_works(),
        )
        ended = Exit(ExitCode.FINISHED, "the run has begun: `work` makes its calls")
        counts = count(self.ledger.reader, self.sources)
        summary = Summary(folder, ended, Next("work", (folder,)), run_id, counts)
        self.control.frontend.ended(summary)
        return summary

    def join(self, run_id: str) -> Summary:
        """Send for a run that another process began; 0 once it is complete, whatever failed."""
        summary, _ = self._send_once("work", "", FirstTime(), run_id)
        counts, code = summary.counts, summary.exit.code
        if code in (ExitCode.ROWS_FAILED, ExitCode.LEFT_OVER) and counts and not counts.left:
            summary = replace(summary, exit=Exit(ExitCode.FINISHED, "the run is complete"))
        self.control.frontend.ended(summary)
        return summary

    def _judged_with(self) -> list[int]:
        """The sources whose results count for the canary and the share of the not enrolled.

        Those of this run alone, so that a wrong list is not excused by earlier, good ones. But a
        mended file of results goes on with those that it was made from.
        """
        reader = self.ledger.reader
        own = any(facts.get("own") for facts in reader.noticed(self.sources).values())
        return (
            [source.id for source in reader.sources() if source.confirmed_s]
            if own
            else self.sources
        )

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

    def _send_once(
        self, name: str, nothing: str, hold: FirstTime, joined: str = ""
    ) -> tuple[Summary, bool]:
        from bulk_unenroll.observers import Observers
        from bulk_unenroll.sending.send import RunRequest, send  # aiohttp is slow to import

        settings, ledger, frontend = self.settings, self.ledger, self.control.frontend
        progress = self.control.progress
        run_id = joined or _new_run_id()
        end = RunEnd(
            self.folder,
            ledger,
            self.sources,
            run_id,
            settings,
            self._abandoned,
            nothing,
            self.plan_id,
            bool(joined),
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
            known=known_by_target(ledger.reader, self._judged_with()),
            protected=self.never.covers if self.never else None,
            limit=settings.run.limit,
            hold=hold.reason,
            joined=bool(joined),
            why_stop=partial(why_stop, self.folder, settings.run),
            end_now=end.end_now if frontend.owns_process else None,
            stop=self.control.stop,
        )
        progress.begin(before, to_call)
        metrics = _metrics(self.folder, before, settings.run)
        reasons: dict[int, str] = {}
        try:
            with frontend.watch(before, to_call) as watcher:
                calls = CallLog(log_ids=settings.run.log_ids)
                observers: list[Observer] = [calls, watcher, *metrics]
                if progress.path:
                    observers.append(progress)
                with self._placing(hold) as placer:
                    all_ = Observers([*observers, placer])
                    reasons = send(ledger, self.endpoint, settings.send, request, all_)
        except LedgerAway:
            raise
        except LedgerFailed as failed:
            summary = end.fail(failed)
        else:
            if cut_off := reasons.get(ExitCode.FOLDER_BUSY):
                raise CutOff(cut_off, "find out why this machine does not reach the API")
            progress.enter("writing results")
            summary = end.finish(reasons)
        for file in metrics:
            file.ended(summary.counts, summary.exit.code)
        return summary, bool(hold) and hold.reason in reasons.values()

    def _placing(self, hold: FirstTime) -> AbstractContextManager[Observer]:
        """Senders on other machines, but not for a run that ends with its first calls."""
        from bulk_unenroll.observers import Observer

        return nullcontext(Observer()) if hold or not self.engine else self.engine.placing()

    def _abandoned(self, summary: Summary) -> None:
        """The process is about to be gone."""
        self.control.progress.end(summary.exit)
        self.control.frontend.abandoned(summary)


def _new_run_id() -> str:
    return uuid.uuid4().hex[:12]


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
