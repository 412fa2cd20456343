"""``--pace adaptive`` in virtual time: the real runner before an API of hidden strength."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from bulk_unenroll.model import Enrollment, State
from bulk_unenroll.option_values import Rate
from tests.sending.scripted import Answer, Job, ScriptedApi, http, keys, success

pytestmark = pytest.mark.looptime


@dataclass
class WeakApi(ScriptedApi):
    """Answers ``carries`` calls a second, one after the other; or refuses what is above that."""

    carries: Callable[[float], float] = lambda at_s: 40.0
    refuses: bool = False
    base_s: float = 0.05
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    free_s: float = 0.0
    taken_s: deque[float] = field(default_factory=lambda: deque(maxlen=100))

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        now_s = asyncio.get_running_loop().time()
        self.starts.append((now_s, key))
        latency_s = self.base_s * self.dice.lognormvariate(0, 0.3)
        per_s = self.carries(now_s)
        if self.refuses:
            refused = sum(taken_s > now_s - 1 for taken_s in self.taken_s) >= per_s
            if not refused:
                self.taken_s.append(now_s)
            await asyncio.sleep(latency_s)
            return http(429) if refused else success(key.customer)
        self.free_s = max(self.free_s, now_s) + 1 / per_s
        await asyncio.sleep(self.free_s - now_s + latency_s)
        return success(key.customer)


def by_minute(api: ScriptedApi) -> list[float]:
    """Mean starts a second of every whole minute."""
    counted = Counter(int(start // 60) for start, _ in api.starts)
    return [counted[minute] / 60 for minute in range(int(api.starts[-1][0] // 60))]


@pytest.mark.thorough
@pytest.mark.parametrize("refuses", [False, True], ids=["slows down", "refuses"])
async def test_an_api_that_is_weaker_than_the_rate_is_held_at_what_it_carries(
    job: Job, refuses: bool
) -> None:
    job.plan(keys(range(1, 8_001)))
    api = WeakApi(refuses=refuses)
    endings = await job.run(api, rate=Rate(100, 1.0), concurrency=64, pace="adaptive")
    assert endings == {}
    assert job.states() == {State.SUCCEEDED: 8_000}
    minutes = by_minute(api)
    assert len(minutes) >= 3
    for per_s in minutes[1:]:
        assert 0.9 * 40 <= per_s <= 1.05 * 40, minutes


@pytest.mark.thorough
async def test_a_healthy_one_is_not_slowed(job: Job) -> None:
    job.plan(keys(range(1, 6_001)))
    fixed, adaptive = WeakApi(carries=lambda at_s: 1e6), WeakApi(carries=lambda at_s: 1e6)
    await job.run(fixed, rate=Rate(50, 1.0), concurrency=64, stop_after_s=55)
    await job.run(adaptive, rate=Rate(50, 1.0), concurrency=64, pace="adaptive", stop_after_s=55)
    assert len(adaptive.starts) >= 0.98 * len(fixed.starts)


@pytest.mark.thorough
async def test_it_comes_back_by_itself(job: Job) -> None:
    job.plan(keys(range(1, 15_001)))
    api = WeakApi(carries=lambda at_s: 20.0 if 60 <= at_s < 180 else 1e6)
    await job.run(api, rate=Rate(50, 1.0), concurrency=64, pace="adaptive")
    minutes = by_minute(api)
    assert minutes[0] > 47
    assert 18 < minutes[2] < 21
    assert min(minutes[5:]) > 47


@pytest.mark.thorough
async def test_the_rate_of_now_is_in_the_ledger(job: Job) -> None:
    job.plan(keys(range(1, 3_001)))
    await job.run(WeakApi(), rate=Rate(100, 1.0), concurrency=64, pace="adaptive")
    found = json.loads(job.ledger.reader.pace() or "")
    assert found["ceiling_per_s"] == 100
    assert 30 < found["rate_per_s"] < 45
    assert found["cuts"] > 0
    await job.run(WeakApi(), rate=Rate(100, 1.0))
    assert job.ledger.reader.pace() is None


async def test_the_fixed_pace_stays_the_default(job: Job) -> None:
    job.plan(keys(range(1, 401)))
    api = WeakApi(carries=lambda at_s: 20.0)
    await job.run(api, rate=Rate(100, 1.0), concurrency=512)
    assert api.starts[-1][0] < 5
