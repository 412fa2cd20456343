"""What a person sees: the plan, the progress, the summary. Plain where there is no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from bulk_unenroll.capillary.codes import CODES, WORDS, advice
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import GOOD, Call, Decision, State
from bulk_unenroll.reports.next_command import rerun_command
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.problems import Problem, Problems, full_name
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.settings import RUN_MAX_INVALID, Rate

if TYPE_CHECKING:
    from bulk_unenroll.commands.explain import Explained
    from bulk_unenroll.commands.status import Status
    from bulk_unenroll.ledger.facts import CustomerAttempt

LOG_EVERY_S: Final = 10.0
SHOWN_TARGETS: Final = 20
SHOWN_CODES: Final = 12

STYLES: Final = {
    State.SUCCEEDED: "green",
    State.NOT_ENROLLED: "green",
    State.FAILED: "red",
    State.BLOCKED: "red",
    State.REVIEW: "yellow",
    State.IN_DOUBT: "yellow",
}

log = structlog.get_logger()


def out() -> Console:
    """Standard output; on a pipe as wide as it needs to be, so that nothing is cut off."""
    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, soft_wrap=True)


def err() -> Console:
    """Standard error, for what must not stand between a program and its JSON."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """``4 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────


def show_plan(console: Console, plan: Plan, rate: Rate, folder: str) -> None:
    """Print a plan."""
    for source in plan.sources:
        console.print(f"[bold]{escape(source.name)}[/]  {source.row_count:,} rows")
        console.print(f"  sha256 {source.sha256}")
    counts = plan.counts
    console.print(
        f"{counts.read:,} rows read = {counts.invalid:,} invalid + {counts.duplicate:,} duplicate"
        f" + {counts.unique:,} customers/targets"
    )
    if plan.targets:
        console.print(_target_table(plan))
    if plan.invalid:
        console.print(_invalid_table(plan))
    for line in _history(plan):
        console.print(line)
    for warning in plan.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    if RUN_MAX_INVALID.exceeded(counts.invalid, counts.read):
        console.print("[yellow]warning:[/] more than 10% invalid: `run` refuses this file")
    console.print(
        f"[bold]{plan.to_call:,} to call[/], at {rate} about {duration(plan.seconds)};"
        f" run folder {escape(folder)}"
    )


def _target_table(plan: Plan) -> Table:
    table = Table("group/target", box=None, pad_edge=False)
    states = [state for state in State if any(fact.states.get(state) for fact in plan.targets)]
    table.add_column("customers", justify="right")
    for state in states:
        table.add_column(state.value, justify="right", style=STYLES.get(state, ""))
    for fact in plan.targets[:SHOWN_TARGETS]:
        numbers = [f"{fact.states.get(state, 0):,}" for state in states]
        table.add_row(str(fact), f"{fact.unique:,}", *numbers)
    if len(plan.targets) > SHOWN_TARGETS:
        table.add_row(f"and {len(plan.targets) - SHOWN_TARGETS} more targets")
    return table


def _invalid_table(plan: Plan) -> Table:
    table = Table("invalid because", box=None, pad_edge=False)
    table.add_column("rows", justify="right", style="red")
    table.add_column("first")
    for fact in plan.invalid[:SHOWN_CODES]:
        first = f"row {fact.first_row}: {fact.example}"
        table.add_row(fact.code, f"{fact.number:,}", escape(first))
    return table


def _history(plan: Plan) -> Iterator[str]:
    states = plan.counts.states
    settled = sum(states.values()) - plan.counts.left
    if settled:
        yield f"{settled:,} of them were settled in earlier runs and are not called again"
    if plan.known or plan.gone:
        new = plan.counts.unique - plan.known
        yield (
            f"compared with earlier inputs: {new:,} new, {plan.known:,} known,"
            f" {plan.gone:,} gone (they will be withdrawn, not called)"
        )


# ── progress ─────────────────────────────────────────────────────────────────────────────────────


