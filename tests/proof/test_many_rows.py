"""Millions of rows to the end: two loaders, three senders, and now and then one that is killed.

The judge reads the sandbox's journal and the promised views as streams: for a long job neither
fits into the memory as objects.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kit.command import Desk, Witness
from tests.kit.postgres import Server
from tests.kit.supervisor import AGAIN, Supervisor
from tests.proof.controls.sabotaged import program
from tests.proof.test_many_senders import Team, ended, minded

Start = Callable[..., Witness]
PARTS = 8
FIRST_CUSTOMER = 423_000_001
REPEATED_SHARE = 0.01
BY_CUSTOMER = (
    "SELECT customer_id, count(*), bool_or(outcome = 'unanswered') FROM attempt_history GROUP BY 1"
)
BY_STATE = "SELECT status, count(*), count(DISTINCT customer_id) FROM results GROUP BY 1"


def write_parts(folder: Path, rows: int, dice: np.random.Generator) -> int:
    """So many rows in parts, some of which repeat others; how many customers there are."""
    folder.mkdir()
    customers = FIRST_CUSTOMER + 7 * dice.permutation(rows)
    again = np.flatnonzero(dice.random(rows) < REPEATED_SHARE)
    customers[again] = customers[dice.integers(0, rows, len(again))]
    for number, part in enumerate(np.array_split(customers, PARTS)):
        same = pa.array(np.full(len(part), 1001)), pa.array(np.full(len(part), 2001))
        table = pa.table([pa.array(part), *same], ["customerId", "targetGroupId", "targetId"])
        parquet.write_table(table, folder / f"part-{number}.parquet")
    return len(np.unique(customers))


class LongTeam(Team):
    """A team whose rows are in parts, and whose journal is too long to be read again and again."""

    def __post_init__(self) -> None:
        self.desk.environment["BULK_UNENROLL_LEDGER_URL"] = self.server.url()

    def await_calls(self, timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while not self.api.journal.exists() or not self.api.journal.stat().st_size:
            assert time.monotonic() < end_s, "it makes no call"
            time.sleep(0.05)

    def seen_by_customer(self) -> Counter[int]:
        with self.api.journal.open() as lines:
            return Counter(json.loads(line)["customer"] for line in lines)


def kill_now_and_then(
    team: Team, others: Supervisor, dice: random.Random, every_s: float, over: threading.Event
) -> None:
    while not over.wait(dice.uniform(0.5, 1.5) * every_s):
        with suppress(IndexError):  # all of them are being started again
            team.kill(dice.choice([one for one in others.running if one.poll() is None]))


def send_all(
    team: LongTeam, rows: int, rate: int, kill_every_s: float, seed: int
) -> tuple[float, set[int]]:
    """Load and send to the end while senders are killed.

    After how many seconds the first call came, and the codes with which senders ended.
    """
    began_s = time.monotonic()
    run = team.desk.start(
        *("run", "parts", "--job", team.job, "--loaders", 2, "--rate", f"{rate}/s", "--canary", 0),
        *("--concurrency", 64, "--first-time", "go", "--beside", "--no-export", "-q", "--yes"),
    )
    over = threading.Event()
    with minded(run):
        team.await_calls(60 + rows / 20_000)
        first_call_s = time.monotonic() - began_s
        with Supervisor(team.work, 2) as others:
            arguments = (team, others, random.Random(f"{seed}/many"), kill_every_s, over)
            killer = threading.Thread(target=kill_now_and_then, args=arguments)
            killer.start()
            code = ended(run, 60 + 3 * rows / rate)
            over.set()
            killer.join()
            others.wait(120)
    return first_call_s, {code, *others.codes}


@pytest.mark.attack(
    "many rows, two loaders, three senders, one killed now and then",
    "the account closes; all settled; nobody twice untold, nobody without a line in the ledger",
)
@pytest.mark.parametrize(
    ("rows", "rate", "kill_every_s"),
    [
        pytest.param(8_000, 400, 5.0, marks=pytest.mark.thorough),
        pytest.param(4_000_000, 4_000, 60.0, marks=pytest.mark.long),
    ],
)
def test_all_are_settled_and_nobody_is_called_twice_untold(
    desk: Desk,
    witness: Start,
    server: Server,
    seed: int,
    proof: Callable[..., None],
    rows: int,
    rate: int,
    kill_every_s: float,
) -> None:
    team = LongTeam(desk, witness(), server, range(0))
    customers = write_parts(desk.folder / "parts", rows, np.random.default_rng(seed % 2**32))
    first_call_s, codes = send_all(team, rows, rate, kill_every_s, seed)
    assert codes <= {0, AGAIN, -signal.SIGKILL}
    twice = judge(team, rows, customers)
    proof(
        rows=rows,
        kills=team.kills,
        **{"called twice, all listed": twice, "first call after (s)": round(first_call_s)},
    )


@pytest.mark.long
def test_calls_before_their_intents_are_noticed(
    desk: Desk, witness: Start, server: Server, seed: int
) -> None:
    """The control. Whoever meets the transaction that is kept open may end with 74."""
    team = LongTeam(desk, witness(), server, range(0))
    desk.program = program("tests.proof.controls.teams:no_intent")
    customers = write_parts(desk.folder / "parts", 3000, np.random.default_rng(1))
    send_all(team, 3000, 300, 2.0, seed)
    with pytest.raises(AssertionError, match="without a line"):
        judge(team, 3000, customers)


def judge(team: LongTeam, rows: int, customers: int) -> int:
    """Check the laws; how many were called twice."""
    seen = team.seen_by_customer()
    twice = listed = 0
    for customer, lines, doubted in team.ask(BY_CUSTOMER):
        assert seen[customer] <= lines, f"{customer} was called without a line in the ledger"
        assert seen[customer] == 1 or doubted, f"{customer} was called twice and is not listed"
        twice += seen[customer] > 1
        listed += customer in seen
    assert listed == len(seen), f"{len(seen) - listed} were called without a line in the ledger"
    assert len(seen) == customers
    found = {state: (number, people) for state, number, people in team.ask(BY_STATE)}
    assert sum(number for number, _ in found.values()) == rows, "the account closes"
    found.pop("duplicate")
    assert set(found) <= {"succeeded", "not_enrolled"}
    assert sum(people for _, people in found.values()) == customers
    _, gone = found.get("not_enrolled", (0, 0))
    assert gone <= twice, "it was the first call that took them out"
    return twice
