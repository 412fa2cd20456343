"""The entry point: signals, the streams, and the end of whatever a command raises."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType
from typing import Final, NoReturn

import click

from bulk_unenroll.cli.app import cli
from bulk_unenroll.cli.endings import end_early, help_command
from bulk_unenroll.errors import PROGRAM, Interrupted, Next, Stop, UsageError
from bulk_unenroll.exits import ExitCode

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> NoReturn:
    """Run the command line and exit. Expected errors end in two lines, never in a traceback."""
    _handle_signals()
    _accept_any_file_name()
    code = _run()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    for number in SIGNALS:  # Python resets handlers while it ends, but not this
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(code)


def _run() -> int:
    try:
        return cli.main(prog_name=PROGRAM, standalone_mode=False) or ExitCode.FINISHED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FINISHED
    except Exception as error:
        return end_early(_as_stop(error), cli.commands)


def _as_stop(error: Exception) -> Stop:
    if isinstance(error, Stop):
        return error
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message(), next=help_command(cli.commands))
    if isinstance(error, click.Abort):
        return Interrupted(ExitCode.SIGINT, "interrupted: nothing was sent")
    import traceback

    # plain frames only: local variables hold credentials
    traceback.print_exception(error, limit=-8)
    what = f"internal error: {type(error).__name__}"
    return Stop(what, "please report this", Next("", options={"version": True}))


def _handle_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, _: FrameType | None) -> None:
    code = ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM
    raise Interrupted(code, f"interrupted by {signal.Signals(number).name}")


def _accept_any_file_name() -> None:
    """Let messages name files whose names are not text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
