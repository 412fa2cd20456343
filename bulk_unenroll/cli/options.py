"""The options of the commands: one table, from which all that is said of an option is made.

That is: the options of the command line with their help, the keys of a job file with their types
(``job_keys``), the lines of a new job file (``job_template``), and ``docs/reference.md``.

To add an option, write two things:

1. a row of ``OPTIONS``, at the place where ``--help`` shall list it::

       Option("max_customers", IntRange(1), SENDING, "limits", "Refuse to call more than N."),

   which is ``--max-customers N`` of run, resume and retry, and ``limits.max_customers`` of a job;
2. a field of that name, which holds the default, in the settings that commands read:
   ``SendSettings`` (how calls are sent), ``RunSettings`` (all else of a run) or ``ReadSettings``
   (what the rows mean), and its keyword in ``commands.options``, which fills it. What only the
   command line needs has no field.

Values of a new kind get a parser in ``settings``, for Python callers give the same texts, and a
type in ``option_types``. ``python -m tests.reference`` writes the reference again. Options that
only one command takes, and no job file holds, are written at that command.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click import Choice, IntRange
from click.core import ParameterSource

from bulk_unenroll.cli.option_types import (
    CODE,
    COLUMN,
    DELIMITER,
    DURATION,
    ENGINE,
    EXPECT,
    FLAG,
    ID,
    LIMIT,
    NAME,
    PATH,
    PERCENT,
    PLAN_ID,
    RATE,
    SECONDS,
    TARGET,
    TARGET_CAP,
    TIME_OF_DAY,
    URL,
    WINDOW,
)
from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.model import REOPENABLE
from bulk_unenroll.reports.alarms.raising import NAMES as ALARMS
from bulk_unenroll.settings import CHOICES, RANGES, RUN_MAX_INVALID, RunSettings, SendSettings

if TYPE_CHECKING:
    Kind = click.ParamType[Any]

Given = dict[str, Any]
"""The values of a command's options, by name."""
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

RETRY: Final = ("retry",)
SENDING: Final = ("run", "resume", "retry")
READING: Final = ("plan", "run")
READING_OR_PEEK: Final = (*READING, "peek")
READING_OR_INIT: Final = (*READING_OR_PEEK, "init")
STATES: Final = sorted(state.value for state in REOPENABLE)
ALL: Final = ("plan", *SENDING)
SENDING_OR_WORK: Final = (*SENDING, "work")
ALL_OR_WORK: Final = (*ALL, "work")
ALL_AND_LOOKS: Final = (*ALL_OR_WORK, "status", "peek")


@dataclass(frozen=True, slots=True)
class Option:
    """An option of ``commands``, and the key of a job file that says the same.

    ``name`` is its name among the values of a command, and that of the field which it fills.
    ``job`` is the section of a job file, or ``section.key`` where the key has another name.
    ``flags`` are what is typed, with spaces between: ``--name`` unless given. ``job_help`` says
    what the key is for where ``help`` does not fit. ``own_default``: where no field holds it.
    """

    name: str
    type: Kind
    commands: Sequence[str]
    job: str
    help: str
    flags: str = ""
    multiple: bool = False
    job_help: str = ""
    own_default: object = None

    @property
    def default(self) -> object:
        """The value where none is given."""
        return DEFAULTS.get(self.name, self.own_default)

    @property
    def place_in_job(self) -> tuple[str, str]:
        """The section and the key of a job file that say it."""
        section, _, key = self.job.partition(".")
        return section, key or self.name

    @property
    def typed(self) -> list[str]:
        """What is typed, such as ``-v`` and ``--verbose``."""
        flags = self.flags or f"--{self.name.removesuffix('_s').replace('_', '-')}"
        return flags.split()

    def as_click(self) -> Callable[[Decorated], Decorated]:
        """Decorates the function of a click command."""
        more = self._flag() if self.type is FLAG else self._value()
        return click.option(*self.typed, self.name, type=self.type, help=self.help, **more)

    def _flag(self) -> dict[str, Any]:
        """A flag such as --no-export turns off what is on without it."""
        # a function, because click 8.3.0 takes a plain True for the flag's own value
        default = bool(self.default)
        return {"is_flag": True, "default": lambda: default, "flag_value": not default}

    def _value(self) -> dict[str, Any]:
        found: dict[str, Any] = {"multiple": self.multiple}
        if isinstance(self.type, IntRange):
            found["metavar"] = "N"
        if self.default is not None and not self.multiple:
            found |= {"default": self.default, "show_default": True}
        return found


