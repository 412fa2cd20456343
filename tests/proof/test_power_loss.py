"""Power loss: only what was synced survives, and that holds every call that was made."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bulk_unenroll.ledger.sqlite.loading import BULK_FROM_ROWS
from tests.kit.command import Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.disks import PoweredDisk, compiled, needs_a_compiler, repair_disk
from tests.proof.kit.laws import check_laws, check_strangers

pytestmark = needs_a_compiler
Start = Callable[..., Witness]
CUSTOMERS = 300
REPEATED = (1, BULK_FROM_ROWS // CUSTOMERS + 1)
CONCURRENCY = 8
SLOW = "[[rule]]\nact = 'apply'\ndelay_s = 0.02\n"
SEND = (
    *("--rate", "300/s", "--concurrency", str(CONCURRENCY), "--canary", "0", "-q", "--yes"),
    *(
        "--allow",
        "short-ids",
        "--allow",
        "again",
        "--beside",
    ),  # files repeat customers, to be large
)
LATEST_S = 2.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("disk"))


def cut_the_power(
    desk: Desk, witness: Witness, library: Path, number: int, dice: random.Random
) -> str:
    """Cut the power in the middle of a job, check the laws, and finish it on what is left."""
    first = 1_000_000 * (number + 1)
    customers = range(first, first + 7 * CUSTOMERS, 7)
    rows = [(who, 1001, 2001) for who in customers] * REPEATED[number % len(REPEATED)]
    desk.write(f"job-{number}.csv", rows)
    folder = desk.folder / f"job-{number}.unenroll"
    disk = PoweredDisk(desk, folder, library)
    process = desk.start("run", f"job-{number}.csv", *SEND)
    while not folder.exists() and process.poll() is None:  # until then Python itself begins
        time.sleep(0.01)
    try:
        process.communicate(timeout=dice.uniform(0.0, LATEST_S))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    image = disk.after_the_cut()
    repair_disk(desk)
    account = check_laws(image, witness, customers)
    assert account.in_doubt <= 2 * CONCURRENCY
    done = desk.do("run", f"job-{number}.csv", "--out", image.name, *SEND)
    assert done.code == 0, done.err
    settled = check_laws(image, witness, customers)
    assert settled.left == settled.in_doubt == 0
    assert desk.do("verify", image.name).code == 0
    return "in the middle" if 0 < account.requests < CUSTOMERS else "before or after sending"


def cut_often(
    desk: Desk, witness: Witness, library: Path, cuts: int, seed: int, control: str = ""
) -> Counter[str]:
    dice = random.Random(f"{seed}/power")
    found: Counter[str] = Counter()
    for number in range(cuts):
        if control:
            desk.program = program(f"tests.proof.controls.crashes:{control}")
        found[cut_the_power(desk, witness, library, number, dice)] += 1
    check_strangers(witness, range(1_000_000, 1_000_000 * (cuts + 2)))
    return found


@pytest.mark.attack(
    "power loss", "0 requests without an intent in what survives; a resume finishes"
)
@pytest.mark.parametrize("cuts", [1, *thorough(5), *long(60)])
def test_what_was_synced_holds_every_call(
    desk: Desk,
    witness: Start,
    library: Path,
    seed: int,
    cuts: int,
    proof: Callable[..., None],
) -> None:
    found = cut_often(desk, witness(SLOW), library, cuts, seed)
    proof(cuts=cuts, **dict(sorted(found.items())), without_an_intent=0)


@pytest.mark.thorough
def test_with_synchronous_normal_it_does_not(
    desk: Desk, witness: Start, library: Path, seed: int
) -> None:
    """The control."""
    with pytest.raises(AssertionError, match="without a line in the ledger"):
        cut_often(desk, witness(SLOW), library, 20, seed, "synchronous_normal")
