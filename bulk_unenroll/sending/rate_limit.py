"""``--rate``: never more than N starts in any sliding window of the unit, spread evenly.

aiolimiter's bucket with capacity ``burst`` and leak rate ``r`` lets at most ``burst + r * unit``
through in any window of ``unit`` seconds, so ``r`` is set below the allowed rate by the burst, and
by a margin for the jitter of timers and sockets.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import Final, Protocol

from aiolimiter import AsyncLimiter

from bulk_unenroll.option_values import Rate
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.ramp import Ramp

MARGIN: Final = 0.014
"""Share of the rate given up, so that a late start does not count in the next window as well."""

GRANTED_MARGIN: Final = 0.008
"""The same at high rates, where the burst takes its own share."""

SLACK: Final = 0.002
SLACK_MOST: Final = 0.5
"""Share of an interval by which a start may make up for one that a timer let go late."""

GRANT_S: Final = 0.005
"""Tokens are taken no more often than this: uvloop spins on shorter sleeps of aiolimiter."""

CATCH_UP_S: Final = 0.005
"""How late a start at a lower rate may be and still be caught up."""


class StartTimes(Protocol):
    """Lets every attempt start in its time; see ``RateLimit`` and ``GrantedRate``."""

    interval_s: float
    grace_s: float
    ramp: Ramp

    async def prime(self) -> None:
        """Count as if starts had just been made, so that a resume opens no burst."""

    async def take(self) -> None:
        """Wait until one start is allowed."""

    def hold_off_s(self, starts_s: Iterable[float], now_s: float) -> float:
        """Seconds until starts may begin after earlier ones (newest first, Unix seconds)."""


class RateLimit:
    """Lets every attempt start in its time. Made within the event loop.

    ``interval_s`` is the mean time between starts; ``grace_s`` is how much later than allowed a
    start may come without meeting others in its window. ``ramp`` slows starts once it has begun.
    """

    def __init__(
        self, rate: Rate, adaptive_rate: AdaptiveRate | None = None, ramp_s: float = 0.0
    ) -> None:
        self._rate = rate
        self._adaptive_rate = adaptive_rate
        self._due_s = 0.0
        self._grant = max(1, math.floor(rate.per_s * GRANT_S))
        slack = min(SLACK_MOST, rate.count * SLACK)
        burst = 1 + slack if self._grant == 1 else 2 * self._grant
        margin = MARGIN if self._grant == 1 else GRANTED_MARGIN
        self.interval_s = rate.unit_s / ((rate.count - burst + 1) * (1 - margin))
        self.ramp = Ramp(ramp_s, self.interval_s)
        self.grace_s = rate.unit_s * margin / 2
        self._limiter = AsyncLimiter(burst, burst * self.interval_s)
        self._burst = burst
        self._granted = 0
        self._lock = asyncio.Lock()

    async def prime(self) -> None:
        """Fill the bucket, as after starts of an earlier run, so that a resume opens no burst."""
        await self._limiter.acquire(self._burst)

    async def take(self) -> None:
        """Wait until one start is allowed."""
        async with self._lock:
            await self._slow_down()
            if self._granted == 0:
                await self._limiter.acquire(self._grant)
                self._granted = self._grant
            self._granted -= 1

    async def _slow_down(self) -> None:
        """Wait for one start where the rate of now is below that of the limiter."""
        now_s, adaptive = asyncio.get_running_loop().time(), self._adaptive_rate
        rest_until_s = adaptive.rest_until_s if adaptive else 0.0
        due_s = max(self._due_s, now_s - CATCH_UP_S, rest_until_s)
        self._due_s = self.ramp.next_s(due_s)
        if adaptive and adaptive.slows:
            self._due_s = max(self._due_s, due_s + 1 / adaptive.rate_per_s)
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)

    def hold_off_s(self, starts_s: Iterable[float], now_s: float) -> float:
        """Seconds until starts may begin after earlier ones (newest first, Unix seconds).

        The m-th newest of them, at ``s``, shares its window with the new ones before ``s + unit``;
        these may be at most ``N - m``, and come one ``interval_s`` after the other, a burst of them
        at once. A start in the future, as after the clock was set back, counts as now.
        """
        unit_s = self._rate.unit_s * (1 + MARGIN)
        earliest_s = now_s
        for m, start_s in enumerate(starts_s, 1):
            room = max(self._rate.count - m - (self._burst - 1), 0)
            earliest_s = max(earliest_s, min(start_s, now_s) + unit_s - room * self.interval_s)
        return earliest_s - now_s