DEFAULTS: Final[Mapping[str, object]] = {
    field.name: getattr(settings, field.name)
    for settings in (SendSettings(), RunSettings(), ReadSettings())
    for field in fields(settings)
}

# fmt: off
OPTIONS: Final = (
    # ── what to try again ──
    Option("states", Choice(STATES), RETRY, "retry",
           "Reopen rows in this state. [default: failed and blocked]",
           flags="--state", multiple=True),
    Option("codes", CODE, RETRY, "retry",
           "Reopen only rows with this code.",
           flags="--code", multiple=True),
    Option("targets", TARGET, RETRY, "retry",
           "Reopen only rows of this target: GROUP/TARGET.",
           flags="--target", multiple=True),
    # ── what to read ──
    Option("out", PATH, READING, "output.folder",
           "The run folder. [default: named after the input, with .unenroll]",
           job_help="The run folder; {date} as in input.files."),
    Option("ledger", NAME, READING, "ledger.url",
           "Keep the ledger in PostgreSQL, where other machines can join:"
           " postgresql://USER@HOST/DATABASE. [env: BULK_UNENROLL_LEDGER_URL]"),
    Option("job", NAME, READING, "ledger.job",
           "The name of the job in that ledger. [default: named after the input]"),
    Option("on", ENGINE, SENDING, "ledger.engine",
           "Place further senders of a shared job on a Dask cluster, while the run goes on here."),
    Option("senders", IntRange(*RANGES["senders"]), SENDING, "ledger",
           "How many senders to place there."),
    Option("columns", COLUMN, READING_OR_INIT, "input",
           "Read the id NAME from the column HEADER.",
           flags="--column", multiple=True,
           job_help='Headers with other names: { customerId = "Member No" }.'),
    Option("target_group_id", ID, READING_OR_INIT, "input",
           "The group of all rows, for files without that column."),
    Option("target_id", ID, READING_OR_INIT, "input",
           "The target (rule) of all rows, for files without that column."),
    Option("data_scope_org", ID, READING_OR_PEEK, "api",
           "Make the calls for this connected org (DATA-SCOPE: OTHER)."),
    Option("delimiter", DELIMITER, READING_OR_PEEK, "input",
           "The character between fields. [default: , ; | or tab, as in the header]"),
    Option("encoding", NAME, READING_OR_PEEK, "input",
           "The text encoding, such as cp1252. [default: UTF-8, or UTF-16 with BOM]"),
    Option("sheet", NAME, READING_OR_INIT, "input",
           "The sheet to read, of a workbook with several."),
    Option("header_row", IntRange(*RANGES["header_row"]), READING_OR_INIT, "input",
           "The line of the header, or its row in Excel. [default: the first not empty]"),
    Option("missing_ok", FLAG, READING, "input",
           "An input that is not there is a good end: exit 0, and nothing is sent."),
    Option("loaders", IntRange(*RANGES["loaders"]), READING, "input",
           "Read the parts of a folder or glob with N processes; needs a shared job."),
    Option("max_invalid", LIMIT, READING, "limits",
           f"Refuse inputs with more invalid rows: N or P%. [default: {RUN_MAX_INVALID} for run]"),
    Option("max_rows", IntRange(*RANGES["max_rows"]), READING, "limits",
           "Refuse an input with more rows."),
    Option("allow", Choice(ALARMS), READING, "limits",
           "Let the alarm of this name pass.",
           multiple=True),
    Option("never", PATH, (*ALL_OR_WORK, "init"), "limits",
           "A file of customers or customer/target rows never to call. Adds to what the folder"
           " remembers. [env: BULK_UNENROLL_NEVER]",
           multiple=True),
    Option("history", NAME, ALL, "limits",
           "A folder for what was done before, for alarms, or off. [default: of this user]"),
    # ── how to send ──
    Option("rate", RATE, ALL, "pace",
           "Start at most N calls in any sliding window: N/s, N/min or N/h."),
    Option("in_doubt", Choice(CHOICES["in_doubt"]), ALL, "retry",
           "Calls without an answer: resend within 15 minutes, or hold for a person."),
    Option("base_url", URL, ALL_OR_WORK, "api",
           "The API, prefix included: https://HOST/v3.1. [env: BULK_UNENROLL_BASE_URL]"),
    Option("sandbox", FLAG, SENDING, "api",
           "Send to a local fake of the API instead."),
    Option("sandbox_scenario", PATH, SENDING, "api",
           "A TOML file that says how the fake misbehaves."),
    Option("pace", Choice(CHOICES["pace"]), SENDING, "pace.mode",
           "adaptive: slower while the API struggles, never above --rate."),
    Option("ramp_s", DURATION, SENDING, "pace.ramp",
           "After the canary let the rate grow to --rate over this time: 90s, 15m, 1h30m."),
    Option("concurrency", IntRange(*RANGES["concurrency"]), SENDING_OR_WORK, "api",
           "Keep at most N calls in flight."),
    Option("max_attempts", IntRange(*RANGES["max_attempts"]), SENDING, "retry",
           "Call a customer/target at most N times in a run."),
    Option("read_timeout_s", SECONDS, SENDING, "api",
           "Seconds from sending to the last byte of the answer."),
    Option("connect_timeout_s", SECONDS, SENDING, "api",
           "Seconds for the connection."),
    # ── when not to start, and when to stop ──
    Option("canary", IntRange(*RANGES["canary"]), SENDING, "limits",
           "Send this many rows first, and stop if too few succeed. 0 disables it."),
    Option("canary_good", PERCENT, SENDING, "limits",
           "So many of these must succeed."),
    Option("max_not_enrolled", LIMIT, SENDING, "limits",
           "Stop when more than N or P% were not enrolled. 100% never."),
    Option("max_failures", LIMIT, SENDING, "limits",
           "Stop when more than N or P% failed. 0 stops at the first, 100% never."),
    Option("stop_after_s", DURATION, SENDING_OR_WORK, "schedule.stop_after",
           "Stop cleanly this long after the start: 90s, 15m, 1h30m."),
    Option("stop_at", TIME_OF_DAY, SENDING_OR_WORK, "schedule",
           "Stop cleanly at this local time: HH:MM. One that has passed is tomorrow's."),
    Option("window", WINDOW, (*SENDING_OR_WORK, "init"), "schedule",
           "Send only in this time of day, such as 22:00-05:00. Else end with 3 at once."),
    Option("expect", EXPECT, SENDING, "limits",
           "Refuse to start unless N would be called; about:N allows 20 % more or less."),
    Option("first_time", Choice(CHOICES["first_time"]), SENDING, "limits",
           "Where nobody was ever taken out of a target: hold after the canary, or go on."),
    Option("beside", FLAG, SENDING, "pace",
           "Send though another run sends to the same API with the same credentials."),
    Option("plan", PLAN_ID, SENDING, "limits",
           "Refuse to start unless all is as in this plan, whose id `plan` printed."),
    Option("dry_run", FLAG, ("resume", "retry"), "schedule",
           "Show what would be called, and send nothing."),
    Option("begin_only", FLAG, ("run",), "schedule",
           "Begin the run of a shared job, and send nothing: that is left to `work`."),
    Option("max_customers", IntRange(*RANGES["max_customers"]), SENDING, "limits",
           "Refuse to start if more customers/targets would be called."),
    Option("max_target", TARGET_CAP, SENDING, "limits",
           "Refuse to start if more customers of this target would be called: GROUP/TARGET=N.",
           multiple=True),
    Option("limit", IntRange(*RANGES["limit"]), SENDING, "limits",
           "Call at most N customers/targets, then stop cleanly."),
    Option("yes", FLAG, SENDING, "schedule.unattended",
           "Do not ask for confirmation."),
    # ── what to write ──
    Option("export", FLAG, SENDING, "output",
           "Do not write results.csv, failed.csv and report.html.",
           flags="--no-export",
           job_help="false: do not write results.csv, failed.csv and report.html."),
    Option("metrics_file", PATH, SENDING_OR_WORK, "output",
           "Write metrics to this file, for Prometheus' textfile collector."),
    Option("progress_file", PATH, ALL_OR_WORK, "output",
           "Write how far it is to this file, as one JSON object, once a second."),
    Option("notify", Choice(["end", "halt", "never"]), SENDING, "notify.when",
           "halt: only if the run could not finish. [env: BULK_UNENROLL_NOTIFY_URLS]",
           own_default="end"),
    Option("json", FLAG, ALL_AND_LOOKS, "output.json_summary",
           "Print the result as one JSON object on standard output."),
    Option("log_format", Choice(["console", "json"]), ALL_OR_WORK, "output",
           "The format of the log. [default: console on a terminal, else json]"),
    Option("log_file", PATH, ALL_OR_WORK, "output",
           "Write the log to this file. [default: standard error]",
           flags="--log-file --log-path"),
    Option("verbose", FLAG, ALL_OR_WORK, "output", "Log every call.", flags="-v --verbose"),
    Option("quiet", FLAG, ALL_OR_WORK, "output",
           "Log warnings only, and show no progress.",
           flags="-q --quiet"),
    Option("log_ids", FLAG, ALL_OR_WORK, "output", "Write customer ids into the log."),
)
# fmt: on
BY_NAME: Final[Mapping[str, Option]] = {option.name: option for option in OPTIONS}
LEDGER: Final = click.option(
    "--ledger", metavar="URL",
    help="The PostgreSQL server of a shared job: postgresql://USER@HOST/DATABASE, without a"
    " password. [env: BULK_UNENROLL_LEDGER_URL]",
)  # fmt: skip
JOB: Final = click.option("--job", metavar="NAME", help="The shared job, in place of a run folder.")


