"""``bulk-unenroll job``: run a job file, check it, show its schema."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from click.core import ParameterSource

from bulk_unenroll.cli.endings import NOTIFY_URLS, notify_urls
from bulk_unenroll.cli.option_types import PATH
from bulk_unenroll.errors import InputMissing, Misconfigured, Next, Stop, UsageError
from bulk_unenroll.urls import is_text

if TYPE_CHECKING:
    from bulk_unenroll.cli.job_file import JobCommand

FILE = click.argument("file", type=PATH, metavar="FILE")


@click.group()
def job() -> None:
    """Run and check jobs that are written as TOML files.

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
        job_command = _read(file)
    except JobFileError as error:
        raise UsageError(f"{file}: {error}", "see bulk-unenroll job schema") from None
    _take_secrets(job_command)
    with _prepared(context, job_command, context.args) as inner:
        _keep_rehearsal_apart(inner)
        code: int = inner.command.invoke(inner)
    return code


@job.command()
@FILE
@click.pass_context
def check(context: click.Context, file: Path) -> int:
    """Check everything but sending: file, inputs, options, credentials, URL, scope, folder.

    Lists all that is wrong at once, and sends nothing. Exits as the first fault would.

    \b
    bulk-unenroll job check jobs/cleanup.toml
    """
    faults = _faults(context, file)
    for fault in faults:
        click.echo(f"wrong: {fault}")
    if faults:
        many = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        again = Next("job", ("check", str(file)))
        stop = Stop(f"{many} in {file}", "fix what is listed above", again)
        stop.code = faults[0].code
        raise stop
    click.echo(f"{file} is ready: {Next('job', ('run', str(file)))}")
    return 0


def _check_notifications() -> None:
    """Raise ``Stop`` if a notification could not be sent."""
    urls = notify_urls()
    if not is_text(urls):
        raise Misconfigured(f"{NOTIFY_URLS} is not UTF-8", "write it in UTF-8")
    if not urls:
        return
    try:
        from bulk_unenroll.reports.notify import count_unknown
    except ImportError:
        raise Misconfigured(
            f"{NOTIFY_URLS} needs an extra", "pip install 'bulk-unenroll[notify]'"
        ) from None
    if unknown := count_unknown(urls):
        raise Misconfigured(f"{unknown} of the URLs in {NOTIFY_URLS} are no URLs of apprise")


@job.command()
def schema() -> int:
    """Print the JSON Schema of job files, for editors.

    \b
    bulk-unenroll job schema > job.schema.json
    """
    import json

    from bulk_unenroll.cli import job_keys

    click.echo(json.dumps(job_keys.schema(), indent=2))
    return 0


def _read(file: Path) -> JobCommand:
    """The command in ``file``; raises ``Stop`` where it cannot be read, and ``JobFileError``."""
    from bulk_unenroll.cli.job_file import Base, read_job

    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise InputMissing(f"job file {file} does not exist", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"job file {file} cannot be read: {error}") from None
    return read_job(text, Base(file.resolve().parent, datetime.now().astimezone().date()))


def _take_secrets(job_command: JobCommand) -> None:
    """Put the variables that the job names, or their files, in the place of this program's."""
    for ours, variable in job_command.secrets.items():
        for ending in ("", "_FILE"):
            if variable + ending in os.environ:
                os.environ[ours + ending] = os.environ[variable + ending]
        if ours not in os.environ and f"{ours}_FILE" not in os.environ:
            raise Misconfigured(
                f"the job names {variable}, which is not set", f"set it, or {variable}_FILE"
            )


def _prepared(context: click.Context, job_command: JobCommand, more: list[str]) -> click.Context:
    """The job's command with its options: the file's, unless ``more`` gives another.

    Never-lists of both hold.
    """
    inner = _click_command(context, job_command).make_context(
        job_command.command,
        [*more, "--", *job_command.arguments],
        parent=context,
        default_map=job_command.options,
    )
    if inner.get_parameter_source("never") is ParameterSource.COMMANDLINE:
        inner.params["never"] = [*inner.params["never"], *job_command.options.get("never", ())]
    return inner


def _keep_rehearsal_apart(inner: click.Context) -> None:
    """``--sandbox`` that is added to a job of the real API does not take the job's folder."""
    from bulk_unenroll.inputs.finding import twin

    added = inner.get_parameter_source("sandbox") is ParameterSource.COMMANDLINE
    real = not (inner.default_map or {}).get("sandbox")
    if added and real and inner.get_parameter_source("out") is ParameterSource.DEFAULT_MAP:
        inner.params["out"] = twin(inner.params["out"], rehearsal=True)


def _click_command(context: click.Context, job_command: JobCommand) -> click.Command:
    return cast(click.Group, context.find_root().command).commands[job_command.command]


# ── checking ─────────────────────────────────────────────────────────────────────────────────────


def _faults(context: click.Context, file: Path) -> list[Stop]:
    from bulk_unenroll.cli.job_file import JobFileError

    try:
        return _command_faults(context, _read(file))
    except JobFileError as error:
        faults: list[Stop] = [UsageError(problem) for problem in error.problems]
        return faults + (_command_faults(context, error.rest) if error.rest else [])


def _command_faults(context: click.Context, job_command: JobCommand) -> list[Stop]:
    faults: list[Stop] = [UsageError(wrong) for wrong in _drop_wrong_options(context, job_command)]
    try:
        _take_secrets(job_command)
    except Misconfigured as stop:
        faults.append(stop)
    try:
        _check_notifications()
    except Misconfigured as stop:
        faults.append(stop)
    with _prepared(context, job_command, []) as inner:
        if not inner.params["yes"]:
            click.echo("note: it asks before it sends; set schedule.unattended = true for a night")
        return faults + _faults_found_by_looking(inner, job_command)


def _drop_wrong_options(context: click.Context, job_command: JobCommand) -> Iterator[str]:
    """Each key whose value the command refuses; the job goes on without it."""
    from bulk_unenroll.cli.options import BY_NAME

    command = _click_command(context, job_command)
    with click.Context(command, parent=context) as inner:
        for option in command.params:
            name = option.name or ""
            try:
                option.type_cast_value(inner, job_command.options.get(name))
            except click.BadParameter as error:
                del job_command.options[name]
                yield f"{'.'.join(BY_NAME[name].place_in_job)}: {error.message}"


def _faults_found_by_looking(inner: click.Context, job_command: JobCommand) -> list[Stop]:
    """What is wrong with the inputs, the folder, the URL and the credentials."""
    from bulk_unenroll.cli.options import options_from
    from bulk_unenroll.commands.check import check, check_writing
    from bulk_unenroll.inputs.finding import default_folder

    options = options_from(inner)
    written = ("log_file", "metrics_file", "progress_file")
    faults = check_writing(*(inner.params[name] for name in written))
    if job_command.command != "run":
        return faults + check(Path(job_command.arguments[0]), (), options)
    names = tuple(job_command.arguments)
    folder = options.get("out") or default_folder(names, rehearsal=options.get("sandbox", False))
    return faults + check(folder, names, options)
