"""The ledger as one page for people: ``report.html``. It needs nothing else, and holds no script.

No customer id stands on it, for it gets mailed around: examples are input rows, and what may be an
id is masked in what a server said. Who started a run (``user@host``) does: a person answers for it.
"""

from __future__ import annotations

import re
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bulk_unenroll import __version__
from bulk_unenroll.codes import CODES, WORDS, advice
from bulk_unenroll.digest import Digest, TargetFact, Trouble, digest
from bulk_unenroll.errors import EXIT_FINISHED, EXIT_LEFT_OVER, EXIT_ROWS_FAILED
from bulk_unenroll.folder import replacing
from bulk_unenroll.ledger import translated
from bulk_unenroll.model import State
from bulk_unenroll.outcome import Outcome, mend_command, rerun_command
from bulk_unenroll.planning import InvalidFact
from bulk_unenroll.queries import Counts, Row, ask, count
from bulk_unenroll.settings import is_rehearsal
from bulk_unenroll.timeline import KINDS, Calls, Timeline, calls_over_time

SHOWN_TARGETS: Final = 50
SHOWN_TROUBLES: Final = 20
SHOWN_CODES: Final = 20
SHOWN_RUNS: Final = 30
SHOWN_SOURCES: Final = 50
SHOWN_SLOWEST: Final = 10
SHOWN_CHARS: Final = 200
OWN_REASONS: Final = frozenset({EXIT_FINISHED, EXIT_ROWS_FAILED, EXIT_LEFT_OVER})

SAID: Final = {
    State.NOT_ENROLLED: "had no record to take out",
    State.FAILED: "failed",
    State.BLOCKED: "are blocked",
    State.REVIEW: "need a look by hand",
    State.IN_DOUBT: "are in doubt",
    State.SENDING: "are being called",
    State.PENDING: "wait",
}


@dataclass(frozen=True, slots=True)
class CodeFact:
    """How many customers/targets ended with a code, what it means, and what to do."""

    code: str
    state: State
    number: int
    says: str
    advice: str
    command: str


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

    outcome: Outcome
    counts: Counts
    base_url: str | None
    rehearsal: bool
    made_s: float
    digest: Digest
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
    connection: sqlite3.Connection, to: Path, outcome: Outcome, sources: Sequence[int]
) -> None:
    """Write the page of ``sources`` to ``to``, whole or not at all."""
    with translated():
        text = render(look(connection, outcome, sources))
        with replacing(to) as part:
            part.write_text(text, "utf-8")


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


def look(connection: sqlite3.Connection, outcome: Outcome, sources: Sequence[int]) -> Page:
    """Ask the ledger for everything. Memory does not grow with its rows."""
    listed = list(sources)
    found = digest(connection, listed, targets=SHOWN_TARGETS, troubles=SHOWN_TROUBLES)
    codes = _codes(found, outcome)
    calls, line = calls_over_time(connection)
    told = ask(connection, "get_meta", name="base_url")
    base_url = told[0][0] if told else None
    ((run_count,),) = ask(connection, "run_count")
    ((source_count,),) = ask(connection, "source_count")
    ((waiting, until_s),) = ask(connection, "waiting")
    return Page(
        outcome=outcome,
        counts=count(connection, listed),
        base_url=base_url,
        rehearsal=base_url is not None and is_rehearsal(base_url),
        made_s=time.time(),
        digest=found,
        codes=codes[:SHOWN_CODES],
        other_codes=len(codes[SHOWN_CODES:]),
        invalid=_invalid(connection, listed),
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


def _codes(found: Digest, outcome: Outcome) -> list[CodeFact]:
    return [
        CodeFact(
            code or "",
            state,
            number,
            says(code),
            advice(code),
            rerun_command(outcome.folder, state, code, sandbox=outcome.sandbox),
        )
        for (state, code), number in found.codes.most_common()
    ]


def _invalid(connection: sqlite3.Connection, sources: list[int]) -> list[InvalidFact]:
    return [InvalidFact(*row) for row in ask(connection, "invalid_counts", sources=sources)]


def _runs(connection: sqlite3.Connection, calls: dict[str, Calls]) -> list[RunFact]:
    ((knows_who,),) = ask(connection, "has_started_by")
    statement = "report_runs" if knows_who else "report_runs_of_version_1"
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
            connection, statement, most=SHOWN_RUNS
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


# ── wording ──────────────────────────────────────────────────────────────────────────────────────


def headline(counts: Counts) -> str:
    """What happened, in one sentence."""
    if not counts.unique:
        return "There was no customer/target to call."
    done = counts.states[State.SUCCEEDED]
    said = [f"{done:,} of {counts.unique:,} customers/targets were taken out"]
    found = ((counts.states[state], how) for state, how in SAID.items())
    said += [f"{number:,} {how}" for number, how in found if number]
    return ", ".join(said) + "."


def says(code: str | None) -> str:
    """What a code means, as far as it is documented."""
    if code is None:
        return ""
    meaning = CODES.get(code) or WORDS.get(code) or WORDS.get(f"{code[:-2]}xx")
    return meaning.says if meaning else "not documented"


def message_of(found: Trouble) -> str:
    """What the server said about the example, where that is all there is to go by."""
    if "read the message" not in advice(found.code):
        return ""
    return masked(found.message.replace(str(found.customer), "…"))


def reason_of(code: int | None, reason: str) -> str:
    """Why a run ended; masked where a server's words may be in it."""
    return reason if code in OWN_REASONS else masked(reason)


def masked(text: str) -> str:
    """``text`` without what may be a customer's id, phone number or address; not too long."""
    text = re.sub(r"\S+@\S+", "…", text)
    text = re.sub(r"\d(?:[ .,()/-]?\d){6,}", "…", text)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def visible(text: object) -> str:
    """``text``, where what has no glyph (control, format, unassigned) shows as U+FFFD.

    Autoescaping leaves it in, and some of it turns the direction of what stands around it.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char
        for char in str(text)
    )


# ── rendering ────────────────────────────────────────────────────────────────────────────────────


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("bulk_unenroll"),
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
        reason=reason_of(page.outcome.exit.code, page.outcome.exit.reason),
        mend=mend_command(page.outcome.folder, sandbox=page.outcome.sandbox),
        folder=Path(page.outcome.folder).name,
        states=[state for state in State if state is not State.WITHDRAWN],
        kinds=KINDS,
        rerun=_rerun(page.outcome),
        advice=advice,
        message_of=message_of,
        version=__version__,
    )


def _rerun(outcome: Outcome) -> Any:
    def rerun(found: Trouble) -> str:
        where = f"{found.where.group}/{found.where.target}"
        sandbox = outcome.sandbox
        return rerun_command(outcome.folder, found.state, found.code, where, sandbox=sandbox)

    return rerun


def _chart(line: Timeline | None) -> Markup | None:
    """The timeline as a picture; None without the extra ``report``."""
    try:
        from bulk_unenroll.charts import draw
    except ImportError:
        return None
    return Markup(draw(line)) if line else None  # noqa: S704 - drawn from numbers alone


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
