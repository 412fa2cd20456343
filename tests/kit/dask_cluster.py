"""A Dask cluster of processes on loopback: a scheduler, and workers with one thread each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

PATIENCE_S: Final = 120.0


class DaskCluster:
    """A scheduler and ``workers``, in the ``folder`` and with the ``environment`` of the user.

    A worker has no nanny: what is killed is not started again by anybody but the cluster.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], workers: int) -> None:
        self._folder = folder
        self._environment = environment
        self._log = (folder / "dask.log").open("ab")
        self.port = _free_port()
        self.scheduler = self._start("scheduler", "--port", self.port, "--no-dashboard")
        _await(self._answers, "the scheduler does not answer")
        self.workers = [self.add_worker() for _ in range(workers)]

    @property
    def address(self) -> str:
        """What ``--on`` is given."""
        return f"dask://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What all of its processes wrote."""
        return (self._folder / "dask.log").read_text(errors="replace")

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        return self._start(
            "worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", 1, "--no-nanny",
            "--no-dashboard", "--local-directory", self._folder / "spill",
        )  # fmt: skip

    def senders(self) -> dict[subprocess.Popen[bytes], int]:
        """The workers that have a sender, and the process id of each sender."""
        found = {}
        for worker in self.workers:
            with suppress(OSError):
                for thread in Path(f"/proc/{worker.pid}/task").iterdir():
                    for child in (thread / "children").read_text().split():
                        found[worker] = int(child)
        return found

    def await_senders(self, number: int) -> dict[subprocess.Popen[bytes], int]:
        """Wait until so many workers have a sender."""
        _await(lambda: len(self.senders()) == number, f"there are not {number} senders")
        return self.senders()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sender in self.senders().values():
            with suppress(ProcessLookupError):
                os.kill(sender, signal.SIGKILL)
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._log.close()

    def _start(self, program: str, *words: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--host", "127.0.0.1"]
        return subprocess.Popen(
            [*command, *map(str, words)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _await(condition: Callable[[], bool], why: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, why
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
