"""What a person sees: a plan, a summary, the state of a folder, a customer, the codes.

Plain text where there is no terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bulk_unenroll.capillary.codes import CODES, WORDS, advice
from bulk_unenroll.errors import Next
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import SenderFact
from bulk_unenroll.model import State
from bulk_unenroll.reports.next_command import rerun
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.problems import Problem, Problems, full_name
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.reports.wording import duration
from bulk_unenroll.settings import RUN_MAX_INVALID

if TYPE_CHECKING:
    from bulk_unenroll.commands.explain import Explained
    from bulk_unenroll.commands.status import Status
    from bulk_unenroll.inputs.peek import Peek
    from bulk_unenroll.ledger.facts import CustomerAttempt

SHOWN_TARGETS: Final = 20
SHOWN_CODES: Final = 12
SHOWN_OTHERS: Final = 3

STYLES: Final = {
    State.SUCCEEDED: "green",
    State.NOT_ENROLLED: "green",
    State.FAILED: "red",
    State.BLOCKED: "red",
    State.REVIEW: "yellow",
    State.IN_DOUBT: "yellow",
}


def out() -> Console:
    """Standard output; in a pipe as wide as its lines, so that nothing is cut off."""
    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, soft_wrap=True)


def err() -> Console:
    """Standard error, for what must not be mixed with JSON on standard output."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def window(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """The terminal, to draw on: always as large as its window is now.

    A ``COLUMNS`` or ``LINES`` of the environment tells how large a window was once.
    """
    sizes = ("COLUMNS", "LINES")
    environment = {name: value for name, value in os.environ.items() if name not in sizes}
    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, _environ=environment)


# ── peek ─────────────────────────────────────────────────────────────────────────────────────────


def show_peek(console: Console, found: Peek) -> None:
    """Print how an input is read, and its first rows."""
    traits = [found.format, *(f"{name} {value}" for name, value in found.traits)]
    console.print(f"[bold]{escape(found.name)}[/]  {escape(', '.join(traits))}")
    if len(found.sheets) > 1:
        console.print(f"sheets: {escape(', '.join(found.sheets))}")
    table = Table(box=None, pad_edge=False)
    names = {header: name for name, header in found.columns.items() if header != name}
    for header in found.header:
        table.add_column(Text(f"{header} → {names[header]}" if header in names else header))
    for row in found.rows:
        table.add_row(*map(Text, row.cells))
    if found.header:
        console.print(table)
    for row in found.rows:
        if row.invalid:
            console.print(f"[yellow]row {row.row}:[/] {escape(row.invalid.message)}")
    if found.problem:
        console.print(f"[yellow]a plan would refuse it:[/] {escape(str(found.problem))}")


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────


def show_plan(console: Console, plan: Plan) -> None:
    """Print a plan: where the calls would go, and what looks wrong, before all else."""
    console.print(f"[bold]{escape(str(plan.destination))}[/], {plan.scope}")
    show_alarms(console, plan)
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
    if plan.run_refuses:
        console.print(
            f"[yellow]warning:[/] more than {RUN_MAX_INVALID} invalid: `run` refuses this input"
        )
    for line in _calls(plan):
        console.print(line)


def show_alarms(console: Console, plan: Plan) -> None:
    """Print what looks wrong."""
    for alarm in plan.alarms:
        style, allowed = ("yellow", ", allowed") if alarm.allowed else ("bold red", "")
        text = escape_markup(alarm.text)
        console.print(f"[{style}]ALARM {alarm.name}{allowed}:[/] {text}")


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
        first = f"{fact.row_name}: {fact.example}"
        table.add_row(fact.code, f"{fact.number:,}", escape(first))
    return table


def _history(plan: Plan) -> Iterator[str]:
    for other in plan.others[:SHOWN_OTHERS]:
        what = "confirmed" if other.confirmed_s else "planned only"
        yield escape_markup(
            f"this folder also holds {other.path}: {other.row_count:,} rows, {what}"
        )
    if len(plan.others) > SHOWN_OTHERS:
        yield f"and {len(plan.others) - SHOWN_OTHERS:,} other files"
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


def _calls(plan: Plan) -> Iterator[str]:
    """How many calls, how long, until when, and by which settings."""
    yield (
        f"[bold]{plan.to_call:,} to call[/], at {plan.rate} about {duration(plan.estimate_s)};"
        f" run folder {escape(plan.folder)}; plan {plan.id}"
    )
    if plan.listed is not None:
        tone = "default" if plan.listed else "yellow"
        yield (
            f"[{tone}]{plan.listed:,} on the never-lists[/], {plan.protected:,} rows of them here:"
            " not called"
        )
    if plan.held:
        yield (
            f"[yellow]{plan.held:,} in doubt are held[/]: so many at once look like an outage;"
            " look some up, then `retry --state in_doubt`"
        )
    if plan.until:
        day = " (tomorrow)" if plan.until.date() > datetime.now().date() else ""
        yield f"stops at {plan.until:%a %d %b %H:%M}{day}, wherever it is then"
    if plan.remembered:
        yield f"as this folder remembers: {escape(settings_line(plan.remembered))}"


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
    _show_rehearsal(console, summary)
    if summary.counts and summary.problems:
        _show_states(console, summary.counts)
        for line in problem_lines(summary, summary.counts, summary.problems):
            console.print(line)
        _show_oddities(console, summary.counts)
    elif summary.counts:
        show_counts(console, summary.counts)
    if summary.to_call is not None:
        console.print(_would_call_table(summary))
        console.print(f"[bold]{summary.to_call:,} would be called[/]; nothing was sent")
    if summary.run_id is None:
        return
    if summary.left_out:
        rows, then = summary.left_out.rows, escape(str(summary.left_out.export))
        console.print(f"results.csv lacks the {rows:,} rows still pending; to write them too:")
        console.print(f"  {then}")
    attempts = summary.counts.attempts if summary.counts else 0
    console.print(f"{attempts:,} attempts on record; this took {duration(summary.seconds)}")
    if summary.exit.code == 0:
        console.print(f"[green]{escape(summary.exit.reason)}[/] → {escape(summary.folder)}")


def _would_call_table(summary: Summary) -> Table:
    table = Table("would call", "state", "code", box=None, pad_edge=False)
    table.add_column("customers", justify="right")
    for one in summary.would_call[:SHOWN_TARGETS]:
        code = escape_markup(one.code or "")
        table.add_row(full_name(one.target), one.state.value, code, f"{one.number:,}")
    if len(summary.would_call) > SHOWN_TARGETS:
        table.add_row(f"and {len(summary.would_call) - SHOWN_TARGETS} more")
    return table


def _show_rehearsal(console: Console, summary: Summary) -> None:
    if summary.rehearsal:
        console.print("[bold]REHEARSAL:[/] only the sandbox was called, and nobody was taken out")


def problem_lines(summary: Summary, counts: Counts, problems: Problems) -> list[str]:
    """What did not succeed, in ten lines at most: for most problems two, one of them a command."""
    lines: list[str] = []
    fix = summary.fix or Next("status", (summary.folder,))
    for found in problems.shown:
        lines += _problem_lines(summary.folder, fix, found)
    if counts.invalid:
        in_file = f"fix them in {summary.failed_file}, then"
        way = in_file if fix.command == "run" else "fix them in the inputs;"
        lines.append(f"[red]{counts.invalid:,} invalid[/]: {way} {escape(str(fix))}")
    if problems.problems.others:
        more, customers = problems.problems.others, problems.problems.others_weight
        lines.append(f"and {more:,} more pairs of code and target, with {customers:,} customers")
    return lines


def _problem_lines(folder: str, fix: Next, found: Problem) -> list[str]:
    code = found.code
    then = rerun(folder, found.state, code, fix, found.target)
    style, state = STYLES[found.state], found.state.value
    example = f", such as {escape_markup(found.example)}" if found.example else ""
    return [
        f"[{style}]{found.number:,} {state}[/]: {escape_markup(code or 'no code')} at {found.where}"
        f"{example}: {escape(advice(code))}",
        f"  {escape(str(then))}",
    ]


def escape_markup(text: str) -> str:
    """Text from a file or a server, without markup and without what a terminal obeys."""
    seen = (char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return escape("".join(seen))


# ── a folder and a customer ──────────────────────────────────────────────────────────────────────


class Following:
    """Shows the state of a folder again and again, and leaves the last one standing.

    On a terminal each one takes the place of the one before, on a screen of its own, so that a
    window of any size and any change of it leaves nothing behind. Elsewhere each change is a line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._line = ""
        self._last: Status | None = None

    def __enter__(self) -> Self:
        return self

    def show(self, status: Status) -> None:
        """Show ``status``, in full once the run has ended."""
        self._last = status
        if not status.going_on:
            return
        if self._console.is_interactive:
            self._draw(status)
        elif (line := _status_line(status)) != self._line:
            self._line = line
            self._console.print(f"{datetime.now():%H:%M:%S}  {line}")

    def __exit__(self, *_: object) -> None:
        if self._live:
            # for terminals without a second screen, on which the frame would stay
            self._live.console.control(Control.clear(), Control.home())
            self._live.stop()
        if self._last:
            show_status(self._console, self._last)

    def _draw(self, status: Status) -> None:
        if self._live is None:
            self._live = Live(
                console=window(), screen=True, auto_refresh=False, redirect_stdout=False
            )
            self._live.start()
        self._live.update(_frame(status), refresh=True)


