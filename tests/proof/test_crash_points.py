"""A kill at each point where a crash would hurt most."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.desk import PROGRAM, Desk, Witness
from tests.proof.failpoints import ONCE, POINTS, program
from tests.proof.laws import check_laws, check_strangers

Start = Callable[..., Witness]
CUSTOMERS = range(5_000_001, 5_000_061)
CONCURRENCY = 4
ROUNDS = [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))]
SLOW = "[[rule]]\nact = 'apply'\ndelay_s = 0.03\n"
SEND = ("--rate", "500/s", "--concurrency", str(CONCURRENCY), "--canary", "0", "-q")


def crash(desk: Desk, witness: Witness, point: str, passes: int) -> None:
    """Crash there, check the laws, go on, and check them again."""
    desk.write("job.csv", [(who, 1001, 2001) for who in CUSTOMERS])
    desk.program = program(point, passes)
    process = desk.start("run", "job.csv", "--yes", *SEND)
    process.communicate(timeout=60)
    assert process.returncode == -9, f"{point}, {passes}: it ended with {process.returncode}"
    folder = desk.folder / "job.unenroll"
    crashed = check_laws(folder, witness, CUSTOMERS)
    assert crashed.in_doubt <= 2 * CONCURRENCY
    desk.program = PROGRAM
    ended = desk.do("run", "job.csv", "--yes", *SEND)
    assert ended.code == 0, ended.err
    account = check_laws(folder, witness, CUSTOMERS)
    assert account.left == account.in_doubt == 0
    assert account.twice <= 2 * CONCURRENCY
    check_strangers(witness, CUSTOMERS)
    assert witness.applied() == set(CUSTOMERS)
    assert len(desk.results()) == len(CUSTOMERS)
    verified = desk.do("verify", "job.unenroll")
    assert verified.code == 0, verified.err


@pytest.mark.attack("crash points", "the laws of kill -9, at each point; a resume finishes")
@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_there_loses_nobody(
    desk: Desk, witness: Start, seed: int, point: str, round_: int, proof: Callable[..., None]
) -> None:
    dice = random.Random(f"{seed}/{point}/{round_}")
    passes = 1 if point in ONCE else dice.randint(1, 12)
    crash(desk, witness(SLOW), point, passes)
    proof(points=len(POINTS), lost=0)
