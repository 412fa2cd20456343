"""The ledger as one page for people: ``report.html``. It needs nothing else, and holds no script.

No customer id stands on it, for it gets mailed around: examples are input rows, and what may be an
id is masked in what a server said. Who started a run (``user@host``) does: a person answers for it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.sqlite.ledger import translated
from bulk_unenroll.ledger.sqlite.reader import Row, ask, count, tally
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import State
from bulk_unenroll.reports.next_command import rerun
from bulk_unenroll.reports.plan import InvalidFact, invalid_facts
from bulk_unenroll.reports.problems import Problem, Problems, TargetFact, find_problems
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
class SlowCall:
    """One of the slowest calls: where it stands, and how long it took."""

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
    """Everything that the page shows. Rows are those of the statements in ``ledger.sql``."""

    summary: Summary
    counts: Counts
    base_url: str | None
    rehearsal: bool
    made_s: float
    problems: Problems
    codes: list[CodeFact]
    other_codes: int
    invalid: list[InvalidFact]
    runs: list[RunFact]
    run_count: int
    line: Timeline | None
    tries: list[Row]
    sent_again: list[Row]
    waiting: int
    waiting_until_s: float | None
    slowest: list[SlowCall]
    sources: list[Row]
    source_count: int


def write_page(
    connection: sqlite3.Connection, to: Path, summary: Summary, sources: Sequence[int]
) -> None:
    """Write the page of ``sources`` to ``to``, whole or not at all."""
    with translated():
        with _at_one_moment(connection):
            seen = look(connection, summary, sources)
        with replacing(to) as part:
            part.write_text(render(seen), "utf-8")


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _at_one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """All answers are of one moment, also while a run goes on, so that they add up."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def look(connection: sqlite3.Connection, summary: Summary, sources: Sequence[int]) -> Page:
    """Ask the ledger for everything. Memory does not grow with its rows."""
    listed = list(sources)
    tallied = tally(connection, listed)
    found = find_problems(
        connection, listed, tallied, targets=SHOWN_TARGETS, problems=SHOWN_PROBLEMS
    )
    codes = _codes(found, summary)
    calls, line = calls_over_time(connection)
    told = ask(connection, "get_meta", name="base_url")
    base_url = told[0][0] if told else None
    ((run_count,),) = ask(connection, "run_count")
    ((source_count,),) = ask(connection, "source_count")
    ((waiting, until_s),) = ask(connection, "waiting")
    return Page(
        summary=summary,
        counts=count(connection, listed, tallied),
        base_url=base_url,
        rehearsal=base_url is not None and is_rehearsal(base_url),
        made_s=time.time(),
        problems=found,
        codes=codes[:SHOWN_CODES],
        other_codes=len(codes[SHOWN_CODES:]),
        invalid=invalid_facts(connection, listed),
        runs=_runs(connection, calls),
        run_count=run_count,
        line=line,
        tries=ask(connection, "tries"),
        sent_again=ask(connection, "sent_again", most=SHOWN_CODES),
        waiting=waiting,
        waiting_until_s=until_s,
        slowest=_slowest(connection, listed),
        sources=ask(connection, "report_sources", most=SHOWN_SOURCES),
        source_count=source_count,
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


def _runs(connection: sqlite3.Connection, calls: dict[str, Calls]) -> list[RunFact]:
    return [
        RunFact(
            run_id,
            command,
            started_by,
            started_s,
            ended_s,
            code,
            reason_of(code, reason or ""),
            calls.get(run_id),
        )
        for run_id, command, started_by, started_s, ended_s, code, reason in ask(
            connection, "report_runs", most=SHOWN_RUNS
        )
    ]


def _slowest(connection: sqlite3.Connection, sources: list[int]) -> list[SlowCall]:
    return [
        _slow_call(connection, sources, row)
        for row in ask(connection, "slowest", most=SHOWN_SLOWEST)
    ]


def _slow_call(connection: sqlite3.Connection, sources: list[int], found: Row) -> SlowCall:
    took_s, sent_s, outcome, code, http_status, org, group, target, customer = found
    where = TargetFact(org, group, target, {})
    rows = ask(
        connection, "row_of", customer=customer, org=org, group=group, target=target,
        sources=sources,
    )  # fmt: skip
    source, row = rows[0][:2] if rows else ("", None)
    file = PurePath(source).name
    return SlowCall(took_s, sent_s, outcome, code or "", http_status, str(where), file, row)


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
    """The timeline as a picture; None where there is no course, or without the extra ``report``."""
    if line is None or line.brief:
        return None
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its caches are of no interest here
    try:
        from bulk_unenroll.reports.charts import draw

        return Markup(draw(line))  # noqa: S704 - drawn from numbers alone
    except ImportError:
        return None
    except Exception as error:  # a wrong MPLBACKEND will do: no picture is worth the end of a run
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
    """Headings of columns that hold numbers, as the template's tables know them."""
    return [f"#{name}" for name in names]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.3f}" if value < 1 else f"{value:,.1f}"
