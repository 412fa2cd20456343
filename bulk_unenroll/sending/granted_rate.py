"""``--rate`` for senders on several machines: the ledger hands out the times of starts.

The times of all senders lie one interval apart, so there are never more than N in any window,
whoever sends. A time that is not used is lost, and not made up for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from bulk_unenroll.option_values import Rate
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.ramp import Ramp

MARGIN: Final = 0.02
"""Share of the rate given up, half of it for starts that come late."""


def interval_of(rate: Rate) -> float:
    """Seconds between two starts at a rate."""
    return rate.unit_s / rate.count * (1 + MARGIN)


class GrantedRate:
    """Lets every attempt start at a time that was granted. See ``StartTimes``.

    ``wanting`` is called when a start waits and no time is at hand.
    """

    def __init__(
        self,
        rate: Rate,
        adaptive_rate: AdaptiveRate | None = None,
        ramp_s: float = 0.0,
        wanting: Callable[[], object] = lambda: None,
    ) -> None:
        self._adaptive_rate = adaptive_rate
        self._wanting = wanting
        self._starts: deque[float] = deque()
        self._granted = asyncio.Event()
        self._clock_s = asyncio.get_running_loop().time
        self._due_s = 0.0
        self.waiting = 0
        """How many starts wait, and no time is at hand."""
        self.interval_s = interval_of(rate)
        self.grace_s = rate.unit_s * MARGIN / 2
        self.ramp = Ramp(ramp_s, self.interval_s)

    @property
    def at_hand(self) -> int:
        """How many granted times are not used yet, and not over."""
        self._drop_lapsed()
        return len(self._starts)

    def grant(self, starts_in_s: Iterable[float]) -> None:
        """Add times, in seconds from now."""
        now_s = self._clock_s()
        self._starts.extend(now_s + wait_s for wait_s in starts_in_s)
        if self._starts:
            self._granted.set()

    async def prime(self) -> None:
        """There is nothing to fill: the ledger knows of all earlier starts."""

    async def take(self) -> None:
        """Wait until one start is allowed."""
        while True:
            self._drop_lapsed()
            if not self._starts:
                await self._more()
                continue
            start_s = self._starts.popleft()
            wait_s = start_s - self._clock_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self._clock_s() - start_s <= self.grace_s:
                self._due_s = self._next_due_s(start_s)
                return

    async def _more(self) -> None:
        self._granted.clear()
        self.waiting += 1
        self._wanting()
        try:
            await self._granted.wait()
        finally:
            self.waiting -= 1

    def hold_off_s(self, starts_s: Iterable[float], now_s: float) -> float:
        """Seconds until starts may begin after earlier ones: the ledger has counted them."""
        return 0.0

    def _drop_lapsed(self) -> None:
        """Drop times that are over, and those for which the rate of now is too low."""
        oldest_s = self._clock_s() - self.grace_s
        adaptive = self._adaptive_rate
        due_s = max(self._due_s, adaptive.rest_until_s if adaptive else 0.0)
        while self._starts and (self._starts[0] < oldest_s or self._starts[0] < due_s):
            self._starts.popleft()

    def _next_due_s(self, start_s: float) -> float:
        """The earliest next start after one at ``start_s``, but for the grants."""
        due_s = self.ramp.next_s(start_s)
        if self._adaptive_rate and self._adaptive_rate.slows:
            due_s = max(due_s, start_s + 1 / self._adaptive_rate.rate_per_s)
        return due_s
