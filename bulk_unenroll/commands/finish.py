"""The end of a run: what it came to, its results and page, and the exact next command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import LedgerFailed, Next
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.inputs.mapping import mapping_options
from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.next_command import again, next_command, rerun_fixed
from bulk_unenroll.reports.problems import find_problems
from bulk_unenroll.reports.summary import SHOWN_PROBLEMS, Summary, conclude
from bulk_unenroll.results.export import write_results
from bulk_unenroll.settings import RunSettings, SendSettings

REPORT_NAME: Final = "report.html"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run that is going on, and how it may end."""

    folder: Path
    ledger: Ledger
    sources: Sequence[int]
    run_id: str
    sending: SendSettings
    going: RunSettings

    def finish(self, endings: dict[int, str]) -> Summary:
        """It sent all that it would; ``endings`` are why it stopped early, by exit code."""
        reader = self.ledger.reader
        check_conservation(reader)
        if not self.going.export:
            return self._conclude(endings)
        with _noting_failure(endings):
            write_results(reader, self.folder, confirmed_ids(reader.sources()))
        summary = self._conclude(endings)
        with _noting_failure(endings):
            _write_page(self.folder, reader, summary)
        # a page that could not be written ends it in another way
        return self._conclude(endings) if ExitCode.LEDGER_FAILED in endings else summary

    def fail(self, failed: LedgerFailed) -> Summary:
        """Its ledger failed: with counts, where it can still be read."""
        counts = None
        with suppress(LedgerFailed):
            counts = count(self.ledger.reader, self.sources)
        return self._summary(Exit(failed.code, str(failed)), self._resume(), counts)

    def end_now(self, code: int) -> None:
        """A second signal ends it at once; say so, for the process is about to be gone."""
        why = "ended at once by a second signal: calls in flight stay in doubt"
        then = self._resume()
        if self.going.json:
            ended = Summary(str(self.folder), Exit(code, why), then, self.run_id).as_json()
            sys.stdout.write(json.dumps(ended) + "\n")
            sys.stdout.flush()
        sys.stderr.write(f"bulk-unenroll: {why} (exit {code})\nnext: {then}\n")
        sys.stderr.flush()

    def _conclude(self, endings: dict[int, str]) -> Summary:
        reader = self.ledger.reader
        by_target = reader.counts_by_target(self.sources)
        counts = count(reader, self.sources, by_target)
        ended = conclude(counts, endings, reader.doubts_left())
        self.ledger.end_run(ended.code, ended.reason)
        resend_after_s = self.sending.resend_after_s(time.time())
        then = next_of(reader, str(self.folder), ended, counts, self.sources, resend_after_s)
        sandbox = self.going.sandbox
        summary = self._summary(ended, again(then, sandbox=sandbox), counts)
        found = find_problems(reader, self.sources, by_target, targets=0, problems=SHOWN_PROBLEMS)
        fix = again(fix_of(reader, str(self.folder), self.sources), sandbox=sandbox)
        return replace(summary, problems=found, fix=fix, sandbox=sandbox)

    def _summary(self, ended: Exit, then: Next | None, counts: Counts | None) -> Summary:
        seconds = time.monotonic() - self.going.began_s
        return Summary(str(self.folder), ended, then, self.run_id, counts, seconds)

    def _resume(self) -> Next | None:
        return again(Next("resume", (str(self.folder),)), sandbox=self.going.sandbox)


def next_of(
    reader: LedgerReader,
    folder: str,
    ended: Exit,
    counts: Counts,
    sources: Sequence[int],
    resend_after_s: float,
) -> Next | None:
    """The next command after a run that ended so; None when all is done."""
    left = callable_count(reader, sources, resend_after_s, counts)
    fix = fix_of(reader, folder, sources)
    return next_command(folder, ended, counts, counts.worst_code, fix, callable_=left)


def fix_of(reader: LedgerReader, folder: str, sources: Sequence[int]) -> Next:
    """The command for invalid rows once they are fixed.

    Rows that were read in several ways get no mapping: what fits some may call wrong ids in others.
    """
    mappings = [mapping_options(reading) for reading in reader.readings_of_invalid_rows(sources)]
    agreed = all(mapping == mappings[0] for mapping in mappings)
    return rerun_fixed(folder, mappings[0] if mappings and agreed else {})


@contextmanager
def _noting_failure(endings: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except LedgerFailed as failed:
        endings[ExitCode.LEDGER_FAILED] = f"the results could not be written: {failed.reason}"


def _write_page(folder: Path, reader: LedgerReader, summary: Summary) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(reader, folder / REPORT_NAME, summary)
