"""The ledger as one page: ``report.html``. It loads no other file, and has no script.

It shows no customer id, because it gets mailed around: examples are named by their input row, and
what may be an id is masked in a server's messages. It does show who started a run (``user@host``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import urlsplit

from bulk_unenroll import __version__
from bulk_unenroll.capillary.codes import advice, says
from bulk_unenroll.errors import Next
from bulk_unenroll.exits import Exit
from bulk_unenroll.files import replacing
from bulk_unenroll.ledger.counts import Counts, count
from bulk_unenroll.ledger.facts import (
    AttemptCount,
    InvalidCount,
    Run,
    SentAgain,
    SlowCall,
    Source,
    Waiting,
    ids_in_force,
)
from bulk_unenroll.ledger.folder import writing
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import STATES, State
from bulk_unenroll.reports import rendering
from bulk_unenroll.reports.charts import PERCENTILES, charts_of
from bulk_unenroll.reports.marks import GOING_ON, KILLED, PLANNED, Verdict, verdict_of
from bulk_unenroll.reports.next_command import after_fixing, rerun
from bulk_unenroll.reports.problems import Problem, Problems, find_problems, full_name
from bulk_unenroll.reports.rehearsal import is_rehearsal
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.reports.timeline import KINDS, Calls, Timeline, calls_over_time
from bulk_unenroll.reports.wording import AFTER_SUCCEEDED, headline, message_of, reason_of

SHOWN_TARGETS: Final = 50
SHOWN_PROBLEMS: Final = 20
SHOWN_CODES: Final = 20
SHOWN_RUNS: Final = 30
SHOWN_SOURCES: Final = 50
SHOWN_SLOWEST: Final = 10
SHOWN_STEPS: Final = 4
"""How many codes stand beside the accounting; the others follow below."""
SHORT: Final = 12
"""A longer list of targets is folded."""


@dataclass(frozen=True, slots=True)
class CodeFact:
    """How many customers/targets ended with a code, what it means, and what to do."""

    code: str
    state: State
    number: int
    says: str
    advice: str
    command: Next


@dataclass(frozen=True, slots=True)
class RunFact:
    """One run. Times are Unix seconds; ``calls`` is None for a run that made none."""

    run_id: str
    command: str
    started_by: str | None
    started_s: float
    ended_s: float | None
    exit_code: int | None
    reason: str
    calls: Calls | None

    @property
    def lasted_s(self) -> float | None:
        """How long it took; None if its end is not on record."""
        return None if self.ended_s is None else self.ended_s - self.started_s


@dataclass(frozen=True, slots=True)
class SlowFact:
    """One of the slowest calls: its target, its input row, and how long it took."""

    took_s: float
    sent_s: float
    outcome: str
    code: str
    http_status: int | None
    where: str
    row: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the page shows. ``files`` are the names of what the counts are about.

    ``going_on``: a process works in the folder. ``people``: who started runs, the last one first.
    """

    summary: Summary
    counts: Counts
    going_on: bool
    files: list[str]
    people: list[str]
    base_url: str | None
    rehearsal: bool
    made_s: float
    problems: Problems
    fix: Next
    codes: list[CodeFact]
    other_codes: int
    invalid: list[InvalidCount]
    runs: list[RunFact]
    run_count: int
    line: Timeline | None
    attempt_counts: list[AttemptCount]
    sent_again: list[SentAgain]
    waiting: Waiting
    slowest: list[SlowFact]
    sources: list[Source]
    source_count: int

    @property
    def destination(self) -> str:
        """Host and prefix of where the calls go; empty while nobody said it."""
        parts = urlsplit(self.base_url or "")
        return f"{parts.netloc}{parts.path}"


def write_page(reader: LedgerReader, to: Path, summary: Summary, *, going_on: bool = False) -> None:
    """Write the page of the sources in force to ``to``, whole or not at all.

    ``going_on``: a process works in the folder now.
    """
    with reader.at_one_moment() as moment:
        page = look(moment, summary, going_on=going_on)
    with writing(to.name, to.parent), replacing(to) as part:
        part.write_text(render(page), "utf-8")


