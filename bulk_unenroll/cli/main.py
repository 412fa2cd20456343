"""The entry point: signals, the streams, and the end of whatever a command raises."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from bulk_unenroll import streams
from bulk_unenroll.cli.app import cli
from bulk_unenroll.cli.endings import doing, end_early, forget, help_command
from bulk_unenroll.errors import PROGRAM, Interrupted, Next, Stop, UsageError
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.signals import SIGNALS, heeded


def main() -> NoReturn:
    """Run the command line and exit. Expected errors end in two lines, never in a traceback."""
    forget()
    _handle_signals()
    code = _run()
    sys.stdout.flush()
    for lost in streams.losses():
        print(f"{PROGRAM}: {lost}", file=sys.stderr)  # noqa: T201
    for number in SIGNALS:  # Python resets handlers while it ends, but not this
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(code)


def _run() -> int:
    try:
        return cli.main(prog_name=PROGRAM, standalone_mode=False) or ExitCode.FINISHED
    except Exception as error:
        # what was raised within a library may come out of it as something else
        return end_early(doing.interrupted or _as_stop(error), cli.commands)


def _as_stop(error: Exception) -> Stop:
    if isinstance(error, Stop):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        if context is not None and not doing.given:
            doing.given = context.params  # those that were understood before it
        return UsageError(error.format_message(), next=help_command(cli.commands))
    if isinstance(error, click.Abort):
        return Interrupted(ExitCode.SIGINT, "interrupted: nothing was sent")
    import traceback

    # plain frames only: local variables hold credentials
    traceback.print_exception(error, limit=-8)
    what = f"internal error: {type(error).__name__}"
    return Stop(what, "please report this", Next("", options={"version": True}))


def _handle_signals() -> None:
    for number in heeded():
        signal.signal(number, _interrupt)


def _interrupt(number: int, _: FrameType | None) -> None:
    name = signal.Signals(number)
    doing.interrupted = Interrupted(SIGNALS[name], f"interrupted by {name.name}")
    raise doing.interrupted