class ProgressDisplay:
    """Follows a run, counting on from ``counts``: live on a terminal, by log lines elsewhere."""

    def __init__(
        self, counts: Counts, to_call: int, *, log_ids: bool, live: Progress | None
    ) -> None:
        self._states = dict(counts.states)
        self._to_call = to_call
        self._done = self._answered = 0
        self._log_ids = log_ids
        self._logs_calls = log.is_enabled_for(logging.DEBUG)
        self._live = live
        self._task: TaskID | None = None
        self._began_s = self._logged_s = time.monotonic()
        self._codes_seen: set[str] = set()
        if live:
            self._task = live.add_task("sending", total=to_call, states="", pace="")

    def recorded(self, call: Call, step: Decision) -> None:
        """A call has an summary."""
        if self._logs_calls:
            who = {"customer_id": call.enrollment.customer} if self._log_ids else {}
            target = _target(call)
            log.debug("call", outcome=step.outcome, code=step.code, target=target, **who)
        if step.code and step.code not in self._codes_seen:
            self._codes_seen.add(step.code)
            say = log.info if step.state in GOOD else log.warning
            say("first_of_code", code=step.code, outcome=step.outcome, target=_target(call))
        if step.wait_s is None:
            self._done += 1
            self._answered += 1
            before = call.waiting
            self._states[before] = max(self._states[before] - 1, 0)
            self._states[step.state] += 1
        self._show()

    def blocked(self, number: int) -> None:
        """So many customers/targets will not be sent."""
        log.warning("blocked", customers=number)
        self._done += number
        self._states[State.PENDING] = max(self._states[State.PENDING] - number, 0)
        self._states[State.BLOCKED] += number
        self._show()

    def paused(self, seconds: float, why: str) -> None:
        """Nobody sends for a while."""
        log.warning("paused", seconds=round(seconds, 1), why=why)

    def _show(self) -> None:
        if self._live and self._task is not None:
            pace, states = self._pace(), self._shown_states()
            self._live.update(self._task, completed=self._done, states=states, pace=pace)
        elif time.monotonic() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = time.monotonic()
            log.info("progress", done=self._done, of=self._to_call, **self._counted())

    def _pace(self) -> str:
        # what was blocked took no time, and says nothing of how fast the rest will be
        per_s = self._answered / max(time.monotonic() - self._began_s, 0.001)
        left = max(self._to_call - self._done, 0)
        remaining = f", {duration(left / per_s)} left" if per_s else ""
        return f"{per_s * 60:,.0f}/min{remaining}"

    def _counted(self) -> dict[str, int]:
        return {state.value: number for state, number in self._states.items() if number}

    def _shown_states(self) -> str:
        shown = (f"{number:,} {name}" for name, number in self._counted().items())
        return "  ".join(shown)


