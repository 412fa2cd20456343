"""Arguments in, exit code out. Heavy modules are imported inside commands, to start fast."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from bulk_unenroll import __version__
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

if TYPE_CHECKING:
    from bulk_unenroll.commands import Going, Inputs
    from bulk_unenroll.outcome import Outcome
    from bulk_unenroll.planning import Plan
    from bulk_unenroll.policy import Share
    from bulk_unenroll.settings import Sending

F = TypeVar("F", bound=Callable[..., Any])
Options = dict[str, Any]

FOLDER = click.argument("folder", type=click.Path(path_type=Path))


# ── the entry point ──────────────────────────────────────────────────────────────────────────────


def main() -> NoReturn:
    """Run the command line and exit. Expected errors end in two lines, never in a traceback."""
    json = "--json" in sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        code = cli.main(standalone_mode=False) or 0
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
    raise SystemExit(code)


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
    _two_lines(stop.code, str(stop), _next(stop))
    return stop.code


def _next(stop: Stop) -> str:
    """The exact next command: the one that the stop names, or the same again once mended."""
    if isinstance(stop, Misconfigured):
        return stop.command or _help()  # the same again might show a secret in a wrong URL
    return stop.command or _same()


def _same(*more: str) -> str:
    return shlex.join(["bulk-unenroll", *sys.argv[1:], *more])


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
    line = " ".join(reason.split())
    click.echo(f"bulk-unenroll: {line} (exit {code})", err=True)
    click.echo(f"next: {then or _same()}", err=True)


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, ensure_ascii=False))


def _finish(outcome: Outcome, options: Options, *, code: int | None = None) -> int:
    """Print how a command ended; its exit code."""
    from bulk_unenroll import console

    if options["json_"]:
        _print_json(outcome.as_json())
    elif not options.get("planned"):
        console.show_outcome(console.out(), outcome)
    code = outcome.exit.code if code is None else code
    if code:
        _two_lines(code, outcome.exit.reason, outcome.next)
    return code


# ── option groups ────────────────────────────────────────────────────────────────────────────────


class Parsed(click.ParamType[object]):
    """An option read by a function that raises ``ValueError``."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _rate(text: str) -> object:
    from bulk_unenroll.settings import parse_rate

    return parse_rate(text)


def _share(text: str) -> object:
    from bulk_unenroll.settings import parse_share

    return parse_share(text)


def _duration(text: str) -> object:
    from bulk_unenroll.settings import parse_duration_s

    return parse_duration_s(text)


def _clock(text: str) -> object:
    return datetime.strptime(text, "%H:%M").time()


def _id(text: str) -> object:
    from bulk_unenroll.rows import parse_id

    parsed = parse_id(text)
    if not isinstance(parsed, int):
        raise ValueError(f"{text!r} is no id")
    return parsed


def _column(text: str) -> object:
    name, equals, header = text.partition("=")
    if not equals or name not in ("customerId", "targetGroupId", "targetId", "orgId"):
        raise ValueError(
            f"{text!r}: write NAME=HEADER with customerId, targetGroupId, targetId or orgId"
        )
    return name, header


RATE, SHARE = Parsed("N/s|N/min|N/h", _rate), Parsed("N|P%", _share)
ID, COLUMN = Parsed("N", _id), Parsed("NAME=HEADER", _column)


