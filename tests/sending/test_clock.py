"""Clocks that part, for one was set or the machine slept: nobody is called again by guess."""

from __future__ import annotations

import asyncio

import pytest

from bulk_unenroll.model import Enrollment, State
from bulk_unenroll.sending.clock import PARTED_S, Clock
from tests.sending.scripted import LOST, Answer, Job, ScriptedApi, Watcher, error, http, keys

pytestmark = [pytest.mark.looptime]
JUMPS_S = [60.0, 86_400.0, -60.0, -86_400.0]


def lost_once(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
    return LOST if attempt == 1 else None


def jumps(job: Job, at_s: float, by_s: float) -> None:
    """Let the system's clock jump ``at_s`` seconds from now."""
    asyncio.get_running_loop().call_later(at_s, lambda: setattr(job, "set_by_s", by_s))


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_what_is_in_flight_when_clocks_part_is_not_sent_again(job: Job, by_s: float) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lost_once, latency_s=1.0)
    jumps(job, 0.5, by_s)
    await job.run(api)
    assert (len(api.starts), job.states()) == (1, {State.IN_DOUBT: 1})
    job.now_s += by_s
    await job.run(api)
    assert len(api.starts) == 1, "nor by the next run"


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_what_waits_to_be_sent_again_is_not(job: Job, by_s: float) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lost_once)
    jumps(job, 0.2, by_s)
    await job.run(api)
    assert (len(api.starts), job.states()) == (1, {State.IN_DOUBT: 1})
    job.now_s += by_s
    await job.run(api)
    assert len(api.starts) == 1


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_calls_that_were_never_in_doubt_go_on(job: Job, by_s: float) -> None:
    job.plan(keys(range(1, 401)))

    def busy_at_times(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        return error(521) if key.customer % 10 == 0 and attempt == 1 else None

    api = ScriptedApi(busy_at_times)
    jumps(job, 0.2, by_s)
    began_s = asyncio.get_running_loop().time()
    await job.run(api, max_attempts=9)
    assert job.states() == {State.SUCCEEDED: 400}
    assert asyncio.get_running_loop().time() - began_s < 120


@pytest.mark.parametrize("by_s", [PARTED_S / 2, -PARTED_S / 2])
async def test_clocks_drift_a_little(job: Job, by_s: float) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lost_once, latency_s=1.0)
    jumps(job, 0.5, by_s)
    await job.run(api)
    assert job.states() == {State.SUCCEEDED: 1}


@pytest.mark.parametrize("ahead_s", [60.0, 86_400.0])
async def test_a_call_in_the_future_has_no_age(job: Job, ahead_s: float) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lost_once)
    await job.run(api, max_attempts=1)
    assert job.states() == {State.IN_DOUBT: 1}
    job.now_s -= ahead_s  # the clock was ahead, and was set right
    await job.run(api)
    assert len(api.starts) == 1


async def test_control_a_call_of_a_minute_ago_is_sent_again(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lost_once)
    await job.run(api, max_attempts=1)
    job.now_s += 60
    await job.run(api)
    assert job.states() == {State.SUCCEEDED: 1}


@pytest.mark.parametrize("ahead_s", [1800.0, 86_400.0])
async def test_a_clock_that_was_ahead_lets_no_row_wait_for_long(job: Job, ahead_s: float) -> None:
    job.plan(keys([7]))
    busy = ScriptedApi(lambda key, attempt, at_s: http(429, "3000"))
    await job.run(busy, stop_after_s=1)
    job.now_s -= ahead_s
    began_s = asyncio.get_running_loop().time()
    await job.run(ScriptedApi())
    assert job.states() == {State.SUCCEEDED: 1}
    assert asyncio.get_running_loop().time() - began_s < 70


async def test_a_long_wait_for_a_next_try_is_told(job: Job) -> None:
    job.plan(keys([7]))
    watcher = Watcher()
    api = ScriptedApi(lambda key, attempt, at_s: http(503, "600") if attempt == 1 else None)
    await job.run(api, watcher=watcher)
    assert job.states() == {State.SUCCEEDED: 1}
    assert any(590 < seconds <= 600 for seconds in watcher.pauses)


async def test_slow_drift_over_days_is_no_jump(job: Job) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    clock = Clock(lambda: 1e9 + 1.0005 * (loop.time() - began_s))
    for _ in range(1000):
        await asyncio.sleep(600)
        assert not clock.look()
    assert clock.is_trusted_since(began_s)