# ── asking the ledger ────────────────────────────────────────────────────────────────────────────


def look(reader: LedgerReader, summary: Summary, *, going_on: bool = False) -> Page:
    """Ask the ledger for everything. Memory does not grow with its rows."""
    every_source, every_run = reader.sources(), reader.runs()
    sources = ids_in_force(every_source)
    by_target = reader.counts_by_target(sources)
    found = find_problems(
        reader, sources, by_target, targets=SHOWN_TARGETS, problems=SHOWN_PROBLEMS
    )
    fix = summary.fix or after_fixing(reader, summary.folder)
    codes = _codes(found, summary, fix)
    calls, line = calls_over_time(reader)
    base_url = reader.base_url()
    return Page(
        summary=summary,
        counts=count(reader, sources, by_target),
        going_on=going_on,
        files=[PurePath(source.name).name for source in every_source if source.id in sources],
        people=list(dict.fromkeys(run.started_by or "unknown" for run in every_run[::-1])),
        base_url=base_url,
        rehearsal=is_rehearsal(reader),
        made_s=time.time(),
        problems=found,
        fix=fix,
        codes=codes[:SHOWN_CODES],
        other_codes=len(codes[SHOWN_CODES:]),
        invalid=reader.invalid_counts(sources),
        runs=[_run(run, calls.get(run.run_id)) for run in every_run[::-1][:SHOWN_RUNS]],
        run_count=len(every_run),
        line=line,
        attempt_counts=reader.attempt_counts(),
        sent_again=reader.sent_again(SHOWN_CODES),
        waiting=reader.waiting(),
        slowest=[_slow_call(reader, sources, slow) for slow in reader.slowest(SHOWN_SLOWEST)],
        sources=every_source[::-1][:SHOWN_SOURCES],
        source_count=len(every_source),
    )


def _codes(found: Problems, summary: Summary, fix: Next) -> list[CodeFact]:
    return [
        CodeFact(
            code or "",
            state,
            number,
            says(code),
            advice(code),
            rerun(summary.folder, state, code, fix),
        )
        for (state, code), number in found.codes.most_common()
    ]


def _run(run: Run, calls: Calls | None) -> RunFact:
    return RunFact(
        run.run_id,
        run.command,
        run.started_by,
        run.started_s,
        run.ended_s,
        run.exit_code,
        reason_of(run.exit_code, run.reason or ""),
        calls,
    )


def _slow_call(reader: LedgerReader, sources: Sequence[int], slow: SlowCall) -> SlowFact:
    example = reader.example(slow.enrollment, sources)
    return SlowFact(
        slow.took_s,
        slow.sent_s,
        slow.outcome,
        slow.code or "",
        slow.http_status,
        full_name(slow.enrollment.target),
        f"{example.row_name} of {PurePath(example.source).name}" if example else "",
    )


# ── rendering ────────────────────────────────────────────────────────────────────────────────────


def render(page: Page) -> str:
    """The page as HTML."""
    summary = page.summary
    return rendering.render(
        "report.html.j2",
        page=page,
        verdict=_verdict(page),
        charts=charts_of(page.line) if page.line and not page.line.brief else None,
        headline=headline(page.counts, rehearsal=page.rehearsal, planned=not page.runs),
        reason=reason_of(summary.exit.code, summary.exit.reason),
        folder=Path(summary.folder).name,
        states=[State.SUCCEEDED, *AFTER_SUCCEEDED],
        meanings=STATES,
        kinds=KINDS,
        percentiles=PERCENTILES,
        rerun=_rerun(page),
        message_of=message_of,
        ended=lambda code: verdict_of(Exit(code)),
        steps=SHOWN_STEPS,
        short=SHORT,
        version=__version__,
    )


def _verdict(page: Page) -> Verdict:
    if not page.runs:
        return PLANNED
    if page.going_on:
        return GOING_ON
    return KILLED if page.runs[0].exit_code is None else verdict_of(page.summary.exit)


def _rerun(page: Page) -> Callable[[Problem], Next]:
    def of_problem(found: Problem) -> Next:
        return rerun(page.summary.folder, found.state, found.code, page.fix, found.target)

    return of_problem
