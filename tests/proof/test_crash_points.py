"""A kill at each point where a crash would hurt most."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bulk_unenroll.ledger.sqlite.loading import BULK_FROM_ROWS
from tests.kit.command import PROGRAM, Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program as sabotaged
from tests.proof.kit.failpoints import BULK_POINTS, ONCE, POINTS, program
from tests.proof.kit.laws import check_laws, check_strangers

Start = Callable[..., Witness]
CUSTOMERS = range(5_000_001, 5_000_421, 7)
REPEATED_IN_BULK = BULK_FROM_ROWS // len(CUSTOMERS) + 1
CONCURRENCY = 4
QUICK = {
    "after the intents are committed",
    "a request is on its way",
    "before the results are committed",
    "within a batch of the bulk",
}
ROUNDS = [0, *long(*range(1, 10))]
SLOW = "[[rule]]\nact = 'apply'\ndelay_s = 0.03\n"
SEND = ("--rate", "500/s", "--concurrency", str(CONCURRENCY), "--canary", "0", "--beside", "-q")
ALLOW = ("--allow", "short-ids")
"""Some files repeat their customers, to be large."""


def in_tiers(points: Iterable[str]) -> list[Any]:
    """The points as parameters: those that are not quick in the thorough tier."""
    return [value for one in points for value in ([one] if one in QUICK else thorough(one))]


def points_in_tier(point: str) -> int:
    """How many points are tried in the tier of this one."""
    points = POINTS if point in POINTS else BULK_POINTS
    return sum((one in QUICK) == (point in QUICK) for one in points)


def crash(desk: Desk, witness: Witness, point: str, passes: int, repeated: int = 1) -> None:
    """Crash there, check the laws, resume, and check them again."""
    desk.write("job.csv", [(who, 1001, 2001) for who in CUSTOMERS] * repeated)
    desk.program = program(point, passes)
    process = desk.start("run", "job.csv", "--yes", *ALLOW, *SEND)
    process.communicate(timeout=60)
    assert process.returncode == -9, f"{point}, {passes}: it ended with {process.returncode}"
    folder = desk.folder / "job.unenroll"
    crashed = check_laws(folder, witness, CUSTOMERS)
    assert crashed.in_doubt <= 2 * CONCURRENCY
    desk.program = PROGRAM
    ended = desk.do("run", "job.csv", "--yes", *ALLOW, *SEND)
    assert ended.code == 0, ended.err
    account = check_laws(folder, witness, CUSTOMERS)
    assert account.left == account.in_doubt == 0
    assert account.twice <= 2 * CONCURRENCY
    check_strangers(witness, CUSTOMERS)
    assert witness.applied() == set(CUSTOMERS)
    assert len(desk.results()) == len(CUSTOMERS) * repeated
    verified = desk.do("verify", "job.unenroll")
    assert verified.code == 0, verified.err


@pytest.mark.attack("crash points", "the laws of kill -9, at each point; a resume finishes")
@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("point", in_tiers(POINTS))
def test_a_crash_there_loses_nobody(
    desk: Desk, witness: Start, seed: int, point: str, round_: int, proof: Callable[..., None]
) -> None:
    dice = random.Random(f"{seed}/{point}/{round_}")
    passes = 1 if point in ONCE else dice.randint(1, 12)
    crash(desk, witness(SLOW), point, passes)
    proof(points=len(POINTS) if round_ else points_in_tier(point), lost=0)


@pytest.mark.attack(
    "crash points of a large load", "nothing of it can be sent; the next run loads all of it"
)
@pytest.mark.parametrize("point", in_tiers(BULK_POINTS))
@pytest.mark.thorough
def test_a_crash_in_a_large_load_loses_nobody(
    desk: Desk, witness: Start, point: str, proof: Callable[..., None]
) -> None:
    crash(desk, witness(SLOW), point, 1, REPEATED_IN_BULK)
    proof(points=points_in_tier(point), lost=0)


@pytest.mark.thorough
def test_a_ledger_that_keeps_half_a_load_does_not_pass(desk: Desk, witness: Start) -> None:
    """The control."""
    witnessed = witness(SLOW)
    desk.write("job.csv", [(who, 1001, 2001) for who in CUSTOMERS] * REPEATED_IN_BULK)
    desk.program = program("before the indexes are made again", 1)
    assert desk.do("run", "job.csv", "--yes", *ALLOW, *SEND).code == -9
    desk.program = sabotaged("tests.proof.controls.crashes:half_a_load_stays")
    ended = desk.do("run", "job.csv", "--yes", *ALLOW, *SEND)
    assert ended.code != 0
    assert not witnessed.seen()
