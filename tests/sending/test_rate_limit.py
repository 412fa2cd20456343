"""The rate that is promised is kept, and used, on a virtual clock."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bulk_unenroll.option_values import Rate, parse_rate
from bulk_unenroll.sending.rate_limit import RateLimit
from tests.kit.tiers import thorough

pytestmark = [pytest.mark.looptime]

RATES = ["1/s", "7/s", "50/s", "100/min", "600/min", "500/s", "10/h"]
HIGH_RATE = Rate(3000, 1.0)
"""It takes most of the time of these tests."""
every_rate = pytest.mark.parametrize(
    "rate", [*map(parse_rate, RATES), *thorough(HIGH_RATE)], ids=str
)


def most_within(starts: Sequence[float], width_s: float) -> int:
    """The most starts in any window of ``width_s`` seconds, both its ends included."""
    most, first = 0, 0
    for last, start_s in enumerate(starts):
        while start_s - starts[first] > width_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def assert_kept(rate: Rate, starts: Sequence[float]) -> None:
    assert most_within(starts, rate.unit_s) <= rate.count
    assert most_within(starts, rate.unit_s / 10) <= rate.count / 10 * 1.1 + 1


def units(rate: Rate) -> float:
    """For how many units to run: long enough to tell, short enough to wait for."""
    return max(3.0, 60 / rate.count)


async def take(
    pace: RateLimit, seconds: float, *, stall_every: int = 0, stall_s: float = 0.0, seed: int = 0
) -> list[float]:
    """Start whatever may start for ``seconds``, with stalls at random: one in ``stall_every``."""
    loop, dice = asyncio.get_running_loop(), random.Random(seed)
    end_s, starts = loop.time() + seconds, []
    while loop.time() < end_s:
        await pace.take()
        starts.append(loop.time())
        if stall_every and dice.random() < 1 / stall_every:
            await asyncio.sleep(dice.random() * stall_s)
    return starts


async def resume(rate: Rate, starts: Sequence[float]) -> RateLimit:
    """The pace of a run that knows of the starts before it, once it may begin."""
    now_s = asyncio.get_running_loop().time()
    pace = RateLimit(rate)
    await pace.prime()
    recent = [start_s for start_s in reversed(starts) if start_s > now_s - rate.unit_s]
    await asyncio.sleep(pace.hold_off_s(recent, now_s))
    return pace


@every_rate
async def test_it_is_kept_in_every_window_and_used(rate: Rate) -> None:
    starts = await take(RateLimit(rate), units(rate) * rate.unit_s)
    assert_kept(rate, starts)
    assert (len(starts) - 1) / (starts[-1] - starts[0]) >= 0.97 * rate.per_s


@every_rate
@pytest.mark.parametrize("seed", range(4))
async def test_a_stall_is_not_made_up_for_by_a_burst(rate: Rate, seed: int) -> None:
    starts = await take(
        RateLimit(rate),
        4 * units(rate) * rate.unit_s,
        stall_every=max(2, rate.count // 4),
        stall_s=rate.unit_s / 2,
        seed=seed,
    )
    assert max(later - earlier for earlier, later in pairwise(starts)) > 0.1 * rate.unit_s
    assert_kept(rate, starts)


@pytest.mark.parametrize("rate", [Rate(500, 1.0), *thorough(HIGH_RATE)], ids=str)
@pytest.mark.parametrize("before", range(1, 31))
async def test_what_was_granted_before_a_stall_is_not_added_to_what_came_after(
    rate: Rate, before: int
) -> None:
    pace, loop = RateLimit(rate), asyncio.get_running_loop()
    for _ in range(before):
        await pace.take()
    await asyncio.sleep(rate.unit_s)
    began_s, starts = loop.time(), []
    while loop.time() <= began_s + rate.unit_s:
        await pace.take()
        starts.append(loop.time())
    assert_kept(rate, starts)


@every_rate
@pytest.mark.parametrize("slower", [0.9, 0.5])
async def test_a_consumer_slower_than_the_pace_is_not_held_up(rate: Rate, slower: float) -> None:
    pace, loop = RateLimit(rate), asyncio.get_running_loop()
    began_s, steps = loop.time(), 300
    for _ in range(steps):
        await pace.take()
        await asyncio.sleep(1 / (rate.per_s * slower))
    assert loop.time() - began_s <= 1.01 * steps / (rate.per_s * slower)


@every_rate
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.3, 0.99])
async def test_a_resume_opens_no_new_window(rate: Rate, gap: float) -> None:
    starts: list[float] = []
    for _ in range(4):
        starts += await take(await resume(rate, starts), 0.6 * rate.unit_s)
        await asyncio.sleep(gap * rate.unit_s)
    assert_kept(rate, starts)


@every_rate
async def test_a_kill_and_resume_at_once_costs_little(rate: Rate) -> None:
    before = await take(RateLimit(rate), rate.unit_s)
    after = await take(await resume(rate, before), rate.unit_s)
    assert len(before + after) >= 0.97 * 2 * rate.count - 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("600/min", "100/min"),
        ("600/min", "30/min"),
        ("50/s", "7/s"),
        pytest.param("3000/s", "500/s", marks=pytest.mark.thorough),
        pytest.param("3000/s", "1000/s", marks=pytest.mark.thorough),
        pytest.param("3000/s", "600/min", marks=pytest.mark.thorough),
        ("1/s", "10/h"),
        ("100/min", "600/min"),
        pytest.param("7/s", "3000/s", marks=pytest.mark.thorough),
        pytest.param("6000/s", "3000/s", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("gap", [0.0, 0.1, 0.5])
async def test_a_resume_at_another_rate_counts_what_was_started_before(
    before: str, after: str, gap: float
) -> None:
    old, new = parse_rate(before), parse_rate(after)
    earlier = await take(RateLimit(old), max(old.unit_s, new.unit_s / 10))
    await asyncio.sleep(gap * new.unit_s)
    later = await take(await resume(new, earlier), units(new) * new.unit_s)
    for number, start_s in enumerate(later[: new.count + 1], 1):
        still_counting = [one for one in earlier if one >= start_s - new.unit_s]
        assert number + len(still_counting) <= new.count or not still_counting
    assert_kept(new, later)


@every_rate
def test_with_nothing_before_it_nothing_is_held_off(rate: Rate) -> None:
    assert RateLimit(rate).hold_off_s([], 1e9) == 0
    assert RateLimit(rate).hold_off_s([1e9 - 1.1 * rate.unit_s] * rate.count, 1e9) == 0


@every_rate
def test_a_clock_that_was_set_back_costs_one_unit_at_most(rate: Rate) -> None:
    starts = [1e9 + 86_400.0] * rate.count
    hold_off_s = RateLimit(rate).hold_off_s(starts, 1e9)
    assert math.isclose(hold_off_s, rate.unit_s, rel_tol=0.02)


class TestRamp:
    """``--ramp``: from its begin on, the rate grows evenly to the full one."""

    RATE = Rate(10, 1.0)

    async def _starts(self, ramp_s: float, for_s: float) -> list[float]:
        pace = RateLimit(self.RATE, ramp_s=ramp_s)
        began_s = asyncio.get_running_loop().time()
        pace.ramp.begin(began_s)
        return [start_s - began_s for start_s in await take(pace, for_s)]

    async def test_half_of_the_full_number_starts_within_it(self) -> None:
        starts = await self._starts(60, 80)
        within = [start_s for start_s in starts if start_s < 60]
        assert 285 <= len(within) <= 305
        for part in range(6):
            of_part = [s for s in within if part * 10 <= s < (part + 1) * 10]
            assert abs(len(of_part) - (part + 0.5) * 100 / 6) <= 3
        assert 190 <= len(starts) - len(within) <= 200
        assert_kept(self.RATE, starts)

    async def test_what_did_not_start_is_not_made_up_for(self) -> None:
        pace, loop = RateLimit(self.RATE, ramp_s=60), asyncio.get_running_loop()
        pace.ramp.begin(loop.time())
        await asyncio.sleep(30)
        assert len(await take(pace, 6)) <= 35

    async def test_before_it_begins_nothing_is_slowed(self) -> None:
        slow, full = RateLimit(self.RATE, ramp_s=60), RateLimit(self.RATE)
        assert len(await take(slow, 10)) == len(await take(full, 10))
