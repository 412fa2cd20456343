"""Times of starts that the ledger hands out: used in time, or lost."""

from __future__ import annotations

import asyncio

import pytest

from bulk_unenroll.option_values import Rate
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.granted_rate import MARGIN, GrantedRate, interval_of

pytestmark = pytest.mark.looptime
FIFTY = Rate(50, 1.0)


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def test_starts_come_at_the_times_that_were_granted() -> None:
    rate = GrantedRate(FIFTY)
    rate.grant([0.1, 0.3, 0.35])
    at = []
    for _ in range(3):
        await rate.take()
        at.append(now_s())
    assert at == pytest.approx([0.1, 0.3, 0.35])


async def test_a_time_that_is_over_is_lost() -> None:
    rate = GrantedRate(FIFTY)
    rate.grant([0.1, 0.2, 0.3])
    await asyncio.sleep(0.25)
    assert rate.at_hand == 1
    await rate.take()
    assert now_s() == pytest.approx(0.3)


async def test_where_none_is_at_hand_it_says_so_and_waits() -> None:
    wanted: list[float] = []
    rate = GrantedRate(FIFTY, wanting=lambda: wanted.append(now_s()))
    waiting = asyncio.create_task(rate.take())
    await asyncio.sleep(1.0)
    assert (wanted, rate.waiting) == ([0.0], 1)
    rate.grant([0.5])
    await waiting
    assert now_s() == pytest.approx(1.5)
    assert rate.waiting == 0


async def test_several_wait_and_each_gets_a_time_of_its_own() -> None:
    rate = GrantedRate(FIFTY)
    at: list[float] = []

    async def start() -> None:
        await rate.take()
        at.append(round(now_s(), 3))

    starts = [asyncio.create_task(start()) for _ in range(4)]
    await asyncio.sleep(1.0)
    rate.grant([0.1, 0.2])
    await asyncio.sleep(1.0)
    rate.grant([0.1, 0.2])
    await asyncio.gather(*starts)
    assert at == [1.1, 1.2, 2.1, 2.2]


def test_however_late_in_its_time_a_start_comes_no_window_has_more_than_the_rate() -> None:
    for rate in (FIFTY, Rate(100, 60.0), Rate(3000, 1.0)):
        late_s = rate.unit_s * MARGIN / 2
        first_late_others_in_time_s = rate.count * interval_of(rate) - late_s
        assert first_late_others_in_time_s >= rate.unit_s


async def test_it_slows_down_where_the_api_struggles() -> None:
    adaptive = AdaptiveRate(50.0)
    adaptive.rate_per_s = 10.0
    rate = GrantedRate(FIFTY, adaptive)
    rate.grant([0.02 * n for n in range(100)])
    for _ in range(10):
        await rate.take()
    assert now_s() == pytest.approx(0.9, abs=0.05)


async def test_it_grows_with_a_ramp() -> None:
    rate = GrantedRate(FIFTY, ramp_s=10.0)
    rate.ramp.begin(now_s())
    rate.grant([0.02 * n for n in range(600)])
    at = []
    for _ in range(100):
        await rate.take()
        at.append(now_s())
    assert sum(start < 2.0 for start in at) < 15
    assert at == sorted(at)


async def test_several_senders_grow_together_as_one_does() -> None:
    rates = [GrantedRate(FIFTY, ramp_s=10.0) for _ in range(3)]
    at: list[float] = []

    async def starts(rate: GrantedRate) -> None:
        for _ in range(40):
            await rate.take()
            at.append(now_s())

    for number, rate in enumerate(rates):
        rate.ramp.begin(now_s())
        rate.ramp.senders = 3
        rate.grant([0.02 * n for n in range(number, 600, 3)])
    await asyncio.gather(*map(starts, rates))
    assert 5 <= sum(start < 2.0 for start in at) < 15
