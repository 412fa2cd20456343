"""The real runner against a network of dice, through kills and resumes: no law is broken."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.ledger.interface import Reopening
from bulk_unenroll.ledger.sqlite import ledger as program
from bulk_unenroll.ledger.sqlite.claims import Claims
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import Enrollment, State, Target
from bulk_unenroll.option_values import Limit, Rate
from bulk_unenroll.sending.dispatcher import Dispatcher
from bulk_unenroll.sending.landing import Flight
from tests.kit.tiers import long, thorough
from tests.proof.kit.virtual_time import Mortal, in_virtual_time
from tests.sending.scripted import LOST, REFUSED, Answer, error, http, keys, success
from tests.sending.test_rate_limit import most_within

PROMISE = "no law broken; replay identical"
ANSWERS: dict[str, Answer] = {
    "lost": LOST,
    "refused": REFUSED,
    "500": http(500),
    "503": http(503, "2"),
    "429": http(429),
    "bad id": error(310011),
    "busy": error(521),
    "not enrolled": error(310149),
    "review": error(310119, 400),
}
ENDS = {
    State.SUCCEEDED: {"success"},
    State.NOT_ENROLLED: {"not enrolled"},
    State.FAILED: {"bad id", "429", "503", "busy"},
    State.REVIEW: {"review"},
}
UNANSWERED = {"lost", "500", "killed"}


class Broken(AssertionError):
    """A law of the promise was broken."""


@dataclass
class Network:
    """Answers by the dice, and watches the laws that show on the wire.

    ``trace``: when each call started, whose it was, what came of it (``killed`` until then).
    """

    dice: random.Random
    folder: Path
    trace: list[tuple[float, Enrollment, str]] = field(default_factory=list)
    in_flight: set[Enrollment] = field(default_factory=set)
    most_in_flight: int = 0
    settled: set[Enrollment] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = list(ANSWERS)
        self.weights = {name: self.dice.choice([0, 0, 1, 3, 10]) for name in names}
        self.calm = self.dice.choice([20, 100, 400])
        self.latency_s = self.dice.choice([0.01, 0.3, 3.0])

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        if self.dice.random() < 0.05:
            await asyncio.sleep(self.dice.uniform(0, 3))
            await connected()
        self._watch(key)
        number, at_s = len(self.trace), asyncio.get_running_loop().time()
        self.trace.append((round(at_s, 6), key, "killed"))
        self.in_flight.add(key)
        try:
            await asyncio.sleep(self.dice.expovariate(1 / self.latency_s))
            name, answer = self._answer(key)
            self.trace[number] = (*self.trace[number][:2], name)
            return answer
        finally:
            self.in_flight.discard(key)

    def _watch(self, key: Enrollment) -> None:
        if key in self.in_flight:
            raise Broken(f"two calls of {key} at once")
        if key in self.settled:
            raise Broken(f"{key} was called after it was settled")
        path = self.folder / "ledger.sqlite"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            (state,) = reader.execute(
                "SELECT state FROM item JOIN target t ON t.id = target"
                " WHERE customer_id = ? AND t.target_id = ?",
                (key.customer, key.target.rule),
            ).fetchone()
        if state != "sending":
            raise Broken(f"{key} was sent while its durable state was {state}")
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight) + 1)

    def _answer(self, key: Enrollment) -> tuple[str, Answer]:
        names = ["success", *self.weights]
        (name,) = self.dice.choices(names, [self.calm, *self.weights.values()])
        return name, ANSWERS.get(name) or success(key.customer)


@dataclass
class Simulation:
    """One seed: its rows, its network, its lives, and what must hold after each of them."""

    seed: str
    folder: Path

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.network = Network(self.dice, self.folder)
        self.rows = keys(range(1, self.dice.randrange(2, 60)), (1001, 2001), (1001, 2002))
        self.how: dict[str, Any] = {
            "rate": self.dice.choice([Rate(7, 1.0), Rate(100, 60.0), Rate(50, 1.0)]),
            "concurrency": self.dice.choice([1, 3, 16]),
            "canary": self.dice.choice([0, 0, 4]),
            "max_attempts": self.dice.choice([1, 3, 5]),
            "in_doubt": "resend" if self.dice.random() < 0.8 else "hold",
            "max_failures": Limit(100, percent=True),
            "turn_s": self.dice.choice([0.001, 0.02, 0.3]),
        }

    async def go(self) -> list[object]:
        """The trace and the end, which are the same whenever this seed is run."""
        with Mortal(self.folder) as job:
            job.plan(self.rows)
            for _ in range(self.dice.randrange(1, 6)):
                after_s = self.dice.choice([None, self.dice.expovariate(1 / 5)])
                await job.live(self.network, kill_after_s=after_s, **self.how)
                self.network.folder = job.folder
                self._check(job.ledger)
                if self.dice.random() < 0.3:
                    states = [State.FAILED, State.IN_DOUBT, State.REVIEW]
                    job.ledger.reopen(Reopening(states), now_s=job.now_s)
                await job.rest(self.dice.choice([0.0, 1.0, 1000.0]))
            return [*self.network.trace, *self._states(job.ledger).items()]

    def _states(self, ledger: SqliteLedger) -> dict[Enrollment, State]:
        found = ledger.connection.raw.execute(
            "SELECT t.target_group_id, t.target_id, customer_id, state FROM item i"
            " JOIN target t ON t.id = i.target ORDER BY i.id"
        )
        return {
            Enrollment(customer, Target(None, group, rule)): State(state)
            for group, rule, customer, state in found
        }

    def _check(self, ledger: SqliteLedger) -> None:
        faults = ledger.reader.integrity_faults()
        if faults:
            raise Broken(faults[0])
        states, came = self._states(ledger), defaultdict(list)
        for _, key, name in self.network.trace:
            came[key].append(name)
        if set(states) != set(self.rows):
            raise Broken("the ledger holds others than the file")
        for key, state in states.items():
            self._check_one(key, state, came[key])
        self.network.settled |= {
            key for key, state in states.items() if state in (State.SUCCEEDED, State.NOT_ENROLLED)
        }
        self._check_wire(ledger)

    def _check_one(self, key: Enrollment, state: State, came: list[str]) -> None:
        if state in ENDS and not ENDS[state] & set(came):
            raise Broken(f"{key} is {state} after {came}")
        if state is State.PENDING and UNANSWERED & set(came[-1:]):
            raise Broken(f"{key} is pending after {came}")

    def _check_wire(self, ledger: SqliteLedger) -> None:
        sent = sum(name != "refused" for _, _, name in self.network.trace)
        lines = ledger.connection.raw.execute("SELECT count(*) FROM attempt_history")
        (known,) = lines.fetchone()
        if known < sent:
            raise Broken(f"{sent} requests left, {known} are on record")
        rate, starts = self.how["rate"], sorted(at_s for at_s, _, _ in self.network.trace)
        if most_within(starts, rate.unit_s) > rate.count:
            raise Broken(f"more than {rate}")
        if self.network.most_in_flight > self.how["concurrency"]:
            raise Broken(f"{self.network.most_in_flight} in flight")


def simulated(seed: str, folder: Path) -> list[object]:
    folder.mkdir()
    try:
        return in_virtual_time(Simulation(seed, folder).go())
    except Broken as broken:
        raise Broken(f"seed {seed}: {broken}") from None


@pytest.mark.attack("simulation", PROMISE)
@pytest.mark.parametrize("seeds", [5, *thorough(15), *long(500)])
def test_no_law_is_broken_and_a_replay_is_identical(
    tmp_path: Path, seed: int, proof: Callable[..., None], seeds: int
) -> None:
    calls = 0
    for nth in range(seeds):
        this, folder = f"{seed}/{nth}", tmp_path / str(nth)
        folder.mkdir()
        once = simulated(this, folder / "once")
        assert simulated(this, folder / "again") == once, f"seed {this} replays otherwise"
        calls += sum(isinstance(step, tuple) and len(step) == 3 for step in once)
        shutil.rmtree(folder)
    proof(seeds=seeds, calls=calls, broken=0)


def attack(tmp_path: Path, seed: int) -> None:
    """A few seeds, until a law is broken."""
    for nth in range(15):
        simulated(f"{seed}/{nth}", tmp_path / str(nth))


def test_control_one_call_for_two_workers(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_off = Dispatcher._take_off

    def twice(dispatcher: Dispatcher) -> Flight:
        flight = take_off(dispatcher)
        if flight.call.enrollment.customer % 5 == 0 and flight.call.tries == 0:
            dispatcher._run.ready.appendleft(flight.call)
        return flight

    monkeypatch.setattr(Dispatcher, "_take_off", twice)
    with pytest.raises(Broken, match=r"at once|durable state"):
        attack(tmp_path, seed)


def test_control_an_intent_that_comes_late(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claims.claim

    def forgetful(claims: Claims, *how: Any) -> Any:
        calls = claim(claims, *how)
        claims._connection.raw.executemany(
            "UPDATE item SET state = 'pending' WHERE id = ?", [(call.id,) for call in calls]
        )
        return calls

    monkeypatch.setattr(Claims, "claim", forgetful)
    with pytest.raises(Broken, match="durable state"):
        attack(tmp_path, seed)


def test_control_a_recovery_that_forgets_the_doubt(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(connection: Writer) -> None:
        connection.raw.execute("UPDATE item SET state = 'pending' WHERE state = 'sending'")

    monkeypatch.setattr(program, "recover", forgetful)
    with pytest.raises(Broken, match=r"is pending after|are on record"):
        attack(tmp_path, seed)
