"""A verdict that stops calls holds from the moment it is read, however late the ledger answers.

What the ledger was just handing out at that moment does not leave either, and goes back to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bulk_unenroll.ledger.interface import Turn
from bulk_unenroll.model import Enrollment, State, Target
from bulk_unenroll.option_values import Limit, Rate
from tests.sending.scripted import LOST, Answer, Basic, Job, ScriptedApi, error, http, keys

pytestmark = pytest.mark.looptime

every_timing = pytest.mark.parametrize(
    ("concurrency", "latency_s", "late_s"),
    [(1, 0.02, 0.03), (1, 0.02, 0.3), (8, 0.02, 0.03), (8, 0.001, 0.0), (64, 0.01, 0.015)],
)


@dataclass
class StrictApi(ScriptedApi):
    """Gives ``answer`` to what is ``covered``; ``too_late`` are calls of it made after the first.

    An answer is read at the moment at which it is given.
    """

    covered: Callable[[Enrollment], bool] = lambda enrollment: True
    answer: Answer = field(default_factory=lambda: http(404))
    read_after: int | None = None

    def __post_init__(self) -> None:
        self.script = self._answer

    def _answer(self, enrollment: Enrollment, attempt: int, at_s: float) -> Answer | None:
        if not self.covered(enrollment):
            return None
        if self.read_after is None:
            self.read_after = len(self.starts)
        return self.answer

    @property
    def too_late(self) -> list[Enrollment]:
        assert self.read_after is not None, "the answer that matters was never given"
        return [one for _, one in self.starts[self.read_after :] if self.covered(one)]


def of_rule(rule: int) -> Callable[[Enrollment], bool]:
    return lambda enrollment: enrollment.target.rule == rule


def of_group(group: int) -> Callable[[Enrollment], bool]:
    return lambda enrollment: enrollment.target.group == group


def of_org(org: int) -> Callable[[Enrollment], bool]:
    return lambda enrollment: enrollment.target.org == org


@every_timing
async def test_no_call_of_a_blocked_target_leaves(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 101), (1001, 9)) + keys(range(1, 101), (1001, 2001)))
    api = StrictApi(latency_s=latency_s, covered=of_rule(9), answer=error(310018))
    assert await job.run(api, concurrency=concurrency, late_s=late_s) == {}
    assert api.too_late == []
    assert job.states() == {State.SUCCEEDED: 100, State.BLOCKED: 100}


async def test_nor_one_that_a_worker_was_just_handed(job: Job) -> None:
    """The answer arrives while the next call is on its way from the dispatcher to its worker."""
    arrives = asyncio.Event()

    class SlowForTheFirst(StrictApi):
        async def unenroll(self, key: Enrollment, *how: Any) -> Answer:
            first = not self.starts
            answer = await super().unenroll(key, *how)
            if first:
                await arrives.wait()
                self.read_after = len(self.starts)
            return answer

    class Arriving(Basic):
        def stale(self, now_s: float) -> bool:  # asked right before a call starts
            if len(api.starts) == 10:
                arrives.set()
            return False

    gone, known = keys(range(1, 101), (1001, 9)), keys(range(1, 10), (1001, 2001))
    job.plan([gone[0], *known, *gone[1:]])
    api = SlowForTheFirst(latency_s=0.0, covered=of_rule(9), answer=error(310018))
    await job.run(api, auth=Arriving(), concurrency=2, rate=Rate(5000, 1.0))
    assert api.too_late == []
    assert job.states() == {State.SUCCEEDED: 9, State.BLOCKED: 100}


async def test_nor_one_whose_connection_takes_its_time(job: Job) -> None:
    class SlowToConnect(StrictApi):
        async def unenroll(self, key: Enrollment, headers: Any, connected: Any) -> Answer:
            await asyncio.sleep(0.1 * (key.customer - 1))
            await connected()
            return await super().unenroll(key, headers, connected)

    job.plan(keys(range(1, 9), (1001, 9)))
    api = SlowToConnect(covered=of_rule(9), answer=error(310018))
    await job.run(api, concurrency=8)
    assert len(api.starts) == 1
    assert job.states() == {State.BLOCKED: 8}


@every_timing
async def test_no_call_of_a_blocked_group_leaves(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 101), (9, 1), (9, 2)) + keys(range(1, 101), (1001, 2001)))
    api = StrictApi(latency_s=latency_s, covered=of_group(9), answer=error(310017))
    assert await job.run(api, concurrency=concurrency, late_s=late_s) == {}
    assert api.too_late == []
    assert job.states() == {State.SUCCEEDED: 100, State.BLOCKED: 200}


@every_timing
async def test_no_call_of_a_halted_org_leaves(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 101), org=5) + keys(range(1, 101), org=6))
    api = StrictApi(latency_s=latency_s, covered=of_org(5), answer=error(310144))
    assert list(await job.run(api, concurrency=concurrency, late_s=late_s)) == [78]
    assert api.too_late == []
    assert job.states() == {State.SUCCEEDED: 100, State.PENDING: 100}


@every_timing
async def test_no_call_leaves_after_a_halt_of_the_run(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 101)))
    api = StrictApi(latency_s=latency_s, answer=http(404))
    assert list(await job.run(api, concurrency=concurrency, late_s=late_s)) == [78]
    assert api.too_late == []
    assert job.states() == {State.PENDING: 100}


@every_timing
async def test_no_call_leaves_after_one_failure_too_many(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 101)))
    api = StrictApi(latency_s=latency_s, answer=error(310011))
    limit = Limit(0, percent=False)
    ended = await job.run(api, concurrency=concurrency, late_s=late_s, max_failures=limit)
    assert list(ended) == [69]
    assert api.too_late == []


@every_timing
async def test_no_call_leaves_after_a_stop(
    job: Job, concurrency: int, latency_s: float, late_s: float
) -> None:
    job.plan(keys(range(1, 2001)))
    api = ScriptedApi(latency_s=latency_s)
    await job.run(api, concurrency=concurrency, late_s=late_s, stop_after_s=0.7005)
    assert [at_s for at_s, _ in api.starts if at_s > 0.7005] == []
    assert job.states() == {
        State.SUCCEEDED: len(api.starts),
        State.PENDING: 2000 - len(api.starts),
    }


async def test_a_call_in_doubt_of_a_blocked_target_still_gets_an_answer_of_its_own(
    job: Job,
) -> None:
    """Nothing else can settle it: the ledger blocks only what certainly was not called."""
    gone = Target(None, 1001, 9)

    def script(enrollment: Enrollment, attempt: int, at_s: float) -> Answer | None:
        if enrollment.target != gone:
            return None
        return LOST if enrollment.customer == 1 and attempt == 1 else error(310018)

    job.plan(keys(range(1, 51), (1001, 9), (1001, 2001)))
    api = ScriptedApi(script)
    assert await job.run(api, concurrency=1, late_s=0.03) == {}
    assert job.states() == {State.SUCCEEDED: 50, State.BLOCKED: 50}
    assert api.calls()[Enrollment(1, gone)] == 2


async def test_a_retry_of_a_blocked_target_is_blocked_instead(job: Job) -> None:
    """It was in flight when its target was blocked, and is asked to come again after that."""
    busy = Enrollment(1, Target(None, 1001, 9))

    class SlowForOne(ScriptedApi):
        async def unenroll(self, key: Enrollment, *how: Any) -> Answer:
            answer = await super().unenroll(key, *how)
            if key == busy:
                await asyncio.sleep(0.2)
            return answer

    def script(enrollment: Enrollment, attempt: int, at_s: float) -> Answer | None:
        if enrollment.target != busy.target:
            return None
        return error(521) if enrollment == busy else error(310018)

    job.plan(keys(range(1, 51), (1001, 9), (1001, 2001)))
    api = SlowForOne(script)
    assert await job.run(api) == {}
    assert job.states() == {State.SUCCEEDED: 50, State.BLOCKED: 50}
    assert api.calls()[busy] == 1


async def test_a_canary_that_died_holds_back_what_the_ledger_still_hands_out(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the ledger does: a call that may not leave goes back."""
    job.plan(keys(range(1, 101)))
    turn = job.ledger.turn

    def generous(*args: Any, claim: int, only: Any, **kwargs: Any) -> Turn:
        return turn(*args, claim=claim, only=None, **kwargs)

    monkeypatch.setattr(job.ledger, "turn", generous)
    api = StrictApi(latency_s=0.02, answer=error(310011))
    assert list(await job.run(api, canary=1, concurrency=1, late_s=0.03)) == [69]
    assert api.too_late == []
