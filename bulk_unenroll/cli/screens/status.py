"""How a folder stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bulk_unenroll.cli.screens.console import escape_markup, settings_line, show_rehearsal
from bulk_unenroll.cli.screens.summary import show_counts
from bulk_unenroll.ledger.facts import SenderFact
from bulk_unenroll.reports.wording import duration

if TYPE_CHECKING:
    from bulk_unenroll.commands.status import Status

SILENT_S: Final = 15.0
"""Who took no turn for so long starts no call."""


def _show_senders(console: Console, senders: Iterable[SenderFact]) -> None:
    for sender in senders:
        name, did = escape(sender.name), f"{sender.settled:,} settled"
        if sender.silent_s > SILENT_S:
            console.print(f"not seen for {duration(sender.silent_s)}: {name}, {did}")
        else:
            console.print(f"sends now: {name}, {did}, {sender.settled_a_minute:,.0f} a minute")


def show_status(console: Console, status: Status) -> None:
    """Print the state of a folder, what it remembers, and its runs."""
    show_rehearsal(console, status.summary)
    if status.summary.counts:
        show_counts(console, status.summary.counts)
    if status.summary.pace:
        console.print(_pace_line(status.summary.pace))
    _show_senders(console, status.summary.senders or ())
    if status.summary.loading:
        console.print(str(status.summary.loading))
    if status.summary.settings:
        console.print(f"settings: {escape(settings_line(status.summary.settings))}")
    _show_runs(console, status)
    if status.summary.next and not status.going_on:
        if status.summary.next.advice:
            console.print(f"first: {escape_markup(status.summary.next.advice)}")
        console.print(f"next: {escape(str(status.summary.next))}")


def _show_runs(console: Console, status: Status) -> None:
    if not status.runs:
        if not status.summary.loading:
            console.print("planned, not run")
        return
    table = Table("run", "command", "started", "ended", "exit", "reason", box=None, pad_edge=False)
    for run in status.runs:
        shown = "" if run.exit_code is None else str(run.exit_code)
        why = escape(run.reason or _unfinished(status))
        started, ended = _moment(run.started_s), _moment(run.ended_s)
        table.add_row(run.run_id, run.command, started, ended, shown, why)
    console.print(table)


def _unfinished(status: Status) -> str:
    if status.going_on and not status.summary.loading:
        return "going on"
    return "killed" if status.summary.senders is None else "not ended"


def _pace_line(pace: Mapping[str, float]) -> str:
    rate, ceiling = (f"{pace[name] * 60:,.0f}" for name in ("rate_per_s", "ceiling_per_s"))
    return (
        f"adaptive pace: {rate} of {ceiling} calls a minute, slowed down {pace['cuts']:,.0f} times"
    )


def _moment(at_s: float | None) -> str:
    if at_s is None:
        return ""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