class OnFolder(click.Command):
    """A command on a run folder, which ``--ledger`` and ``--job`` may take the place of."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With ``--job`` there is no argument FOLDER."""
        if any(word == "--job" or word.startswith("--job=") for word in args):
            ctx.meta["without_folder"] = True
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters of this command line."""
        params = super().get_params(ctx)
        if ctx.meta.get("without_folder"):
            return [param for param in params if param.name != "folder"]
        return params


def on_folder(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command its ``folder``: the argument, or the one that names a shared job."""

    @functools.wraps(function)
    def command(
        *, folder: Path | None = None, ledger: str | None, job: str | None, **given: Any
    ) -> int:
        if job is not None:
            from bulk_unenroll.commands.shared import present_job

            with present_job(job, ledger) as folder:
                return function(folder=folder, **given)
        if ledger is not None:
            raise UsageError("--ledger needs the job", "add --job NAME")
        return function(folder=folder, **given)

    return click.argument("folder", type=PATH)(LEDGER(JOB(command)))


FOLDER: Final = on_folder
INPUTS: Final = click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(), metavar="INPUT..."
)


def options_of(command: str) -> Callable[[Decorated], Decorated]:
    """Give a click command the options that the table has for it, in its order."""

    def decorate(function: Decorated) -> Decorated:
        for option in reversed(OPTIONS):
            if command in option.commands:
                function = option.as_click()(function)
        return function

    return decorate


def options_from(context: click.Context) -> dict[str, Any]:
    """The options that were given, on the command line or by a job file, and that commands take.

    The others are the command line's own, or defaults, which a command has itself: a run folder
    may remember another value.
    """
    from bulk_unenroll.commands.options import KEYWORDS

    return {
        name: value
        for name, value in context.params.items()
        if name in KEYWORDS and context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