def _grouped(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


reading_options = _grouped(
    click.option("--out", type=click.Path(path_type=Path), help="Run folder."),
    click.option("--column", "columns", multiple=True, type=COLUMN, help="Map an id to a header."),
    click.option("--target-group-id", type=ID, help="The group, for files without it."),
    click.option("--target-id", type=ID, help="The target rule, for files without it."),
    click.option("--data-scope-org", type=ID, help="Act on this connected org (OTHER)."),
    click.option("--delimiter", help="Instead of telling it from the header: , ; | or tab."),
    click.option("--encoding", help="Instead of UTF-8 or UTF-16 with BOM, such as cp1252."),
    click.option(
        "--max-invalid",
        type=SHARE,
        help="More invalid rows than that: refuse. [default: 10% for run]",
    ),
)

pace_options = _grouped(
    click.option(
        "--rate",
        type=RATE,
        default="100/min",
        show_default=True,
        help="Never more starts than that in any sliding window.",
    ),
    click.option(
        "--in-doubt",
        type=click.Choice(["resend", "hold"]),
        default="resend",
        show_default=True,
        help="Unanswered calls: send again within 15 minutes, or leave to a person.",
    ),
)

sending_options = _grouped(
    click.option(
        "--base-url", metavar="URL", help="Prefix included. [env: BULK_UNENROLL_BASE_URL]"
    ),
    click.option("--sandbox", is_flag=True, help="Send to a local fake of the API instead."),
    click.option(
        "--sandbox-scenario",
        type=click.Path(path_type=Path),
        help="How the fake misbehaves (with --sandbox).",
    ),
    click.option("--concurrency", type=click.IntRange(1, 1024), default=32, show_default=True),
    click.option(
        "--max-attempts",
        type=click.IntRange(1, 100),
        default=5,
        show_default=True,
        help="Per customer/target and run.",
    ),
    click.option(
        "--read-timeout",
        type=click.FloatRange(0, 3600, min_open=True),
        default=75.0,
        show_default=True,
        metavar="S",
        help="Seconds from sending to the answer's last byte.",
    ),
    click.option(
        "--connect-timeout",
        type=click.FloatRange(0, 3600, min_open=True),
        default=10.0,
        show_default=True,
        metavar="S",
        help="Seconds for the connection.",
    ),
    click.option(
        "--canary",
        type=click.IntRange(0),
        default=10,
        show_default=True,
        help="So many rows go first; if none ends well, stop. 0: off.",
    ),
    click.option(
        "--max-failures",
        type=SHARE,
        default="50%",
        show_default=True,
        help="Stop above that; 0: at the first, 100%: never.",
    ),
    click.option(
        "--stop-after", type=Parsed("DURATION", _duration), help="Such as 90s, 15m, 1h30m."
    ),
    click.option("--stop-at", type=Parsed("HH:MM", _clock), help="Local time."),
    click.option("--expect", type=click.IntRange(0), help="Refuse unless so many would be called."),
    click.option("--yes", is_flag=True, help="Ask no question."),
    click.option("--no-export", is_flag=True, help="Skip results.csv and failed.csv."),
)

output_options = _grouped(
    click.option("--json", "json_", is_flag=True, help="One JSON object on stdout at the end."),
    click.option("--log-format", type=click.Choice(["console", "json"])),
    click.option("--log-path", "--log-file", type=click.Path(path_type=Path), metavar="PATH"),
    click.option("-v", "--verbose", is_flag=True, help="Log every call."),
    click.option("-q", "--quiet", is_flag=True, help="Log warnings only, no progress."),
    click.option("--log-ids", is_flag=True, help="Let customer ids into the logs."),
)


def _set_up_log(options: Options) -> None:
    from bulk_unenroll import log

    path: Path | None = options["log_path"]
    try:
        file = _private(path) if path else None
    except OSError as error:
        raise UsageError(f"cannot write the log to {path}: {error.strerror}") from None
    terminal = sys.stderr.isatty() and not file
    log.set_up(
        json=(options["log_format"] or ("console" if terminal else "json")) == "json",
        verbosity=int(options["verbose"]) - int(options["quiet"]),
        file=file,
        colours=terminal and "NO_COLOR" not in os.environ,
    )


def _private(path: Path) -> Any:
    """``path`` for appending, made 0600: a log may hold customer ids."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", buffering=1)


def _inputs(names: tuple[str, ...], options: Options, max_invalid: Share | None = None) -> Inputs:
    from bulk_unenroll.commands import Inputs
    from bulk_unenroll.rows import Reading

    reading = Reading(
        delimiter=_delimiter(options["delimiter"]),
        encoding=options["encoding"],
        columns=options["columns"],
        group=options["target_group_id"],
        target=options["target_id"],
        org=options["data_scope_org"],
    )
    return Inputs(names, reading, options["max_invalid"] or max_invalid)


def _delimiter(given: str | None) -> str | None:
    named = {"tab": "\t", "\\t": "\t"}.get(given or "", given)
    if named is not None and (len(named) != 1 or named in '"\r\n'):
        raise click.BadParameter("--delimiter takes one character, or the word tab")
    return named


def _sending(options: Options) -> Sending:
    from bulk_unenroll.policy import Share
    from bulk_unenroll.settings import Sending

    return Sending(
        rate=options["rate"],
        concurrency=options.get("concurrency", 1),
        max_attempts=options.get("max_attempts", 1),
        read_timeout_s=options.get("read_timeout", 0.0),
        connect_timeout_s=options.get("connect_timeout", 0.0),
        canary=options.get("canary", 0),
        max_failures=options.get("max_failures", Share(100, percent=True)),
        resend=options["in_doubt"] == "resend",
    )


def _going(options: Options) -> Going:
    from bulk_unenroll.commands import Going

    return Going(
        base_url=options["base_url"],
        sandbox=options["sandbox"],
        sandbox_scenario=options["sandbox_scenario"],
        expect=options["expect"],
        stop_in_s=_stop_in_s(options),
        export=not options["no_export"],
        log_ids=options["log_ids"],
        quiet=options["quiet"] or options["json_"],
        began_s=time.monotonic(),
    )


def _stop_in_s(options: Options) -> float | None:
    waits = []
    if options["stop_after"] is not None:
        waits.append(options["stop_after"])
    if options["stop_at"] is not None:
        now = datetime.now().astimezone()
        at = now.replace(
            hour=options["stop_at"].hour, minute=options["stop_at"].minute, second=0, microsecond=0
        )
        waits.append(((at if at > now else at + timedelta(days=1)) - now).total_seconds())
    return min(waits, default=None)


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
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@reading_options
@pace_options
@output_options
def plan(inputs: tuple[str, ...], **options: Any) -> int:
    """Show what a run of INPUT... would do. Cannot send.

    INPUT is a CSV, TSV or Parquet file (text also .gz, .bz2, .xz), a glob, a folder of Parquet
    files, or - for CSV on standard input.
    """
    from bulk_unenroll import commands, console
    from bulk_unenroll.sources import default_folder

    _set_up_log(options)
    folder = options["out"] or default_folder(inputs)

    def show(seen: Plan) -> None:
        if not options["json_"]:
            console.show_plan(console.out(), seen, options["rate"], str(folder))

    outcome = commands.plan(folder, _inputs(inputs, options), _sending(options), show)
    return _finish(outcome, {**options, "planned": True})


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
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
    from bulk_unenroll import commands
    from bulk_unenroll.policy import Share
    from bulk_unenroll.sources import default_folder

    _set_up_log(options)
    folder = options["out"] or default_folder(inputs)

    def confirm(seen: Plan) -> None:
        _ask(seen, folder, options)

    given = _inputs(inputs, options, Share(10, percent=True))
    outcome = commands.run(folder, given, _sending(options), _going(options), confirm)
    return _finish(outcome, options)


def _ask(seen: Plan, folder: Path, options: Options) -> None:
    """Show the plan, then let a person type the number of customers."""
    from bulk_unenroll import console

    screen = console.err() if options["json_"] else console.out()
    if not options["quiet"] or not options["yes"]:
        console.show_plan(screen, seen, options["rate"], str(folder))
    if options["yes"] or seen.to_call == 0:
        return
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on: nothing was sent", command=_same("--yes"))
    question = "This cannot be undone. Type the number of customers to call"
    typed = click.prompt(question, err=True, default="", show_default=False)
    if typed.strip() != str(seen.to_call):
        raise UsageError(f"{typed!r} is not {seen.to_call}: nothing was sent")


@cli.command()
@FOLDER
@pace_options
@sending_options
@output_options
def resume(folder: Path, **options: Any) -> int:
    """Go on with what is confirmed and not settled; needs no input file."""
    from bulk_unenroll import commands

    _set_up_log(options)
    return _finish(commands.resume(folder, _sending(options), _going(options)), options)


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
@click.option("--target", "targets", multiple=True, metavar="G/T", help="Only this target.")
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
    from bulk_unenroll import commands

    _set_up_log(options)
    chosen = [State(state) for state in states] or [State.FAILED, State.BLOCKED]
    reopening = commands.Reopening(chosen, codes, targets)
    outcome = commands.resume(folder, _sending(options), _going(options), reopening)
    return _finish(outcome, options)


@cli.command()
@FOLDER
@click.option("--json", "json_", is_flag=True, help="One JSON object on stdout.")
def status(folder: Path, json_: bool) -> int:
    """Show where a folder stands; works while a run is going."""
    from bulk_unenroll import commands, console

    found = commands.status(folder)
    if json_:
        _print_json(found.outcome.as_json())
    else:
        console.show_status(console.out(), found)
    return 0


@cli.command()
@FOLDER
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--state", "states", multiple=True, help="Only rows in this state.")
@click.option("--code", "codes", multiple=True, help="Only rows with this code.")
def export(folder: Path, to: Path, states: tuple[str, ...], codes: tuple[str, ...]) -> int:
    """Write rows to FILE: .csv, .parquet or .jsonl by its ending."""
    from bulk_unenroll import commands

    number = commands.export(folder, to, states, codes)
    click.echo(f"{number:,} rows → {to}")
    return 0


@cli.command()
@FOLDER
@click.argument("customer_id", type=ID)
def explain(folder: Path, customer_id: int) -> int:
    """Show every input row and every attempt of one customer."""
    from bulk_unenroll import commands, console

    console.show_explained(console.out(), commands.explain(folder, customer_id))
    return 0


@cli.command()
@FOLDER
def verify(folder: Path) -> int:
    """Prove the ledger: integrity, conservation, attempts against states."""
    from bulk_unenroll import commands

    commands.verify(folder)
    click.echo("the ledger is whole: integrity, conservation and attempts agree")
    return 0


@cli.command()
def codes() -> int:
    """Show the code table: what each code means and what to do."""
    from bulk_unenroll import console

    console.show_codes(console.out())
    return 0


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--scenario", type=click.Path(path_type=Path), help="How it misbehaves (TOML).")
@click.option("--journal", type=click.Path(path_type=Path), help="Write every request here.")
def sandbox(port: int, scenario: Path | None, journal: Path | None) -> int:
    """Run a local fake of the API on 127.0.0.1, for rehearsals. Ctrl-C ends it."""
    import asyncio

    from bulk_unenroll import sandbox as fake

    try:
        asyncio.run(fake.serve(port, scenario, journal, click.echo))
    except fake.ScenarioError as error:
        raise InputRefused(f"the scenario is wrong: {error}", "mend the scenario") from None
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}", "try --port 0"
        ) from None
    return 0
