"""Arguments in, exit code out. Heavy modules are imported inside commands, to start fast."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from bulk_unenroll import __version__
from bulk_unenroll.cli.init import init
from bulk_unenroll.cli.job import job
from bulk_unenroll.cli.options import (
    ID,
    SECONDS,
    TARGET,
    Options,
    going_of,
    inputs_of,
    output_options,
    pace_options,
    reading_options,
    sending_of,
    sending_options,
    set_up_log,
)
from bulk_unenroll.errors import (
    EXIT_INTERNAL,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    InputRefused,
    Interrupted,
    Misconfigured,
    Stop,
    UsageError,
)
from bulk_unenroll.model import REOPENABLE, State
from bulk_unenroll.urls import without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.reports.plan import Plan
    from bulk_unenroll.reports.summary import Summary

PROGRAM = "bulk-unenroll"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTIFY_URLS = "BULK_UNENROLL_NOTIFY_URLS"
FOLDER = click.argument("folder", type=click.Path(path_type=Path))
INPUTS = click.argument("inputs", nargs=-1, required=True, type=click.Path(), metavar="INPUT...")


# ── the entry point ──────────────────────────────────────────────────────────────────────────────


def main() -> NoReturn:
    """Run the command line and exit. Expected errors end in two lines, never in a traceback."""
    json = "--json" in sys.argv[1:]
    _set_up()
    try:
        code = cli.main(prog_name=PROGRAM, standalone_mode=False) or 0
    except click.ClickException as error:
        code = _ended(UsageError(error.format_message(), command=_help()), json=json)
    except click.Abort:
        code = _ended(Interrupted(EXIT_SIGINT, "interrupted: nothing was sent"), json=json)
    except Stop as stop:
        code = _ended(stop, json=json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = _broken(error, json=json)
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    for number in SIGNALS:  # Python resets handlers while it ends, but not this
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(code)


def _set_up() -> None:
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _interrupt(number: int, _: FrameType | None) -> None:
    code = EXIT_SIGINT if number == signal.SIGINT else EXIT_SIGTERM
    raise Interrupted(code, f"interrupted by {signal.Signals(number).name}")


def _ended(stop: Stop, *, json: bool) -> int:
    """Report an expected end, as an object if asked for, and in two lines on stderr."""
    if json:
        _print_json(
            {
                "folder": None,
                "run_id": None,
                "exit": {"code": stop.code, "reason": str(stop)},
                "next": _next(stop),
            }
        )
    if sys.argv[1:2] in (["run"], ["resume"], ["retry"], ["job"]) and not sys.stderr.isatty():
        _tell(stop.code, None, "halt")
    _two_lines(stop.code, str(stop), _next(stop))
    return stop.code


def _next(stop: Stop) -> str:
    """The exact next command: the one that the stop names, or the same again once mended."""
    if isinstance(stop, Misconfigured):
        return stop.command or _help()  # the same again might show a secret in a wrong URL
    return stop.command or _same(*stop.lacking)


def _same(*more: str, instead: str | None = None) -> str:
    """The same command line again, or with another command in its place."""
    words = [without_secrets(word) for word in sys.argv[1:] if word != "--json"]
    return shlex.join(["bulk-unenroll", instead or words[0], *words[1:], *more] if words else [])


def _is_job() -> bool:
    return sys.argv[1:2] == ["job"]


def _help() -> str:
    name = next((word for word in sys.argv[1:] if word in cli.commands), None)
    return f"bulk-unenroll {name} --help" if name else "bulk-unenroll --help"


def _broken(error: Exception, *, json: bool) -> int:
    import traceback

    # plain frames only: local variables hold credentials
    traceback.print_exception(error, limit=-8)
    stop = Stop(f"internal error: {type(error).__name__}", "please report this")
    return _ended(stop, json=json) or EXIT_INTERNAL


def _two_lines(code: int, reason: str, then: str) -> None:
    click.echo(f"bulk-unenroll: {_one_line(reason)} (exit {code})", err=True)
    click.echo(f"next: {_one_line(then)}", err=True)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, ensure_ascii=False))


def _finish(summary: Summary, options: Options, *, code: int | None = None) -> int:
    """Print how a command ended; its exit code."""
    from bulk_unenroll.cli import screens as console

    code = summary.exit.code if code is None else code
    resumed = _is_job() and summary.next.startswith("bulk-unenroll resume")
    if resumed or (code and not summary.next):  # a job knows its credentials
        summary = replace(summary, next=_same())
    if options["json_"]:
        _print_json(summary.as_json())
    elif not options.get("planned"):
        console.show_summary(console.out(), summary)
    _tell(code, summary, options.get("notify", "never"))
    if code:
        _two_lines(code, summary.exit.reason, summary.next)
    return code


def _tell(code: int, summary: Summary | None, when: str) -> None:
    """Let people know that a run ended, if they asked for it."""
    urls = _notify_urls()
    if not urls or when == "never":
        return
    try:
        from bulk_unenroll.reports import notify
    except ImportError:
        click.echo("nobody was told: pip install 'bulk-unenroll[notify]'", err=True)
        return
    if when == "end" or notify.is_halt(code):
        notify.notify(urls, code, summary)


def _notify_urls() -> str:
    file = os.environ.get("BULK_UNENROLL_NOTIFY_URLS_FILE")
    with suppress(OSError, UnicodeDecodeError):
        return Path(file).read_text("utf-8") if file else os.environ.get(NOTIFY_URLS, "")
    return ""


# ── the commands ─────────────────────────────────────────────────────────────────────────────────


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Take many customers out of Loyalty+ milestones and streaks, one accountable call at a time.

    \b
    bulk-unenroll plan customers.csv                    see what a run would do
    bulk-unenroll run customers.csv --sandbox           rehearse it on this machine
    bulk-unenroll run customers.csv --base-url URL      do it
    bulk-unenroll resume customers.unenroll             go on after a stop
    bulk-unenroll retry customers.unenroll --code 310011
    """


