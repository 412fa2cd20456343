"""The commands that plan and send: plan, run, resume, retry."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from bulk_unenroll.cli.endings import finish, same_command
from bulk_unenroll.cli.options import FOLDER, INPUTS, Given, options_of, settings_from
from bulk_unenroll.errors import UsageError
from bulk_unenroll.model import State
from bulk_unenroll.settings import RUN_MAX_INVALID, Limit, RunSettings, SendSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from bulk_unenroll.cli.progress import ProgressDisplay
    from bulk_unenroll.commands.plan import Inputs
    from bulk_unenroll.ledger.interface import Reopening
    from bulk_unenroll.reports.plan import Plan


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
    from bulk_unenroll.inputs.finding import default_folder

    set_up_log(given)
    folder = given["out"] or default_folder(inputs)

    def show(found: Plan) -> None:
        if not given["json"]:
            screens.show_plan(screens.out(), found, given["rate"], str(folder))

    send_settings = settings_from(SendSettings, given)
    summary = plan_inputs(folder, inputs_from(inputs, given), send_settings, show)
    counts = summary.counts
    refused = counts is not None and RUN_MAX_INVALID.exceeded(counts.invalid, counts.read)
    summary = replace(summary, next=same_command(instead=None if refused else "run"))
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
    from bulk_unenroll.commands import run as commands
    from bulk_unenroll.inputs.finding import default_folder

    set_up_log(given)
    folder = given["out"] or default_folder(inputs)
    summary = commands.run(
        folder,
        inputs_from(inputs, given, RUN_MAX_INVALID),
        settings_from(SendSettings, given),
        settings_from(RunSettings, given),
        partial(_confirm, folder=folder, given=given),
        _watching(given),
    )
    return finish(summary, json=given["json"], notify=given["notify"])


@click.command()
@FOLDER
@options_of("resume")
def resume(folder: Path, **given: Any) -> int:
    """Continue what is confirmed and not settled; needs no input file.

    \b
    bulk-unenroll resume customers.unenroll
    bulk-unenroll resume customers.unenroll --stop-at 05:00
    """
    return _resume(folder, given)


@click.command()
@FOLDER
@options_of("retry")
def retry(
    folder: Path,
    states: tuple[str, ...],
    codes: tuple[str, ...],
    targets: tuple[str, ...],
    **given: Any,
) -> int:
    """Reopen failed rows, then continue as resume does.

    \b
    bulk-unenroll retry customers.unenroll --code 310011
    bulk-unenroll retry customers.unenroll --state in_doubt
    """
    from bulk_unenroll.ledger.interface import Reopening

    chosen = [State(state) for state in states] or [State.FAILED, State.BLOCKED]
    return _resume(folder, given, Reopening(chosen, codes, targets))


def _resume(folder: Path, given: Given, reopening: Reopening | None = None) -> int:
    from bulk_unenroll.commands import run as commands

    set_up_log(given)
    summary = commands.resume(
        folder,
        settings_from(SendSettings, given),
        settings_from(RunSettings, given),
        _watching(given),
        reopening,
    )
    return finish(summary, json=given["json"], notify=given["notify"])


# ── what the commands share ──────────────────────────────────────────────────────────────────────


def inputs_from(names: Sequence[str], given: Given, max_invalid: Limit | None = None) -> Inputs:
    """What to read, and how; ``max_invalid`` where the option is not given."""
    from bulk_unenroll.commands.plan import Inputs
    from bulk_unenroll.inputs.mapping import ReadSettings

    return Inputs(names, settings_from(ReadSettings, given), given["max_invalid"] or max_invalid)


def _watching(given: Given) -> Callable[..., AbstractContextManager[ProgressDisplay]]:
    from bulk_unenroll.cli.progress import watching

    live = not (given["quiet"] or given["json"])
    return partial(watching, log_ids=given["log_ids"], live=live)


def _confirm(found: Plan, folder: Path, given: Given) -> None:
    """Show the plan, then let a person type the number of customers; raises ``UsageError``."""
    from bulk_unenroll.cli import screens

    console = screens.err() if given["json"] else screens.out()
    if not given["quiet"] or not given["yes"]:
        screens.show_plan(console, found, given["rate"], str(folder))
    if given["yes"] or found.to_call == 0:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal. Nothing was sent",
            lacking={"yes": True},
        )
    question = "This cannot be undone. Type the number of customers to call"
    try:
        typed = click.prompt(question, err=True, default="", show_default=False)
    except click.Abort:
        raise UsageError("no answer: nothing was sent") from None
    if typed.strip() != str(found.to_call):
        raise UsageError(f"{typed!r} is not {found.to_call}: nothing was sent")


def set_up_log(given: Given) -> None:
    """Set up the log as the options say; raises ``UsageError``."""
    from bulk_unenroll import log

    path: Path | None = given["log_file"]
    try:
        file = _private(path) if path else None
    except OSError as error:
        raise UsageError(f"cannot write the log to {path}: {error.strerror}") from None
    terminal = sys.stderr.isatty() and not file
    log.set_up(
        json=(given["log_format"] or ("console" if terminal else "json")) == "json",
        verbosity=int(given["verbose"]) - int(given["quiet"]),
        file=file,
        colours=terminal and "NO_COLOR" not in os.environ,
    )


def _private(path: Path) -> TextIO:
    """``path`` for appending, made 0600: a log may hold customer ids."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", buffering=1)
