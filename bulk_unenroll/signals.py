"""The signals that stop a command, and the exit codes they lead to."""

from __future__ import annotations

import signal
from typing import Final

from bulk_unenroll.exits import ExitCode

SIGNALS: Final = {
    signal.SIGINT: ExitCode.SIGINT,
    signal.SIGTERM: ExitCode.SIGTERM,
    signal.SIGHUP: ExitCode.SIGTERM,
}


def heeded() -> list[signal.Signals]:
    """Those of ``SIGNALS`` that this process was not told to ignore.

    ``nohup`` has a command ignore HUP, and a shell has its background jobs ignore INT.
    """
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
