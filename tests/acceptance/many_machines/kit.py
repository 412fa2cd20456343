"""A shared job, its API, and those who send for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final

from tests.kit.command import Desk, Witness, people

Start = Callable[..., Witness]
JOB: Final = ("--job", "cleanup")
FAST: Final = ("--yes", "--rate", "500/s", "--first-time", "go")
AT_100: Final = ("--yes", "--rate", "100/s", "--first-time", "go", "--concurrency", "8")
SLOW: Final = "[[rule]]\nprobability = 1\ndelay_s = 1\n"
"""With ``AT_100`` eight calls a second and sender, so that others can join at their leisure."""


def rows(number: int) -> list[tuple[int, int, int]]:
    return [(who, 1001, 2001) for who in people(number)]


def senders_of(desk: Desk) -> list[dict[str, object]]:
    found: list[dict[str, object]] = desk.do("status", *JOB, "--json").json["senders"]
    return found


def delay_answers(api: Witness, delay_s: float) -> None:
    """Take so long for every answer from now on."""
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": delay_s}]})


def join(desk: Desk, number: int = 1) -> list[subprocess.Popen[bytes]]:
    """Start more senders of a run, and wait until each has had an answer."""
    before = len(senders_of(desk))
    workers = [desk.start("work", *JOB, "--concurrency", "8") for _ in range(number)]
    deadline = time.monotonic() + 60
    while sum(bool(one["settled"]) for one in senders_of(desk)) < before + number:
        assert time.monotonic() < deadline
        assert [worker.poll() for worker in workers] == [None] * number
        time.sleep(0.1)
    return workers


def wait_for(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code of a process, and what it said."""
    _, err = process.communicate(timeout=90)
    return process.returncode, err.decode()