def _frame(status: Status) -> Text:
    """A status as large as the window."""
    console = window()  # not the live one, which adds what it shows already
    with console.capture() as captured:
        folder = escape(PurePath(status.summary.folder).name)
        now = f"{datetime.now():%H:%M:%S}"
        console.print(f"[bold]{folder}[/]  {now}  {_done(status)} (Ctrl-C ends this view only)")
        show_status(console, status)
    lines = captured.get().splitlines()
    if len(lines) > console.height:
        hidden = len(lines) - console.height + 1
        lines[console.height - 1 :] = [f"… {hidden} more lines: make the window taller"]
    return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


def _status_line(status: Status) -> str:
    states = status.summary.counts.states if status.summary.counts else {}
    by_name = (f"{number:,} {state}" for state, number in states.items() if number)
    return f"{_done(status)}: {', '.join(by_name)}"


def _done(status: Status) -> str:
    counts = status.summary.counts or Counts()
    return f"{counts.unique - counts.left:,} of {counts.unique:,} done"


def _show_senders(console: Console, senders: Iterable[SenderFact]) -> None:
    for sender in senders:
        console.print(
            f"sends now: {escape(sender.name)}, {sender.settled:,} settled,"
            f" {sender.settled_a_minute:,.0f} a minute"
        )


