"""The API fails for ten minutes, then every second call does, then all is well (virtual time)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bulk_unenroll.capillary.calls import Fault, Loss
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.model import Enrollment, State
from bulk_unenroll.option_values import Rate, parse_rate
from bulk_unenroll.sending.circuit_breaker import CircuitBreaker
from bulk_unenroll.sending.outage import Outage
from tests.sending.scripted import LOST, REFUSED, Answer, Job, error, http, keys, success

pytestmark = [pytest.mark.looptime]

MINUTE_S = 60.0
CALM_S, STORM_S, HALF_S = 5 * MINUTE_S, 10 * MINUTE_S, 10 * MINUTE_S
OVER_S = CALM_S + STORM_S + HALF_S
SUPERVISOR_S = 2 * MINUTE_S
"""How long after a run that gave up somebody resumes it."""


@dataclass(frozen=True)
class Storm:
    """How calls fail: with what, after how long, and whether they were applied nevertheless."""

    answer: Answer
    fails_in_s: float = 0.2
    may_apply: bool = False
    arrives: bool = True


STORMS = {
    "503": Storm(http(503), may_apply=True),
    "503 with Retry-After 5": Storm(http(503, "5")),
    "503 with Retry-After 30": Storm(http(503, "30")),
    "429": Storm(http(429)),
    "resets": Storm(LOST, may_apply=True),
    "timeouts": Storm(Fault(Loss.UNANSWERED, "timeout", "no answer"), 75.0, may_apply=True),
    "refused": Storm(REFUSED, arrives=False),
}


QUICK = "503"
THOROUGH = ["503 with Retry-After 5", "timeouts", "refused"]
LONG = [
    ("100/min", 0.2, 10),
    ("100/min", 5.0, 3),
    ("600/min", 0.2, 2),
    ("600/min", 2.0, 2),
    ("50/s", 0.3, 1),
]


@dataclass
class StormyApi:
    """Answers by the weather; ``starts`` are the times of the calls that arrived.

    Times are seconds since the weather began.
    """

    storm: Storm
    dice: random.Random
    latency_s: float
    began_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    starts: list[float] = field(default_factory=list)
    gone: set[Enrollment] = field(default_factory=set)

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        at_s = self.now_s()
        fails = self.dice.random() < failing_share(at_s)
        if self.storm.arrives or not fails:
            self.starts.append(at_s)
        if not fails:
            await asyncio.sleep(self.latency_s)
            return self._unenrolled(key)
        await asyncio.sleep(self.storm.fails_in_s)
        if self.storm.may_apply and self.dice.random() < 0.5:
            self.gone.add(key)
        return self.storm.answer

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.began_s

    def _unenrolled(self, key: Enrollment) -> Answer:
        if key in self.gone:
            return error(310149)
        self.gone.add(key)
        return success(key.customer)


def failing_share(at_s: float) -> float:
    if at_s < CALM_S or at_s >= OVER_S:
        return 0.0
    return 1.0 if at_s < CALM_S + STORM_S else 0.5


@dataclass(frozen=True)
class Weathered:
    """How a job ended that went through a storm.

    ``ends``: the exit codes of runs that gave up. ``back``: the share of the rate that was used in
    the minute that begins a minute after the recovery.
    """

    sends_a_row: float
    states: dict[State, int]
    ends: list[int]
    back: float


async def weathered(
    folder: Path, name: str, rate: Rate, seed: int, latency_s: float = 0.2
) -> Weathered:
    """Run a job that has work for twenty minutes but for the storm; resume if it gives up."""
    with Job(folder) as job:
        return await _weathered(job, name, rate, seed, latency_s)


async def _weathered(job: Job, name: str, rate: Rate, seed: int, latency_s: float) -> Weathered:
    rows = int(20 * MINUTE_S * rate.per_s)
    job.plan(keys(range(1, rows + 1)))
    api = StormyApi(STORMS[name], random.Random(f"{seed}/{name}/{rate}/{latency_s}"), latency_s)
    ends: list[int] = []
    while endings := await job.run(api, rate=rate, concurrency=32, canary=10):
        ends += endings
        await asyncio.sleep(SUPERVISOR_S)
        job.now_s += SUPERVISOR_S
    assert api.now_s() > OVER_S + 2 * MINUTE_S, "no work was left for the recovery"
    from_s = OVER_S + MINUTE_S
    after = sum(from_s <= at_s < from_s + MINUTE_S for at_s in api.starts)
    back = after / (rate.per_s * MINUTE_S)
    return Weathered(len(api.starts) / rows, job.states(), ends, back)


def assert_survived(name: str, seed: int, found: Weathered) -> None:
    where = f"{name}, seed {seed}: {found}"
    assert set(found.states) <= {State.SUCCEEDED, State.NOT_ENROLLED}, where
    assert found.sends_a_row <= 1.10, where
    if STORMS[name].arrives:
        assert found.back >= 0.90, where
        assert not found.ends, where
    else:  # what cannot be reached for two minutes ends the run, with nobody called meanwhile
        assert set(found.ends) == {ExitCode.API_FAILS}, where
        assert found.sends_a_row == 1, where


@pytest.mark.attack(
    "storm",
    "at most 1.10 sends a row; back to 90 % of the rate within 60 s; nobody marked failed for it",
)
@pytest.mark.parametrize(
    ("name", "rate", "latency_s", "seeds"),
    [
        (QUICK, "100/min", 0.2, 1),
        *(pytest.param(name, "100/min", 0.2, 1, marks=pytest.mark.thorough) for name in THOROUGH),
        *(pytest.param(name, *case, marks=pytest.mark.long) for name in STORMS for case in LONG),
    ],
)
async def test_a_storm_costs_few_sends_and_no_row(
    tmp_path: Path,
    seed: int,
    proof: Callable[..., None],
    name: str,
    rate: str,
    latency_s: float,
    seeds: int,
) -> None:
    worst = 0.0
    for one in range(seed, seed + seeds):
        folder = tmp_path / str(one)
        folder.mkdir()
        found = await weathered(folder, name, parse_rate(rate), one, latency_s)
        assert_survived(name, one, found)
        worst = max(worst, found.sends_a_row)
    proof(**{f"{name} at {rate}, answers in {latency_s} s: sends a row": f"{worst:.3f}"})


@pytest.mark.thorough
async def test_control_a_breaker_that_never_trips_does_not_survive_it(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CircuitBreaker, "_trip", lambda *_, **__: None)
    monkeypatch.setattr(CircuitBreaker, "hold_s", lambda *_, **__: 0.0)
    found = await weathered(tmp_path, "503", parse_rate("100/min"), seed)
    assert found.states[State.IN_DOUBT] > 100
    assert found.sends_a_row > 1.5
    with pytest.raises(AssertionError):
        assert_survived("503", seed, found)


@pytest.mark.long
async def test_control_without_slow_trials_half_a_storm_costs_too_many_sends(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "passes", lambda *_: True)
    found = await weathered(tmp_path, "503", parse_rate("100/min"), seed)
    with pytest.raises(AssertionError, match="sends_a_row"):
        assert_survived("503", seed, found)