@cli.command()
@INPUTS
@reading_options
@pace_options
@output_options
def plan(inputs: tuple[str, ...], **options: Any) -> int:
    """Show what a run of INPUT... would do. Cannot send.

    INPUT is a CSV, TSV, Parquet or .xlsx file (text also .gz, .bz2, .xz), a glob, a folder of
    Parquet files, an address (s3://, gs://, https://), or - for CSV on standard input.

    \b
    bulk-unenroll plan customers.csv
    bulk-unenroll plan members.xlsx --sheet May --column customerId="Member No"
    bulk-unenroll plan 's3://bucket/drop/*.parquet' --out drop.unenroll
    """
    from bulk_unenroll.cli import screens as console
    from bulk_unenroll.commands import plan as planning
    from bulk_unenroll.inputs.finding import default_folder
    from bulk_unenroll.settings import RUN_MAX_INVALID

    set_up_log(options)
    folder = options["out"] or default_folder(inputs)

    def show(seen: Plan) -> None:
        if not options["json_"]:
            console.show_plan(console.out(), seen, options["rate"], str(folder))

    summary = planning.plan(folder, inputs_of(inputs, options), sending_of(options), show)
    counts = summary.counts
    refused = counts is not None and RUN_MAX_INVALID.exceeded(counts.invalid, counts.read)
    summary = replace(summary, next=_same() if refused else _same(instead="run"))
    return _finish(summary, {**options, "planned": True})


