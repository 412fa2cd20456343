"""The options of the commands, and the settings that they become."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bulk_unenroll.errors import UsageError

if TYPE_CHECKING:
    from bulk_unenroll.commands.plan import Inputs
    from bulk_unenroll.settings import Limit, RunSettings, SendSettings

F = TypeVar("F", bound=Callable[..., Any])
Options = dict[str, Any]
TIMEOUT_MOST_S = 3600


class Parsed(click.ParamType[object]):
    """An option read by a function that raises ``ValueError``."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The name as it is: ``N/s`` and ``N/S`` are not the same."""
        return self.name

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
    from bulk_unenroll.settings import parse_limit

    return parse_limit(text)


def _duration(text: str) -> object:
    from bulk_unenroll.settings import parse_duration_s

    return parse_duration_s(text)


def _seconds(text: str) -> object:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_MOST_S:  # not a number is neither
        raise ValueError(f"{text!r}: give seconds, more than 0 and at most {TIMEOUT_MOST_S}")
    return seconds


def _clock(text: str) -> object:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise ValueError(f"{text!r} is no time of day: write HH:MM, such as 05:00") from None


def _id(text: str) -> object:
    from bulk_unenroll.inputs.ids import parse_id

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


def _target(text: str) -> object:
    group, slash, target = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r}: write GROUP/TARGET, such as 1001/2001")
    return f"{_id(group)}/{_id(target)}"


RATE, SHARE = Parsed("N/s|N/min|N/h", _rate), Parsed("N|P%", _share)
ID, COLUMN = Parsed("N", _id), Parsed("NAME=HEADER", _column)
TARGET, SECONDS = Parsed("G/T", _target), Parsed("S", _seconds)


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
    click.option("--sheet", help="Of a workbook with several, the one to read."),
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
    click.option(
        "--pace",
        type=click.Choice(["fixed", "adaptive"]),
        default="fixed",
        show_default=True,
        help="adaptive: below --rate, as fast as the API bears.",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 1024),
        default=32,
        show_default=True,
        help="Most calls in flight.",
    ),
    click.option(
        "--max-attempts",
        type=click.IntRange(1, 100),
        default=5,
        show_default=True,
        help="Per customer/target and run.",
    ),
    click.option(
        "--read-timeout",
        type=SECONDS,
        default=75.0,
        show_default=True,
        help="Seconds from sending to the answer's last byte.",
    ),
    click.option(
        "--connect-timeout",
        type=SECONDS,
        default=10.0,
        show_default=True,
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
        "--stop-after",
        type=Parsed("DURATION", _duration),
        help="Stop cleanly then: 90s, 15m, 1h30m from the start.",
    ),
    click.option(
        "--stop-at", type=Parsed("HH:MM", _clock), help="Stop cleanly then, in local time."
    ),
    click.option("--expect", type=click.IntRange(0), help="Refuse unless so many would be called."),
    click.option("--yes", is_flag=True, help="Ask no question."),
    click.option("--no-export", is_flag=True, help="Skip results.csv, failed.csv and report.html."),
    click.option(
        "--metrics-file",
        type=click.Path(path_type=Path),
        help="For Prometheus' textfile collector.",
    ),
    click.option(
        "--notify",
        type=click.Choice(["end", "halt", "never"]),
        default="end",
        show_default=True,
        help="When to tell [env: BULK_UNENROLL_NOTIFY_URLS], apprise URLs.",
    ),
)

output_options = _grouped(
    click.option("--json", "json_", is_flag=True, help="One JSON object on stdout at the end."),
    click.option(
        "--log-format",
        type=click.Choice(["console", "json"]),
        help="[default: console on a terminal, else json]",
    ),
    click.option(
        "--log-path",
        "--log-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Where to log. [default: standard error]",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Log every call."),
    click.option("-q", "--quiet", is_flag=True, help="Log warnings only, no progress."),
    click.option("--log-ids", is_flag=True, help="Let customer ids into the logs."),
)


def set_up_log(options: Options) -> None:
    """Set up the log as the options say; raises ``UsageError``."""
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


def inputs_of(names: tuple[str, ...], options: Options, max_invalid: Limit | None = None) -> Inputs:
    """What to read, and how; ``max_invalid`` where the option is not given."""
    from bulk_unenroll.commands.plan import Inputs
    from bulk_unenroll.inputs.mapping import ReadSettings

    reading = ReadSettings(
        delimiter=_delimiter(options["delimiter"]),
        encoding=options["encoding"],
        sheet=options["sheet"],
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


def sending_of(options: Options) -> SendSettings:
    """How to send; a plan has the pace alone."""
    from bulk_unenroll.settings import Limit, SendSettings

    return SendSettings(
        rate=options["rate"],
        concurrency=options.get("concurrency", 1),
        max_attempts=options.get("max_attempts", 1),
        read_timeout_s=options.get("read_timeout", 0.0),
        connect_timeout_s=options.get("connect_timeout", 0.0),
        canary=options.get("canary", 0),
        max_failures=options.get("max_failures", Limit(100, percent=True)),
        resend=options["in_doubt"] == "resend",
        adaptive=options.get("pace") == "adaptive",
    )


def going_of(options: Options) -> RunSettings:
    """Everything else about going through with it."""
    from bulk_unenroll.settings import RunSettings

    return RunSettings(
        base_url=options["base_url"],
        sandbox=options["sandbox"],
        sandbox_scenario=options["sandbox_scenario"],
        expect=options["expect"],
        stop_in_s=_stop_in_s(options),
        export=not options["no_export"],
        log_ids=options["log_ids"],
        quiet=options["quiet"] or options["json_"],
        json=options["json_"],
        metrics_file=options["metrics_file"],
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
