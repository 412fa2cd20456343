"""The clock that a run keeps times by: when calls start, when they were sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

PARTED_S: Final = 5.0
"""The two clocks of a machine drift apart by less than this between two looks at them."""


class Clock:
    """The event loop's time, and Unix time that follows it. Made within the loop.

    Unix time is read once and counted on from there. Where the system's clock parts from that, for
    it was set, or the machine slept, nobody knows how much time went by: ``look`` notices it, and
    goes on from the system's clock.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        # the loop is asked for once: each time is a system call on Python 3.11
        self.now_s: Callable[[], float] = asyncio.get_running_loop().time
        self._system_s = wall_s
        self._offset_s = wall_s() - self.now_s()
        self._drift_s = 0.0
        self.parted_s: float | None = None
        """Loop time of the last look at which the clocks had parted; None: they never did."""

    def wall_s(self) -> float:
        """Unix time, in seconds."""
        return self.now_s() + self._offset_s

    def look(self) -> bool:
        """Whether the system's clock parted from the loop's since the last look."""
        drift_s = self._system_s() - self.wall_s()
        if abs(drift_s - self._drift_s) < PARTED_S:
            self._drift_s = drift_s
            return False
        self._offset_s += drift_s
        self._drift_s = 0.0
        self.parted_s = self.now_s()
        return True

    def is_trusted_since(self, now_s: float) -> bool:
        """Whether the clocks have gone together since this loop time."""
        return self.parted_s is None or now_s > self.parted_s
