"""The adaptive rate against APIs of known strength, call by call in simulated time."""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from tests.kit.tiers import thorough

Carries = Callable[[float], float]
"""What an API can carry, in calls a second, at a time in seconds."""


@dataclass
class Api:
    """One that answers after ``base_s`` or so, when it has worked off what came before.

    ``refuses``: it keeps no queue, but refuses what is above its rate in a second.
    """

    carries: Carries
    base_s: float = 0.05
    jitter: float = 0.3
    refuses: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    free_s: float = 0.0
    taken_s: deque[float] = field(default_factory=deque)

    def call(self, now_s: float) -> tuple[float, bool]:
        """When the answer comes, and whether it is a good one."""
        answer_s = self.base_s * self.dice.lognormvariate(0, self.jitter)
        per_s = self.carries(now_s)
        if self.refuses:
            while self.taken_s and self.taken_s[0] <= now_s - 1:
                self.taken_s.popleft()
            good = len(self.taken_s) < per_s
            if good:
                self.taken_s.append(now_s)
            return now_s + answer_s, good
        self.free_s = max(self.free_s, now_s) + 1 / per_s
        return self.free_s + answer_s, True


def drive(
    api: Api, ceiling_per_s: float, seconds: float, concurrency: int = 64
) -> tuple[list[float], AdaptiveRate]:
    """Call as fast as the adaptive rate lets; when calls started."""
    adaptive = AdaptiveRate(ceiling_per_s)
    now_s, paused_s, starts = 0.0, 0.0, [-1.0]
    answers: list[tuple[float, float, bool]] = []
    while now_s < seconds:
        next_s = max(starts[-1] + 1 / adaptive.rate_per_s, adaptive.rest_until_s, paused_s, now_s)
        if len(answers) < concurrency and (not answers or next_s <= answers[0][0]):
            now_s = next_s
            starts.append(now_s)
            at_s, good = api.call(now_s)
            heapq.heappush(answers, (at_s, now_s, good))
            continue
        now_s, started_s, good = heapq.heappop(answers)
        if good:
            adaptive.answered(started_s, now_s)
        else:
            adaptive.refused(started_s, now_s)
            if started_s >= paused_s:
                paused_s = now_s + 1  # as the breaker does after a 429 without Retry-After
    return starts[1:], adaptive


def rates(starts: list[float], after_s: float, before_s: float) -> float:
    """Mean starts a second in a span."""
    return sum(after_s <= start < before_s for start in starts) / (before_s - after_s)


def forty(_: float) -> float:
    return 40.0


@pytest.mark.parametrize("ceiling_per_s", [45, 50, 100, 400])
@pytest.mark.parametrize("refuses", [False, True], ids=["slows down", "refuses"])
@pytest.mark.parametrize("concurrency", [32, 64, 256])
def test_a_weak_api_is_held_at_90_to_105_percent_of_what_it_carries(
    ceiling_per_s: float, concurrency: int, refuses: bool
) -> None:
    starts, _ = drive(Api(forty, refuses=refuses), ceiling_per_s, 600, concurrency)
    minutes = Counter(int(start // 60) for start in starts)
    for minute in range(1, 10):
        assert 0.9 * 40 <= minutes[minute] / 60 <= 1.05 * 40


@pytest.mark.parametrize("ceiling_per_s", [2, 20, 100, *thorough(500)])
@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("base_s", [0.005, 0.05, 0.4])
def test_a_healthy_one_is_never_slowed_by_more_than_two_percent(
    ceiling_per_s: float, jitter: float, base_s: float
) -> None:
    api = Api(lambda _: 1e9, base_s=base_s, jitter=jitter)
    starts, _ = drive(api, ceiling_per_s, 600, concurrency=1000)
    assert rates(starts, 0, 600) >= 0.98 * ceiling_per_s


def test_it_comes_back_by_itself() -> None:
    def carries(at_s: float) -> float:
        return 40.0 if 100 <= at_s < 300 else 500.0

    starts, adaptive = drive(Api(carries), 100, 600)
    assert rates(starts, 10, 100) >= 98
    assert 36 <= rates(starts, 130, 290) <= 42
    assert rates(starts, 420, 600) >= 98
    assert not adaptive.slows


def test_an_api_that_gets_slower_for_good_is_not_slowed_for_ever() -> None:
    """Latency alone is no load: what does not get better by going slower is the new usual."""
    api = Api(lambda _: 1e9)
    adaptive = AdaptiveRate(100)
    now_s = 0.0
    for _ in range(100 * 60 * 20):
        now_s = max(now_s + 1 / adaptive.rate_per_s, adaptive.rest_until_s)
        base_s = 0.05 if now_s < 60 else 0.5
        adaptive.answered(now_s - base_s * api.dice.lognormvariate(0, 0.1), now_s)
        if now_s > 1100:
            break
    assert adaptive.rate_per_s >= 95


def test_a_single_slow_second_changes_nothing() -> None:
    adaptive = AdaptiveRate(100)
    for index in range(6000):
        now_s = index / 100
        latency_s = 0.8 if 3000 <= index < 3100 else 0.05
        adaptive.answered(now_s - latency_s, now_s)
    assert adaptive.cuts == 0


def test_it_never_asks_for_more_than_the_ceiling_and_never_for_nothing() -> None:
    adaptive = AdaptiveRate(10)
    for now_s in range(1000):
        adaptive.refused(now_s, now_s + 0.1)
        assert 0.1 <= adaptive.rate_per_s <= 10


def test_many_refusals_of_one_moment_are_one_cut() -> None:
    adaptive = AdaptiveRate(100)
    for index in range(200):
        adaptive.answered(index / 100 - 0.05, index / 100)
    for _ in range(50):
        adaptive.refused(1.95, 2.01)
    assert adaptive.cuts == 1
    assert adaptive.rate_per_s > 90


def test_starts_are_spread_evenly() -> None:
    starts, _ = drive(Api(forty), 100, 120)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) >= 1 / 100 - 1e-9
