"""The commands that plan and send: plan, run, resume, retry."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bulk_unenroll.cli.endings import begin, doing, finish, next_after, same_command
from bulk_unenroll.cli.options import FOLDER, INPUTS, Given, OnFolder, options_from, options_of
from bulk_unenroll.errors import InputMissing, Next, OptionValue, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulk_unenroll.reports.plan import Plan
    from bulk_unenroll.reports.summary import Summary


@click.command()
@INPUTS
@options_of("plan")
def plan(inputs: tuple[str, ...], **given: Any) -> int:
    """Show what a run of INPUT... would do. Cannot send.

    INPUT is a CSV, TSV, Parquet or .xlsx file (text also .gz, .bz2, .xz), a glob, a folder of
    Parquet files, an address (s3://, gs://, https://), or - for CSV on standard input.

    \b
    bulk-unenroll plan customers.csv
    bulk-unenroll plan members.xlsx --sheet May --column customerId="Member No"
    bulk-unenroll plan 's3://bucket/drop/*.parquet' --out drop.unenroll
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands.plan import plan as plan_inputs
    from bulk_unenroll.reports.summary import Summary

    begin(given | {"inputs": inputs})
    try:
        found = plan_inputs(*inputs, **_options(inputs, given))
    except InputMissing as missing:
        return _without_input(missing, inputs, given)
    if not given["json"]:
        screens.show_plan(screens.out(), found)
    summary = Summary(
        found.folder,
        found.exit,
        _after_plan(found),
        counts=found.counts,
        seconds=time.monotonic() - doing.began_s,
        rehearsal=found.destination.rehearsal,
        alarms=found.alarms,
        plan=found,
        plan_id=found.id,
    )
    return finish(summary, json=given["json"], show=False)


@click.command()
@INPUTS
@options_of("run")
def run(inputs: tuple[str, ...], **given: Any) -> int:
    """Plan, confirm, send, record, export. On an existing folder it continues.

    \b
    bulk-unenroll run customers.csv --base-url https://HOST/v3.1 --rate 100/min
    bulk-unenroll run members.csv --target-group-id 1001 --target-id 2001 \\
        --column customerId="Member No"
    """
    from bulk_unenroll.commands.run import run as run_inputs

    begin(given | {"inputs": inputs})
    try:
        return _send(partial(run_inputs, *inputs), given, _options(inputs, given))
    except InputMissing as missing:
        return _without_input(missing, inputs, given)


@click.command(cls=OnFolder)
@FOLDER
@options_of("resume")
@click.option(
    "--restored",
    is_flag=True,
    help="Go on with a shared ledger that was restored from an older copy: who was called since is"
    " called again.",
)
def resume(folder: Path, restored: bool, **given: Any) -> int:
    """Continue what is confirmed and not settled; needs no input file.

    \b
    bulk-unenroll resume customers.unenroll
    bulk-unenroll resume customers.unenroll --stop-at 05:00
    """
    from bulk_unenroll.commands.run import resume as resume_folder

    begin(given | {"folder": folder})
    command = partial(resume_folder, folder, restored=restored)
    return _send(command, given, options_from(click.get_current_context()))


@click.command(cls=OnFolder)
@FOLDER
@options_of("retry")
def retry(folder: Path, **given: Any) -> int:
    """Reopen failed rows, then continue as resume does.

    \b
    bulk-unenroll retry customers.unenroll --code 310011
    bulk-unenroll retry customers.unenroll --state in_doubt
    """
    from bulk_unenroll.commands.run import retry as retry_folder

    begin(given | {"folder": folder})
    return _send(partial(retry_folder, folder), given, options_from(click.get_current_context()))


@click.command(cls=OnFolder)
@FOLDER
@options_of("work")
def work(folder: Path, **given: Any) -> int:
    """Join the run of a shared job as a further sender, on this machine or any other.

    While the job's inputs are still being read, it reads parts of them; then it sends. Exits with 0
    once the run is complete, and with 75 if it was given up, or the run has not begun: then start
    it again. All senders together keep --rate.

    \b
    bulk-unenroll work --ledger postgresql://unenroll@db/unenroll --job cleanup
    bulk-unenroll work --job cleanup --stop-after 1h
    """
    from bulk_unenroll.commands.run import work as join

    given |= {"yes": True, "notify": "never"}
    begin(given | {"folder": folder})
    return _send(partial(join, folder), given, options_from(click.get_current_context()))


# ── what the commands share ──────────────────────────────────────────────────────────────────────


def _after_plan(plan: Plan) -> Next:
    """The run of a plan; where it would be refused, the list of the rows that are in the way."""
    from bulk_unenroll.reports.plan import list_invalid

    if plan.run_refuses:
        return list_invalid(plan.folder).after("fix these rows in the input")
    kind: dict[str, OptionValue] = {"sandbox": True} if plan.destination.rehearsal else {}
    return same_command(kind, instead="run")


def _without_input(missing: InputMissing, inputs: Sequence[str], given: Given) -> int:
    """How a command ends that has no input: well, if that may be so.

    Where only some of several inputs are missing, the others would be left out silently.
    """
    from bulk_unenroll.exits import Exit
    from bulk_unenroll.reports.summary import Summary

    if not given["missing_ok"] or any(map(_is_there, inputs)):
        raise missing
    reason = f"{missing.reason}: nothing to do"
    summary = Summary(doing.folder, Exit(0, reason), seconds=time.monotonic() - doing.began_s)
    if not given["json"]:
        click.echo(reason)
    return finish(summary, json=given["json"], notify=given.get("notify") or "never", show=False)


def _is_there(name: str) -> bool:
    from bulk_unenroll.inputs.finding import STDIN, find_inputs

    try:
        files = find_inputs([name])
    except Stop:
        return False
    return any(file.url or file.path == STDIN or Path(file.path).exists() for file in files)


def _options(inputs: Sequence[str], given: Given) -> dict[str, Any]:
    """The options of plan and run, with the run folder that a shared job has on this machine."""
    options = options_from(click.get_current_context())
    if given["ledger"] is None and given["job"] is None:
        return options
    from bulk_unenroll.commands.shared import shared_folder

    out = options.get("out")
    return options | {"out": shared_folder(inputs, given["ledger"], given["job"], out)}


def _send(command: Callable[..., Summary], given: Given, options: dict[str, Any]) -> int:
    from bulk_unenroll.cli.terminal import Terminal
    from bulk_unenroll.exits import Exit
    from bulk_unenroll.reports.summary import Summary

    context = click.get_current_context()
    try:
        summary = command(frontend=Terminal(given), **options)
    except Stop as stop:
        plan = stop.plan
        if plan is None:
            raise
        summary = Summary(
            plan.folder,
            Exit(stop.code, str(stop)),
            next_after(stop, cast(click.Group, context.find_root().command).commands),
            counts=plan.counts,
            seconds=time.monotonic() - doing.began_s,
            rehearsal=plan.destination.rehearsal,
            alarms=plan.alarms,
            plan_id=plan.id,
        )
    return finish(summary, json=given["json"], notify=given["notify"])
