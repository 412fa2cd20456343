"""One sender of a shared job, as a task of an engine: the command ``work``, in its own process.

It is a process, because only the main thread of a process can be stopped cleanly by a signal. An
engine that shuts a worker down kills its threads, and leaves what they had in flight in doubt. The
process ends with its worker all the same, see ``tethered``.

Credentials and the ledger's address are those of the worker's environment. No task has them: an
engine keeps the arguments of its tasks, and shows them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, Final, NamedTuple

from bulk_unenroll.exits import START_AGAIN

AGAIN_AFTER_S: Final = 5.0
TETHERED: Final = (sys.executable, "-m", "bulk_unenroll.engines.tethered")


class SenderEnd(NamedTuple):
    """How a sender ended, and on which host. ``code`` is that of ``work``."""

    code: int
    reason: str
    host: str


def send(job: str) -> SenderEnd:
    """Send for a shared job until there is nothing to start again for."""
    while True:
        code, said = _work(job)
        if not is_started_again(code):
            return _end_of(code, said)
        time.sleep(AGAIN_AFTER_S)


def is_started_again(code: int) -> bool:
    """Whether ``work`` is to be started again after this exit code; negative: after a signal."""
    return code < 0 or code in START_AGAIN


def _work(job: str) -> tuple[int, bytes]:
    """Run ``work``: its exit code, and what it printed. Its log goes where the worker's goes."""
    command = [*TETHERED, "work", "--job", job, "--quiet", "--json"]
    with subprocess.Popen(  # noqa: S603 - the name of a job is checked
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at the worker's terminal is not meant for it
    ) as process:
        assert process.stdout  # noqa: S101 - by the arguments above
        said = process.stdout.read()
    return process.returncode, said


def _end_of(code: int, said: bytes) -> SenderEnd:
    try:
        summary: dict[str, Any] = json.loads(said)
        return SenderEnd(code, str(summary["exit"]["reason"]), str(summary["host"]))
    except (ValueError, KeyError, TypeError):
        return SenderEnd(code, "see the log of its worker", "")
