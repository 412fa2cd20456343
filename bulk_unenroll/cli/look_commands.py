"""Commands that look at an input or a run folder or stop its run, and the table of codes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bulk_unenroll.cli.endings import print_json
from bulk_unenroll.cli.option_types import ID, SECONDS, TARGET
from bulk_unenroll.cli.options import FOLDER, OnFolder, options_from, options_of


@click.command()
@click.argument("input_", type=click.Path(), metavar="INPUT")
@options_of("peek")
def peek(input_: str, json: bool, **given: Any) -> int:
    """Show how INPUT is read: its format, its columns and its first rows. Makes no run folder.

    \b
    bulk-unenroll peek members.xlsx
    bulk-unenroll peek members.xlsx --sheet May --column customerId="Member No" --json
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands.peek import peek as look

    found = look(input_, **options_from(click.get_current_context()))
    if json:
        print_json(found.as_json())
    else:
        screens.show_peek(screens.out(), found)
    return 0


@click.command(cls=OnFolder)
@FOLDER
@options_of("status")
@click.option("--follow", is_flag=True, help="Show it again and again, until the run ends.")
@click.option(
    "--every",
    "every_s",
    type=SECONDS,
    default=2.0,
    show_default=True,
    help="Seconds between two looks, with --follow.",
)
def status(folder: Path, json: bool, follow: bool, every_s: float) -> int:
    """Show the state of a run folder; works while a run is going.

    With --follow and --json, one object a line.

    \b
    bulk-unenroll status customers.unenroll --follow
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands import status as commands

    with screens.Following(screens.out()) as following:
        while True:
            found = commands.status(folder)
            if json:
                print_json(found.summary.as_json())
            else:
                following.show(found)
            if not (follow and found.going_on):
                return 0
            time.sleep(every_s)


@click.command(cls=OnFolder)
@FOLDER
@click.option("--wait", is_flag=True, help="Return once the run has ended.")
def stop(folder: Path, wait: bool) -> int:
    """Stop whoever works in a run folder, cleanly: from any shell of the same user.

    Calls in flight are waited for and recorded. Exits with 3 if nobody works there.

    \b
    bulk-unenroll stop customers.unenroll --wait
    """
    from bulk_unenroll.commands.stop import stop as stop_folder
    from bulk_unenroll.errors import Next, Stop
    from bulk_unenroll.exits import ExitCode

    if not stop_folder(folder, wait=wait):
        nobody = Stop(f"nobody works in {folder}", next=Next("status", (str(folder),)))
        nobody.code = ExitCode.LEFT_OVER
        raise nobody
    click.echo(f"{folder}: {'stopped' if wait else 'stopping'}")
    return 0


@click.command(cls=OnFolder)
@FOLDER
@click.option(
    "--to",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="A file here, in a bucket (s3://, gs://), or - for CSV on standard output.",
)
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only rows in this state.")
@click.option("--code", "codes", multiple=True, metavar="CODE", help="Only rows with this code.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=TARGET,
    help="Only rows of this target: GROUP/TARGET.",
)
@click.option("--attempts", is_flag=True, help="Write each attempt of these rows, one a line.")
def export(
    folder: Path,
    to: str,
    states: tuple[str, ...],
    codes: tuple[str, ...],
    targets: tuple[str, ...],
    attempts: bool,
) -> int:
    """Write rows to FILE: .csv, .csv.gz, .parquet, .jsonl or .xlsx.

    A workbook counts its rows on the first sheet, and has another for each code that failed.

    \b
    bulk-unenroll export customers.unenroll --to review.csv --state review
    bulk-unenroll export customers.unenroll --to ticket.xlsx
    bulk-unenroll export customers.unenroll --to attempts.csv.gz --attempts --target 1001/2001
    bulk-unenroll export customers.unenroll --to s3://bucket/done/customers.parquet
    """
    from bulk_unenroll.commands import export as commands

    number = commands.export(
        folder, to, states=states, codes=codes, targets=targets, attempts=attempts
    )
    if to != commands.STANDARD_OUTPUT:
        click.echo(f"{number:,} {'attempts' if attempts else 'rows'} → {to}")
    return 0


@click.command(cls=OnFolder)
@FOLDER
@click.option(
    "--to",
    type=click.Path(),
    metavar="FILE",
    help="A file here, or in a bucket (s3://, gs://). [default: report.html in the folder]",
)
def report(folder: Path, to: str | None) -> int:
    """Write a page for people: what happened, and what to do.

    Runs write it too, into the run folder.

    \b
    bulk-unenroll report customers.unenroll --to report.html
    bulk-unenroll report customers.unenroll --to s3://bucket/done/customers.html
    """
    from bulk_unenroll.commands import report as commands

    click.echo(f"report → {commands.report(folder, to)}")
    return 0


@click.command(cls=OnFolder)
@FOLDER
@click.argument("customer_id", type=ID)
def explain(folder: Path, customer_id: int) -> int:
    """Show every input row and every attempt of one customer.

    \b
    bulk-unenroll explain customers.unenroll 423789336
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands import explain as commands

    screens.show_explained(screens.out(), commands.explain(folder, customer_id))
    return 0


@click.command(cls=OnFolder)
@FOLDER
def verify(folder: Path) -> int:
    """Verify the ledger: file integrity, row counts and attempts.

    \b
    bulk-unenroll verify customers.unenroll
    """
    from bulk_unenroll.commands import verify as commands

    commands.verify(folder)
    click.echo("ledger verified: file integrity, row counts and attempts are consistent")
    return 0


@click.command()
def codes() -> int:
    """Show the code table: what each code means and what to do.

    \b
    bulk-unenroll codes
    """
    from bulk_unenroll.cli import screens

    screens.show_codes(screens.out())
    return 0