@cli.command()
@INPUTS
@reading_options
@pace_options
@sending_options
@output_options
def run(inputs: tuple[str, ...], **options: Any) -> int:
    """Plan, confirm, send, record, export. On an existing folder it continues.

    \b
    bulk-unenroll run customers.csv --base-url https://HOST/v3.1 --rate 100/min
    bulk-unenroll run members.csv --target-group-id 1001 --target-id 2001 \\
        --column customerId="Member No"
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands import run as commands
    from bulk_unenroll.inputs.finding import default_folder
    from bulk_unenroll.settings import RUN_MAX_INVALID

    set_up_log(options)
    folder = options["out"] or default_folder(inputs)

    def confirm(seen: Plan) -> None:
        _ask(seen, folder, options)

    given = inputs_of(inputs, options, RUN_MAX_INVALID)
    summary = commands.run(
        folder, given, sending_of(options), going_of(options), confirm, screens.watching
    )
    return _finish(summary, options)


def _ask(seen: Plan, folder: Path, options: Options) -> None:
    """Show the plan, then let a person type the number of customers."""
    from bulk_unenroll.cli import screens as console

    screen = console.err() if options["json_"] else console.out()
    if not options["quiet"] or not options["yes"]:
        console.show_plan(screen, seen, options["rate"], str(folder))
    if options["yes"] or seen.to_call == 0:
        return
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on: nothing was sent", command=_same("--yes"))
    question = "This cannot be undone. Type the number of customers to call"
    try:
        typed = click.prompt(question, err=True, default="", show_default=False)
    except click.Abort:
        raise UsageError("no answer: nothing was sent") from None
    if typed.strip() != str(seen.to_call):
        raise UsageError(f"{typed!r} is not {seen.to_call}: nothing was sent")


@cli.command()
@FOLDER
@pace_options
@sending_options
@output_options
def resume(folder: Path, **options: Any) -> int:
    """Go on with what is confirmed and not settled; needs no input file.

    \b
    bulk-unenroll resume customers.unenroll
    bulk-unenroll resume customers.unenroll --stop-at 05:00
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands import run as commands

    set_up_log(options)
    return _finish(
        commands.resume(folder, sending_of(options), going_of(options), screens.watching), options
    )


@cli.command()
@FOLDER
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(sorted(state.value for state in REOPENABLE)),
    help="Reopen rows in this state. [default: failed and blocked]",
)
@click.option("--code", "codes", multiple=True, help="Only rows with this code.")
@click.option("--target", "targets", multiple=True, type=TARGET, help="Only this target.")
@pace_options
@sending_options
@output_options
def retry(
    folder: Path,
    states: tuple[str, ...],
    codes: tuple[str, ...],
    targets: tuple[str, ...],
    **options: Any,
) -> int:
    """Reopen failed rows, then go on as resume does.

    \b
    bulk-unenroll retry customers.unenroll --code 310011
    bulk-unenroll retry customers.unenroll --state in_doubt
    """
    from bulk_unenroll.cli import screens
    from bulk_unenroll.commands import run as commands
    from bulk_unenroll.ledger.interface import Reopening

    set_up_log(options)
    chosen = [State(state) for state in states] or [State.FAILED, State.BLOCKED]
    reopening = Reopening(chosen, codes, targets)
    summary = commands.resume(
        folder, sending_of(options), going_of(options), screens.watching, reopening
    )
    return _finish(summary, options)


@cli.command()
@FOLDER
@click.option("--json", "json_", is_flag=True, help="One JSON object on stdout.")
@click.option("--follow", is_flag=True, help="Show it again and again, until the run ends.")
@click.option("--every", type=SECONDS, default=2.0, show_default=True, help="With --follow.")
def status(folder: Path, json_: bool, follow: bool, every: float) -> int:
    """Show where a folder stands; works while a run is going.

    With --follow and --json, one object a line.

    \b
    bulk-unenroll status customers.unenroll --follow
    """
    from bulk_unenroll.cli import screens as console
    from bulk_unenroll.commands import status as inspection

    with console.showing(console.out()) as show:
        while True:
            found = inspection.status(folder)
            if json_:
                _print_json(found.summary.as_json())
            else:
                show(found)
            if not (follow and found.going_on):
                return 0
            time.sleep(every)


