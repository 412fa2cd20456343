"""A command on one core, against a server on another: CPU, wall time, memory."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kit.command import REPO, clean_environment

CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = CORES[0]
CLIENT_CORE: Final = CORES[-1]
TARGETS: Final = ((1001, 2001), (1001, 2002), (1002, 2003))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process cost, children that it waited for included."""

    cpu_s: float
    wall_s: float
    peak_mb: float


class Server:
    """The constant server, in a separate process."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v3.1"

    def starts_s(self) -> list[float]:
        """When each call came since this was asked last."""
        with urllib.request.urlopen(f"{self.base_url}/starts", timeout=60) as answer:
            found: list[float] = json.load(answer)
        return found


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as it is needed."""
    command = (sys.executable, "-m", "tests.benchmarks.server", str(SERVER_CORE))
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.terminate()


def write_input(path: Path, rows: int) -> Path:
    """``rows`` different customers, over a few targets."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("customerId", "targetGroupId", "targetId"))
        for number in range(rows):
            writer.writerow((400_000_000 + 7 * number, *TARGETS[number % len(TARGETS)]))
    return path


def spent_by(command: Sequence[str], base_url: str, ends_with: Collection[int] = (0,)) -> Spent:
    """Run ``command`` to its end. Raises ``RuntimeError`` with its last output if it fails."""
    environment = clean_environment(
        BASE_URL=base_url,
        BULK_UNENROLL_USERNAME="till",
        BULK_UNENROLL_PASSWORD="benchmark",
    )
    with tempfile.TemporaryFile() as words:
        began_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=REPO,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            preexec_fn=_to_client_core,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in ends_with:
            words.seek(0)
            raise RuntimeError(
                f"{command} ended with {process.returncode}: {words.read()[-500:]!r}"
            )
    return Spent(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024)


def _to_client_core() -> None:
    os.sched_setaffinity(0, {CLIENT_CORE})
