"""``--ramp``: the rate of starts grows evenly from nothing to the full one. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Ramp:
    """A ramp of ``duration_s`` seconds to one start every ``interval_s``. 0 seconds: there is none.

    Of ``senders`` that share the rate each takes its part of the starts while it grows. Times are
    seconds on any steady clock. Until ``begin`` it slows nothing.
    """

    duration_s: float
    interval_s: float
    senders: int = 1
    _began_s: float = math.inf

    def begin(self, now_s: float) -> None:
        """From now on the rate grows."""
        self._began_s = now_s

    def slows(self, now_s: float) -> bool:
        """Whether the rate is below the full one."""
        return self._began_s <= now_s < self._began_s + self.duration_s

    def next_s(self, start_s: float) -> float:
        """The earliest next start after one at ``start_s``.

        At a rate of ``t / (duration * interval)`` there is one start between ``a`` and ``b`` where
        ``b² - a²`` is twice ``duration * interval``; for one of n senders n times that.
        """
        if not self.slows(start_s):
            return start_s
        first_s = math.sqrt(2 * self.duration_s * self.interval_s * self.senders)
        return self._began_s + math.hypot(start_s - self._began_s, first_s)
