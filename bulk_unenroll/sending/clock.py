"""The only clock of a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """The event loop's time, and Unix time that follows it. Made within the loop.

    Unix time is read once and counted on from there, so that setting the system's clock moves
    neither a backoff nor what is recorded.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        # the loop is asked for once: each time is a system call on Python 3.11
        self.now_s: Callable[[], float] = asyncio.get_running_loop().time
        self._offset_s = wall_s() - self.now_s()

    def wall_s(self) -> float:
        """Unix time, in seconds."""
        return self.now_s() + self._offset_s
