"""kill -9 at any moment: nobody is lost, nobody was called without a line in the ledger."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bulk_unenroll.ledger.sqlite.loading import BULK_FROM_ROWS
from tests.kit.command import Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.laws import Account, check_laws, check_strangers

Start = Callable[..., Witness]
CONCURRENCY = 8
CUSTOMERS = 800
FIRST = 1_000_000
AT_ONCE = 4
EARLY_SHARE = 0.25
EARLY_S = (0.2, 1.2)
"""How many kills come so soon after the start; the others after the first call or result."""
LATE_S = 2.0
FIGURES = ("kills", "load", "send", "export", "jobs done", "requests", "called twice, all listed")
JOBS_OF_A_PART = 100
REPEATED = (BULK_FROM_ROWS // CUSTOMERS + 1, 20)
"""How often each customer is in the file, so that loading takes a while, in bulk or by rows."""

SLOW = """
[[rule]]
every = 10
code = 310011
delay_s = 0.03
[[rule]]
act = "apply"
delay_s = 0.03
"""
SEND = ("--rate", "300/s", "--concurrency", str(CONCURRENCY), "--canary", "0", "--beside", "-q")
ALLOW = ("--allow", "short-ids")
"""Some files repeat their customers, to be large."""


def customers_of(job: int) -> range:
    """The customers of one job, and of no other."""
    first = FIRST * (job + 1)
    return range(first, first + 7 * CUSTOMERS, 7)


@dataclass(frozen=True)
class Began:
    """When a process began: bytes in the journal, Unix time."""

    journalled: int
    at_s: float


@dataclass
class Job:
    """A file with customers of no other job, run again and again until it is done."""

    desk: Desk
    witness: Witness
    number: int
    kills: int = 0
    code: int | None = None
    phases: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.customers = customers_of(self.number)
        repeated = REPEATED[self.number % len(REPEATED)]
        self.desk.write(
            f"{self.name}.csv", [(who, 1001, 2001) for who in self.customers] * repeated
        )

    @property
    def name(self) -> str:
        return f"job-{self.number}"

    @property
    def folder(self) -> Path:
        return self.desk.folder / f"{self.name}.unenroll"

    def go_on(self, dice: random.Random) -> bool:
        """Start or go on, and kill it some time later; whether it ended before."""
        resumable = (self.folder / "results.csv").exists() or self.phases["send"] > 0
        words = (
            ["resume", self.folder.name]
            if resumable
            else ["run", f"{self.name}.csv", "--yes", *ALLOW]
        )
        began = Began(self.witness.journal.stat().st_size, time.time())
        process = self.desk.start(*words, *SEND)
        if dice.random() < EARLY_SHARE:
            time.sleep(dice.uniform(*EARLY_S))
        else:
            while process.poll() is None and self.phase(began) == "load":
                time.sleep(0.02)
            with suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0.0, LATE_S))
        ended = process.poll() is not None
        process.kill()
        process.communicate()
        self.code = process.returncode
        self.kills += not ended
        self.phases[self.phase(began)] += not ended
        return ended

    def phase(self, began: Began) -> str:
        """The phase that the process has reached which ``began`` then."""
        part = self.folder / ".results.csv.part"
        if part.exists() and part.stat().st_mtime > began.at_s:
            return "export"
        with self.witness.journal.open() as journal:
            journal.seek(began.journalled)
            whole = (line for line in journal if line.endswith("\n"))
            mine = any(json.loads(line)["customer"] in self.customers for line in whole)
        return "send" if mine else "load"

    def account(self) -> Account:
        return check_laws(self.folder, self.witness, self.customers)


def kill_often(
    desk: Desk, witness: Witness, moments: int, dice: random.Random, first_job: int
) -> Counter[str]:
    """Kill at many moments, and check the laws after each. Return what was hit and seen."""
    found: Counter[str] = Counter()
    job = Job(desk, witness, first_job)
    while found["kills"] < moments:
        ended = job.go_on(dice)
        account = job.account()
        assert account.twice <= 2 * CONCURRENCY * job.kills
        found["kills"] += not ended
        if ended:
            assert job.code == 1
            assert account.left == account.in_doubt == 0
            verified = desk.do("verify", job.folder)
            assert verified.code == 0, verified.err
            found += job.phases
            found["requests"] += account.requests
            found["called twice, all listed"] += account.twice
            found["jobs done"] += 1
            job = Job(desk, witness, job.number + 1)
    return found + job.phases


@pytest.mark.attack(
    "kill -9",
    "0 customers lost, 0 seen by the server without a line in the ledger, 0 false `succeeded`;"
    " repeats at most 2 × concurrency a kill, each listed",
)
@pytest.mark.parametrize("moments", [4, *thorough(100), *long(1000)])
def test_a_kill_at_any_moment_loses_nobody(
    desk: Desk, witness: Start, seed: int, moments: int, proof: Callable[..., None]
) -> None:
    api = witness(SLOW)

    def kill_some(part: int) -> Counter[str]:
        dice = random.Random(f"{seed}/kill/{part}")
        return kill_often(desk, api, moments // AT_ONCE, dice, part * JOBS_OF_A_PART)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = sum(pool.map(kill_some, range(AT_ONCE)), Counter[str]())
    jobs = range(AT_ONCE * JOBS_OF_A_PART)
    check_strangers(api, {who for job in jobs for who in customers_of(job)})
    proof(**{name: found[name] for name in FIGURES}, lost=0, unseen=0, false=0)


def kill_while_sending(desk: Desk, witness: Witness, jobs: int, dice: random.Random) -> None:
    """Kill each job soon after its first request, and check the laws."""
    for number in range(jobs):
        job = Job(desk, witness, number)
        began = Began(witness.journal.stat().st_size, time.time())
        process = desk.start("run", f"{job.name}.csv", "--yes", *ALLOW, *SEND)
        while job.phase(began) == "load" and process.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
        job.account()


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ("no_intent", "without a line"),
        ("result_before_answer", "never took out"),
    ],
)
@pytest.mark.thorough
def test_a_program_without_the_law_does_not_pass(
    desk: Desk, witness: Start, seed: int, control: str, said: str
) -> None:
    """The controls."""
    desk.program = program(f"tests.proof.controls.crashes:{control}")
    with pytest.raises(AssertionError, match=said):
        kill_while_sending(desk, witness(SLOW), 20, random.Random(f"{seed}/control"))