@contextmanager
def watching(
    counts: Counts, to_call: int, *, log_ids: bool, quiet: bool
) -> Iterator[ProgressDisplay]:
    """A ``ProgressDisplay`` for one run; live only if stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield ProgressDisplay(counts, to_call, log_ids=log_ids, live=None)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[states]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as live:
        yield ProgressDisplay(counts, to_call, log_ids=log_ids, live=live)


def _target(call: Call) -> str:
    return str(call.enrollment.target)


# ── summary ──────────────────────────────────────────────────────────────────────────────────────


def show_counts(console: Console, counts: Counts) -> None:
    """Print the accounting: rows, states, codes with advice."""
    _show_states(console, counts)
    if counts.codes:
        console.print(_code_table(counts))
    _show_oddities(console, counts)


def _show_states(console: Console, counts: Counts) -> None:
    console.print(
        f"{counts.read:,} rows = {counts.invalid:,} invalid + {counts.duplicate:,} duplicate"
        f" + {counts.unique:,} customers/targets"
    )
    for state, number in counts.states.items():
        if number:
            style = STYLES.get(state, "default")
            console.print(f"  [{style}]{state.value:<13}{number:>10,}[/]")


def _show_oddities(console: Console, counts: Counts) -> None:
    if counts.mismatches:
        console.print(f"[yellow]{counts.mismatches:,} answers echoed another customer id[/]")
    if counts.withdrawn:
        console.print(f"{counts.withdrawn:,} withdrawn: no longer in the file, never called")


def _code_table(counts: Counts) -> Table:
    table = Table("code", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("what to do")
    ranked = sorted(counts.codes.items(), key=lambda pair: -pair[1])
    for code, number in ranked[:SHOWN_CODES]:
        table.add_row(escape_markup(code), f"{number:,}", escape(advice(code)))
    return table


def show_summary(console: Console, summary: Summary) -> None:
    """Print the end of a run."""
    if summary.counts and summary.problems:
        _show_states(console, summary.counts)
        for line in problem_lines(summary, summary.counts, summary.problems):
            console.print(line)
        _show_oddities(console, summary.counts)
    elif summary.counts:
        show_counts(console, summary.counts)
    if summary.run_id is None:
        return
    attempts = summary.counts.attempts if summary.counts else 0
    console.print(f"{attempts:,} attempts on record; this took {duration(summary.seconds)}")
    if summary.exit.code == 0:
        console.print(f"[green]{escape(summary.exit.reason)}[/] → {escape(summary.folder)}")


def problem_lines(summary: Summary, counts: Counts, problems: Problems) -> list[str]:
    """What did not end well, in ten lines at most: most take two, the second being a command."""
    lines: list[str] = []
    for found in problems.shown:
        lines += _problem_lines(summary, found)
    if counts.invalid:
        then = escape(summary.mend)
        lines.append(f"[red]{counts.invalid:,} invalid[/]: mend them in failed.csv, then {then}")
    if problems.problems.others:
        more, customers = problems.problems.others, problems.problems.others_weight
        lines.append(f"and {more:,} more pairs of code and target, with {customers:,} customers")
    return lines


def _problem_lines(summary: Summary, found: Problem) -> list[str]:
    target = str(found.where.target)
    code, sandbox = found.code, summary.sandbox
    then = rerun_command(summary.folder, found.state, code, target, sandbox=sandbox)
    style, state = STYLES[found.state], found.state.value
    example = f", such as row {found.row} of {escape_markup(found.file)}" if found.row else ""
    return [
        f"[{style}]{found.number:,} {state}[/]: {escape_markup(code or 'no code')} at {found.where}"
        f"{example}: {escape(advice(code))}",
        f"  {escape(then)}",
    ]


def escape_markup(text: str) -> str:
    """``text`` from elsewhere: no markup, and nothing that a terminal obeys."""
    seen = (char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return escape("".join(seen))


# ── looking back ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def showing(console: Console) -> Iterator[Callable[[Status], None]]:
    """Shows a status; on a terminal each in place of the one before."""
    if not console.is_terminal:
        yield partial(show_status, console)
        return
    with Live(console=console, auto_refresh=False) as live:

        def show(status: Status) -> None:
            with console.capture() as captured:
                show_status(console, status)
            live.update(Text.from_ansi(captured.get()), refresh=True)

        yield show


def show_status(console: Console, status: Status) -> None:
    """Print where a folder stands, and its runs."""
    if status.summary.counts:
        show_counts(console, status.summary.counts)
    if status.summary.pace:
        console.print(_pace_line(status.summary.pace))
    table = Table("run", "command", "started", "ended", "exit", "reason", box=None, pad_edge=False)
    for run in status.runs:
        shown = "" if run.exit_code is None else str(run.exit_code)
        unfinished = "going on" if status.going_on else "killed"
        why = escape(run.reason or unfinished)
        started, ended = _moment(run.started_s), _moment(run.ended_s)
        table.add_row(run.run_id, run.command, started, ended, shown, why)
    if status.runs:
        console.print(table)
    else:
        console.print("planned, not run")
    if status.summary.next and not status.going_on:
        console.print(f"next: {escape(status.summary.next)}")


def _pace_line(pace: Mapping[str, float]) -> str:
    rate_per_s, ceiling_per_s, cuts = pace["rate_per_s"], pace["ceiling_per_s"], pace["cuts"]
    held = f"held at {rate_per_s * 60:,.0f}" if rate_per_s < ceiling_per_s else "not held below"
    return f"adaptive pace: {held} of {ceiling_per_s * 60:,.0f} a minute, cut {cuts:,.0f} times"


def show_explained(console: Console, explained: Explained) -> None:
    """Print every row and every attempt of a customer."""
    console.print(f"[bold]customer {explained.customer}[/]")
    if not explained.rows:
        console.print("stands in no row, and was never called from this folder")
        return
    rows = Table("source", "row", "group/target", "status", "code", "message", box=None)
    for row in explained.rows:
        source = f"{row.source} ({row.source_status}, sha256 {row.sha256[:8]})"
        target, code, message = full_name(row.target), row.code or "", row.message or ""
        rows.add_row(*map(escape, (source, str(row.row), target, row.status, code, message)))
    console.print(rows)
    if not explained.attempts:
        console.print("never called")
        return
    attempts = Table("attempt", "group/target", "sent", "answered", "outcome", box=None)
    for column in ("code", "HTTP", "request id", "run"):
        attempts.add_column(column)
    for attempt in explained.attempts:
        attempts.add_row(*map(_cell, _shown_attempt(attempt)))
    console.print(attempts)


def _shown_attempt(attempt: CustomerAttempt) -> tuple[object, ...]:
    return (
        attempt.attempt,
        attempt.target,
        attempt.sent_at,
        attempt.answered_at,
        attempt.outcome,
        attempt.code,
        attempt.http_status,
        attempt.request_id,
        attempt.run_id,
    )


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value))


def show_codes(console: Console) -> None:
    """Print the code table."""
    table = Table("code", "leads to", "meaning", "what to do", "source", box=None, pad_edge=False)
    for code, meaning in CODES.items():
        table.add_row(code, meaning.leads_to, meaning.says, meaning.advice, meaning.source)
    for code, word in WORDS.items():
        table.add_row(code, word.leads_to, word.says, word.advice, "ours")
    console.print(table)


def _moment(at_s: float | None) -> str:
    if at_s is None:
        return ""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
