"""What a run would do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bulk_unenroll.cli.screens.console import (
    SHOWN_CODES,
    SHOWN_TARGETS,
    STYLES,
    escape_markup,
    settings_line,
)
from bulk_unenroll.model import State
from bulk_unenroll.reports.plan import Plan
from bulk_unenroll.reports.wording import duration
from bulk_unenroll.settings import RUN_MAX_INVALID

SHOWN_OTHERS: Final = 3


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
