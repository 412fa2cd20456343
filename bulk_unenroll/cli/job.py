"""``bulk-unenroll job``: run a job file, check it, show its schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bulk_unenroll.errors import InputMissing, Misconfigured, Stop, UsageError

if TYPE_CHECKING:
    from bulk_unenroll.cli.job_file import Order

FILE = click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
PREFIX = "BULK_UNENROLL_"


@click.group()
def job() -> None:
    """Jobs as TOML files: what a command line says, kept under version control.

    \b
    bulk-unenroll job check jobs/cleanup.toml
    bulk-unenroll job run jobs/cleanup.toml --rate 50/min
    """


@job.command("run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@FILE
@click.pass_context
def run_job(context: click.Context, file: Path) -> int:
    """Run the job in FILE; any option of run, resume or retry added here wins over the file's.

    \b
    bulk-unenroll job run jobs/cleanup.toml --rate 50/min
    """
    from bulk_unenroll.cli.job_file import JobFileError

    try:
        order = _read(file)
    except JobFileError as error:
        raise UsageError(f"{file}: {error}", "see bulk-unenroll job schema") from None
    _take_secrets(order)
    with _prepared(context, order, context.args) as inner:
        code: int = inner.command.invoke(inner)
    return code


@job.command()
@FILE
@click.pass_context
def check(context: click.Context, file: Path) -> int:
    """Check everything but sending: file, inputs, options, credentials, URL, scope, folder.

    Says all that is wrong at once, and sends nothing. Exits as the first fault would.

    \b
    bulk-unenroll job check jobs/cleanup.toml
    """
    faults = _faults(context, file)
    for fault in faults:
        click.echo(f"wrong: {fault}")
    if faults:
        first = faults[0]
        many = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise type(first)(f"{many} in {file}", "mend what is said above") from None
    click.echo(f"{file} is ready: bulk-unenroll job run {file}")
    return 0


@job.command()
def schema() -> int:
    """Print the JSON Schema of job files, for editors.

    \b
    bulk-unenroll job schema > job.schema.json
    """
    from bulk_unenroll.cli import job_file as jobfile

    click.echo(json.dumps(jobfile.schema(), indent=2))
    return 0


def _read(file: Path) -> Order:
    """The order in ``file``; raises ``Stop`` where there is none, and ``JobFileError``."""
    from bulk_unenroll.cli.job_file import read_job

    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise InputMissing(f"job file {file} is not there", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"job file {file} cannot be read: {error}") from None
    return read_job(text, file.resolve().parent, datetime.now().astimezone().date())


def _take_secrets(order: Order) -> None:
    """Let the variables that the job names stand for those of this program, or their files."""
    for name, variable in order.secrets.items():
        ours = PREFIX + name.upper()
        for ending in ("", "_FILE"):
            if variable + ending in os.environ:
                os.environ[ours + ending] = os.environ[variable + ending]
        if ours not in os.environ and f"{ours}_FILE" not in os.environ:
            raise Misconfigured(
                f"the job names {variable}, which is not set", f"set it, or {variable}_FILE"
            )


def _prepared(context: click.Context, order: Order, more: list[str]) -> click.Context:
    """The order's command with its options: the file's, unless ``more`` gives another."""
    arguments = [*more, "--", *order.arguments]
    return _command(context, order).make_context(
        order.command, arguments, parent=context, default_map=order.options
    )


def _command(context: click.Context, order: Order) -> click.Command:
    return cast(click.Group, context.find_root().command).commands[order.command]


# ── checking ─────────────────────────────────────────────────────────────────────────────────────


def _faults(context: click.Context, file: Path) -> list[Stop]:
    from bulk_unenroll.cli.job_file import JobFileError

    try:
        return _order_faults(context, _read(file))
    except JobFileError as error:
        faults: list[Stop] = [UsageError(problem) for problem in error.problems]
        return faults + (_order_faults(context, error.rest) if error.rest else [])


def _order_faults(context: click.Context, order: Order) -> list[Stop]:
    faults: list[Stop] = [UsageError(wrong) for wrong in _wrong_options(context, order)]
    try:
        _take_secrets(order)
    except Misconfigured as stop:
        faults.append(stop)
    with _prepared(context, order, []) as inner:
        return faults + _wrong_facts(inner.params, order)


def _wrong_options(context: click.Context, order: Order) -> Iterator[str]:
    """Each key whose value the command refuses; the order goes on without it."""
    from bulk_unenroll.cli.job_file import key_of

    command = _command(context, order)
    with click.Context(command, parent=context) as inner:
        for option in command.params:
            name = option.name or ""
            try:
                option.type_cast_value(inner, order.options.get(name))
            except click.BadParameter as error:
                del order.options[name]
                yield f"{key_of(name)}: {error.message}"


def _wrong_facts(options: dict[str, Any], order: Order) -> list[Stop]:
    from bulk_unenroll.cli.options import going_of, inputs_of
    from bulk_unenroll.commands import check as checking
    from bulk_unenroll.inputs.finding import default_folder
    from bulk_unenroll.settings import RUN_MAX_INVALID

    going = going_of(options)
    if order.command != "run":
        return checking.check(Path(order.arguments[0]), None, going)
    names = tuple(order.arguments)
    folder = options["out"] or default_folder(names)
    return checking.check(folder, inputs_of(names, options, RUN_MAX_INVALID), going)
