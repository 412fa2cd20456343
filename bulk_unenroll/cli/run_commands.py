"""The commands that plan and send: plan, run, resume, retry."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulk_unenroll.cli.endings import begin, doing, finish, same_command
from bulk_unenroll.cli.options import FOLDER, INPUTS, Given, options_of
from bulk_unenroll.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

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
    found = plan_inputs(*inputs, **options_from(given))
    if not given["json"]:
        screens.show_plan(screens.out(), found, given["rate"])
    then = same_command(instead=None if found.run_refuses else "run")
    seconds = time.monotonic() - doing.began_s
    summary = Summary(
        found.folder, found.exit, then, counts=found.counts, seconds=seconds, alarms=found.alarms
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
    return _send(partial(run_inputs, *inputs), given)


@click.command()
@FOLDER
@options_of("resume")
def resume(folder: Path, **given: Any) -> int:
    """Continue what is confirmed and not settled; needs no input file.

    \b
    bulk-unenroll resume customers.unenroll
    bulk-unenroll resume customers.unenroll --stop-at 05:00
    """
    from bulk_unenroll.commands.run import resume as resume_folder

    begin(given | {"folder": folder})
    return _send(partial(resume_folder, folder), given)


@click.command()
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
    if not given["states"]:
        del given["states"]
    return _send(partial(retry_folder, folder), given)


# ── what the commands share ──────────────────────────────────────────────────────────────────────


def options_from(given: Given) -> dict[str, Any]:
    """The options that the commands take; the others are the command line's own."""
    from bulk_unenroll.commands.options import KEYWORDS

    return {name: value for name, value in given.items() if name in KEYWORDS}


def _send(command: Callable[..., Summary], given: Given) -> int:
    from bulk_unenroll.cli.terminal import Terminal
    from bulk_unenroll.exits import Exit
    from bulk_unenroll.reports.summary import Summary

    try:
        summary = command(frontend=Terminal(given), **options_from(given))
    except Stop as stop:
        plan = stop.plan
        if plan is None:
            raise
        ended = Exit(stop.code, str(stop))
        summary = Summary(plan.folder, ended, counts=plan.counts, alarms=plan.alarms)
    return finish(summary, json=given["json"], notify=given["notify"])
