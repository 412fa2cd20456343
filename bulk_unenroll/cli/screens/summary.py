"""What came of a run."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bulk_unenroll.capillary.codes import advice
from bulk_unenroll.cli.screens.console import (
    SHOWN_CODES,
    SHOWN_TARGETS,
    STYLES,
    escape_markup,
    show_rehearsal,
)
from bulk_unenroll.errors import Next
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.reports.next_command import rerun
from bulk_unenroll.reports.problems import Problem, Problems, full_name
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.reports.wording import duration


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
    show_rehearsal(console, summary)
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