@cli.command()
@FOLDER
@click.option(
    "--to",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Here, or in a bucket (s3://, gs://).",
)
@click.option("--state", "states", multiple=True, help="Only rows in this state.")
@click.option("--code", "codes", multiple=True, help="Only rows with this code.")
def export(folder: Path, to: str, states: tuple[str, ...], codes: tuple[str, ...]) -> int:
    """Write rows to FILE: .csv, .parquet, .jsonl or .xlsx by its ending.

    A workbook counts its rows on the first sheet and has one for each code that failed.

    \b
    bulk-unenroll export customers.unenroll --to review.csv --state review
    bulk-unenroll export customers.unenroll --to ticket.xlsx
    bulk-unenroll export customers.unenroll --to s3://bucket/done/customers.parquet
    """
    from bulk_unenroll.commands import export as exporting

    number = exporting.export(folder, to, states, codes)
    click.echo(f"{number:,} rows → {to}")
    return 0


@cli.command()
@FOLDER
@click.option(
    "--to",
    type=click.Path(),
    metavar="FILE",
    help="Here, or in a bucket (s3://, gs://). [default: report.html in the folder]",
)
def report(folder: Path, to: str | None) -> int:
    """Write one page for people: what happened, what to do, how fast, by whom.

    Runs write it too, into the run folder. With the extra `report` it has charts.

    \b
    bulk-unenroll report customers.unenroll --to report.html
    bulk-unenroll report customers.unenroll --to s3://bucket/done/customers.html
    """
    from bulk_unenroll.commands import export as exporting

    click.echo(f"report → {exporting.report(folder, to)}")
    return 0


@cli.command()
@FOLDER
@click.argument("customer_id", type=ID)
def explain(folder: Path, customer_id: int) -> int:
    """Show every input row and every attempt of one customer.

    \b
    bulk-unenroll explain customers.unenroll 423789336
    """
    from bulk_unenroll.cli import screens as console
    from bulk_unenroll.commands import explain as explaining

    console.show_explained(console.out(), explaining.explain(folder, customer_id))
    return 0


@cli.command()
@FOLDER
def verify(folder: Path) -> int:
    """Prove the ledger: integrity, conservation, attempts against states.

    \b
    bulk-unenroll verify customers.unenroll
    """
    from bulk_unenroll.commands import explain as explaining

    explaining.verify(folder)
    click.echo("the ledger is whole: integrity, conservation and attempts agree")
    return 0


@cli.command()
def codes() -> int:
    """Show the code table: what each code means and what to do.

    \b
    bulk-unenroll codes
    """
    from bulk_unenroll.cli import screens as console

    console.show_codes(console.out())
    return 0


@cli.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0: any that is free.",
)
@click.option("--scenario", type=click.Path(path_type=Path), help="How it misbehaves (TOML).")
@click.option("--journal", type=click.Path(path_type=Path), help="Write every request here.")
def sandbox(port: int, scenario: Path | None, journal: Path | None) -> int:
    """Run a local fake of the API on 127.0.0.1, for rehearsals. Ctrl-C ends it.

    \b
    bulk-unenroll sandbox --port 8080 --scenario rough-night.toml
    """
    import asyncio

    from bulk_unenroll import sandbox as fake

    try:
        asyncio.run(fake.serve(port, scenario, journal, click.echo))
    except fake.ScenarioError as error:
        raise InputRefused(f"the scenario is wrong: {error}", "mend the scenario") from None
    except OSError as error:
        raise _no_sandbox(port, error) from None
    return 0


def _no_sandbox(port: int, error: OSError) -> UsageError:
    if error.filename:
        return UsageError(f"cannot open {error.filename}: {error.strerror}", "give another path")
    return UsageError(f"cannot listen on port {port}: {error.strerror}", "try --port 0")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print what lets SHELL complete commands, options and paths.

    \b
    bulk-unenroll completion bash >> ~/.bashrc
    bulk-unenroll completion zsh >> ~/.zshrc
    bulk-unenroll completion fish > ~/.config/fish/completions/bulk-unenroll.fish
    """
    from click.shell_completion import get_completion_class

    completing = get_completion_class(shell)
    click.echo(completing(cli, {}, PROGRAM, "_BULK_UNENROLL_COMPLETE").source())
    return 0


cli.add_command(init)
cli.add_command(job)
