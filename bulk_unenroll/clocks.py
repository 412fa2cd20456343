"""The clock by which durations are measured."""

from __future__ import annotations

import time


def elapsed_s() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps.

    That is ``CLOCK_BOOTTIME``, see clock_gettime(2); where there is none, as on macOS, the clock of
    ``time.monotonic``.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
