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

from bulk_unenroll.errors import EXIT_LEDGER, LedgerFailed
from bulk_unenroll.inputs.mapping import mapping_options
from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.next_command import command, mend_command, next_command
from bulk_unenroll.reports.problems import find_problems
from bulk_unenroll.reports.summary import SHOWN_PROBLEMS, Exit, Summary, conclude
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
        return self._conclude(endings) if EXIT_LEDGER in endings else summary

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
        summary = self._summary(ended, with_sandbox(then, sandbox=self.going.sandbox), counts)
        found = find_problems(reader, self.sources, by_target, targets=0, problems=SHOWN_PROBLEMS)
        mend = mend_of(reader, str(self.folder), self.sources)
        mend = with_sandbox(mend, sandbox=self.going.sandbox)
        return replace(summary, problems=found, mend=mend, sandbox=self.going.sandbox)

    def _summary(self, ended: Exit, then: str, counts: Counts | None) -> Summary:
        seconds = time.monotonic() - self.going.began_s
        return Summary(str(self.folder), ended, then, self.run_id, counts, seconds)

    def _resume(self) -> str:
        return with_sandbox(command("resume", str(self.folder)), sandbox=self.going.sandbox)


def next_of(
    reader: LedgerReader,
    folder: str,
    ended: Exit,
    counts: Counts,
    sources: Sequence[int],
    resend_after_s: float,
) -> str:
    """The exact next command after a run that ended so; empty when all is done."""
    left = callable_count(reader, sources, resend_after_s, counts)
    mend = mend_of(reader, folder, sources)
    return next_command(folder, ended, counts, counts.worst_code, mend, callable_=left)


def mend_of(reader: LedgerReader, folder: str, sources: Sequence[int]) -> str:
    """The exact command for invalid rows once they are mended.

    Rows that were read in several ways get no mapping: what fits some may call wrong ids in others.
    """
    mappings = [mapping_options(reading) for reading in reader.readings_of_invalid_rows(sources)]
    agreed = all(mapping == mappings[0] for mapping in mappings)
    return mend_command(folder, mappings[0] if mappings and agreed else [])


def with_sandbox(then: str, *, sandbox: bool) -> str:
    """``then`` for the sandbox again, if that is what was called."""
    return f"{then} --sandbox" if then and sandbox else then


@contextmanager
def _noting_failure(endings: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except LedgerFailed as failed:
        endings[EXIT_LEDGER] = f"the results could not be written: {failed.reason}"


def _write_page(folder: Path, reader: LedgerReader, summary: Summary) -> None:
    from bulk_unenroll.reports.page import write_page  # jinja2 and matplotlib are slow to import

    write_page(reader, folder / REPORT_NAME, summary)
