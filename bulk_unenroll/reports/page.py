"""The ledger as one page: ``report.html``. It loads no other file, and has no script.

It shows no customer id, because it gets mailed around: examples are named by their input row, and
what may be an id is masked in a server's messages. It does show who started a run (``user@host``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bulk_unenroll import __version__
from bulk_unenroll.capillary.base_url import is_rehearsal
from bulk_unenroll.capillary.codes import advice, says
from bulk_unenroll.errors import Next
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
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import STATES, State
from bulk_unenroll.reports.next_command import rerun
from bulk_unenroll.reports.problems import Problem, Problems, find_problems, full_name
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.reports.timeline import KINDS, Calls, Timeline, calls_over_time
from bulk_unenroll.reports.wording import headline, message_of, reason_of, visible

log = get_logger()

SHOWN_TARGETS: Final = 50
SHOWN_PROBLEMS: Final = 20
SHOWN_CODES: Final = 20
SHOWN_RUNS: Final = 30
SHOWN_SOURCES: Final = 50
SHOWN_SLOWEST: Final = 10


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


@dataclass(frozen=True, slots=True)
class SlowFact:
    """One of the slowest calls: its target, its input row, and how long it took."""

    took_s: float
    sent_s: float
    outcome: str
    code: str
    http_status: int | None
    where: str
    file: str
    row: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the page shows."""

    summary: Summary
    counts: Counts
    base_url: str | None
    rehearsal: bool
    made_s: float
    problems: Problems
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


def write_page(reader: LedgerReader, to: Path, summary: Summary) -> None:
    """Write the page of the sources in force to ``to``, whole or not at all."""
    with reader.at_one_moment() as moment:
        page = look(moment, summary)
    with writing(to.name), replacing(to) as part:
        part.write_text(render(page), "utf-8")


# ── asking the ledger ────────────────────────────────────────────────────────────────────────────


def look(reader: LedgerReader, summary: Summary) -> Page:
    """Ask the ledger for everything. Memory does not grow with its rows."""
    every_source, every_run = reader.sources(), reader.runs()
    sources = ids_in_force(every_source)
    by_target = reader.counts_by_target(sources)
    found = find_problems(
        reader, sources, by_target, targets=SHOWN_TARGETS, problems=SHOWN_PROBLEMS
    )
    codes = _codes(found, summary)
    calls, line = calls_over_time(reader)
    base_url = reader.base_url()
    return Page(
        summary=summary,
        counts=count(reader, sources, by_target),
        base_url=base_url,
        rehearsal=base_url is not None and is_rehearsal(base_url),
        made_s=time.time(),
        problems=found,
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


def _codes(found: Problems, summary: Summary) -> list[CodeFact]:
    return [
        CodeFact(
            code or "",
            state,
            number,
            says(code),
            advice(code),
            rerun(summary.folder, state, code, sandbox=summary.sandbox),
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
        PurePath(example.source).name if example else "",
        example.row if example else None,
    )


# ── rendering ────────────────────────────────────────────────────────────────────────────────────


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("bulk_unenroll.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": _moment,
        "number": _number,
        "seconds": _seconds,
        "as_numbers": _as_numbers,
    }
    return environment.get_template("report.html.j2").render(
        page=page,
        chart=_chart(page.line),
        headline=headline(page.counts),
        reason=reason_of(page.summary.exit.code, page.summary.exit.reason),
        fix=page.summary.fix,
        folder=Path(page.summary.folder).name,
        states=[state for state in State if state is not State.WITHDRAWN],
        meanings=STATES,
        kinds=KINDS,
        rerun=_rerun(page.summary),
        advice=advice,
        message_of=message_of,
        version=__version__,
    )


def _rerun(summary: Summary) -> Callable[[Problem], Next]:
    def of_problem(found: Problem) -> Next:
        sandbox = summary.sandbox
        return rerun(summary.folder, found.state, found.code, found.target, sandbox=sandbox)

    return of_problem


def _chart(line: Timeline | None) -> Markup | None:
    """The timeline as a picture; None if it is too short, or without the extra ``report``."""
    if line is None or line.brief:
        return None
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs about its caches
    try:
        from bulk_unenroll.reports.charts import draw

        return Markup(draw(line))  # noqa: S704 - drawn from numbers alone
    except ImportError:
        return None
    except Exception as error:  # such as a wrong MPLBACKEND: a missing picture must not fail a run
        log.warning("no_chart", error=repr(error))
        return None


def _moment(at_s: float | None) -> Markup:
    if at_s is None:
        return Markup("")
    at = datetime.fromtimestamp(at_s, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S")
    )


def _as_numbers(names: Iterable[str]) -> list[str]:
    """Headings marked as columns of numbers, for the macro ``table`` of the template."""
    return [f"#{name}" for name in names]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.3f}" if value < 1 else f"{value:,.1f}"