def show_status(console: Console, status: Status) -> None:
    """Print the state of a folder, what it remembers, and its runs."""
    _show_rehearsal(console, status.summary)
    if status.summary.counts:
        show_counts(console, status.summary.counts)
    if status.summary.pace:
        console.print(_pace_line(status.summary.pace))
    _show_senders(console, status.summary.senders or ())
    if status.summary.settings:
        console.print(f"settings: {escape(settings_line(status.summary.settings))}")
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
        if status.summary.next.advice:
            console.print(f"first: {escape_markup(status.summary.next.advice)}")
        console.print(f"next: {escape(str(status.summary.next))}")


def settings_line(settings: Mapping[str, object]) -> str:
    """Settings as one line, in the words of the command line."""
    shown = {name.replace("_", "-"): value for name, value in settings.items() if name != "sandbox"}
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in shown.items()
    )


def _pace_line(pace: Mapping[str, float]) -> str:
    rate, ceiling = (f"{pace[name] * 60:,.0f}" for name in ("rate_per_s", "ceiling_per_s"))
    return (
        f"adaptive pace: {rate} of {ceiling} calls a minute, slowed down {pace['cuts']:,.0f} times"
    )


def show_explained(console: Console, explained: Explained) -> None:
    """Print every row and every attempt of a customer."""
    console.print(f"[bold]customer {explained.customer}[/]")
    if not explained.rows:
        console.print("is in no input row, and was never called from this folder")
        return
    rows = Table("source", "row", "group/target", "status", "code", "message", box=None)
    for row in explained.rows:
        source = f"{row.source} ({row.source_status}, sha256 {row.sha256[:8]})"
        target, code, message = full_name(row.target), row.code or "", row.message or ""
        rows.add_row(*map(escape, (source, row.row_name, target, row.status, code, message)))
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
