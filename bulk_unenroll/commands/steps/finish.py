"""Finish a run: write its results and its page, and return its summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulk_unenroll.clocks import elapsed_s
from bulk_unenroll.commands.options import Settings
from bulk_unenroll.commands.steps.memory import kept_of
from bulk_unenroll.errors import LedgerAway, LedgerFailed, Next
from bulk_unenroll.exits import OF_ONE_SENDER, Exit, ExitCode
from bulk_unenroll.exports.result_files import results_path, write_results
from bulk_unenroll.ledger.counts import Counts, count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.next_command import after_fixing, after_run
from bulk_unenroll.reports.problems import find_problems
from bulk_unenroll.reports.summary import SHOWN_PROBLEMS, LeftOut, Summary, conclude

REPORT_NAME: Final = "report.html"
PENDING_WRITTEN: Final = 200_000
"""More rows still pending are left out of the results: they would take more than some seconds."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The ways in which a run may end: it finished, its ledger failed, or a second signal came.

    ``nothing`` says that there was nothing to do, and why; it is empty where there was. ``plan_id``
    is that of the plan which was carried out, if there was one. ``abandoned`` tells of the end by
    a second signal. ``joined``: others began the run.
    """

    folder: Path
    ledger: Ledger
    sources: Sequence[int]
    run_id: str
    settings: Settings
    abandoned: Callable[[Summary], None]
    nothing: str = ""
    plan_id: str = ""
    joined: bool = False

    def finish(self, stop_reasons: dict[int, str]) -> Summary:
        """Write the results and the page of a run that sends no more.

        ``stop_reasons`` hold why it stopped early, by exit code.
        """
        reader = self.ledger.reader
        check_conservation(reader)
        if not self.settings.run.export:
            return self._conclude(stop_reasons)
        confirmed = confirmed_ids(reader.sources())
        pending = count(reader, confirmed).pending
        left_out = pending if pending > PENDING_WRITTEN else 0
        with _noting_failure(stop_reasons):
            written = write_results(reader, self.folder, confirmed, pending=not left_out)
            self.ledger.note_failed_file(written)
        summary = self._conclude(stop_reasons, left_out)
        with _noting_failure(stop_reasons):
            _write_page(self.folder, reader, summary)
        if ExitCode.LEDGER_FAILED in stop_reasons:  # that changes how the run ended
            return self._conclude(stop_reasons, left_out)
        return summary

    def fail(self, failed: LedgerFailed) -> Summary:
        """Summarise a run whose ledger failed, with counts if it can still be read."""
        counts = None
        with suppress(LedgerFailed):
            counts = count(self.ledger.reader, self.sources)
        return self._summary(Exit(failed.code, str(failed)), self._resume(), counts)

    def end_now(self, code: int) -> None:
        """Report that a second signal ends the run: the process is about to exit."""
        why = "ended at once by a second signal: calls in flight stay in doubt"
        self.abandoned(self._summary(Exit(code, why), self._resume(), None))

    def _conclude(self, stop_reasons: dict[int, str], left_out: int = 0) -> Summary:
        reader, folder = self.ledger.reader, str(self.folder)
        by_target = reader.counts_by_target(self.sources)
        counts = count(reader, self.sources, by_target)
        ended = conclude(counts, stop_reasons, reader.doubts_left())
        if self.nothing:
            ended = Exit(ended.code, f"{self.nothing}: {ended.reason}")
        alone = self.joined and any(code in OF_ONE_SENDER for code in stop_reasons)
        self.ledger.end_run(ended.code, ended.reason, for_all=not alone)
        resend_after_s = self.settings.send.resend_after_s(time.time())
        then = after_run(reader, folder, ended, counts, self.sources, resend_after_s)
        summary = self._summary(ended, then, counts)
        found = find_problems(reader, self.sources, by_target, targets=0, problems=SHOWN_PROBLEMS)
        export = Next("export", (folder,), {"to": str(results_path(reader, self.folder))})
        return replace(
            summary,
            problems=found,
            fix=after_fixing(reader, folder),
            alarms=reader.alarms(),
            left_out=LeftOut(left_out, export) if left_out else None,
        )

    def _summary(self, ended: Exit, then: Next | None, counts: Counts | None) -> Summary:
        seconds = elapsed_s() - self.settings.run.began_s
        return Summary(
            str(self.folder),
            ended,
            then,
            self.run_id,
            counts,
            seconds,
            rehearsal=self.settings.run.sandbox,
            settings=kept_of(self.settings),
            plan_id=self.plan_id,
        )

    def _resume(self) -> Next:
        return Next("resume", (str(self.folder),))


@contextmanager
def _noting_failure(stop_reasons: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except LedgerAway:
        raise
    except LedgerFailed as failed:
        reason = f"the results could not be written: {failed.reason}"
        stop_reasons[ExitCode.LEDGER_FAILED] = reason


def _write_page(folder: Path, reader: LedgerReader, summary: Summary) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 is slow to import

    write_page(reader, folder / REPORT_NAME, summary)
