"""What starts senders, and starts those again that end before the run does: systemd, Kubernetes.

By the same rule: ``test_work_examples.py`` of ``tests/acceptance/many_machines`` compares the
examples with it.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from bulk_unenroll.engines.sender import is_started_again
from bulk_unenroll.exits import ExitCode

AGAIN: Final = ExitCode.FOLDER_BUSY
"""How a sender ends that the others gave up."""


class Supervisor:
    """Keeps ``copies`` of a command running until one of them ends with 0: then the work is done.

    ``codes`` are those of all that ended, in order.
    """

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], copies: int) -> None:
        self._start = start
        self._given_up = False
        self.running = [start() for _ in range(copies)]
        self.codes: list[int] = []
        self._thread = threading.Thread(target=self._mind)

    def _mind(self) -> None:
        while self.running:
            for process in [one for one in self.running if one.poll() is not None]:
                process.communicate()
                self.codes.append(process.returncode)
                ended_early = is_started_again(process.returncode)
                goes_on = ended_early and not (self._given_up or 0 in self.codes)
                if goes_on:
                    self.running.append(self._start())
                self.running.remove(process)
            time.sleep(0.05)

    def wait(self, timeout_s: float) -> None:
        """Wait until all have ended."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"senders go on; so far they ended with {self.codes}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up = True
        for process in list(self.running):
            process.kill()
        self._thread.join()
