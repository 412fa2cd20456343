"""A disk that is full or fails: sending stops at once, nothing is lost, a resume finishes."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bulk_unenroll.ledger.sqlite.loading import BULK_FROM_ROWS
from tests.kit.command import PROGRAM, Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.disks import break_disk, compiled, needs_a_compiler, repair_disk
from tests.proof.kit.laws import check_laws, check_strangers

pytestmark = needs_a_compiler
Start = Callable[..., Witness]
CUSTOMERS = 60
REPEATED_IN_BULK = BULK_FROM_ROWS // CUSTOMERS + 1
CONCURRENCY = 4
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
ERRORS = (errno.ENOSPC, errno.EIO)
LAST_WRITE = 500
"""A run makes some more."""
PROMISED = {0, 73, 74}
"""0 where the run was over before the disk broke."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("disk"))


def break_it(
    desk: Desk, witness: Witness, library: Path, number: int, at: int, control: str = ""
) -> int:
    """Run until the ``at``-th write fails, check, repair the disk, finish; return the exit code."""
    first = 1_000_000 * (number + 1)
    customers = range(first, first + 7 * CUSTOMERS, 7)
    name = f"job-{number}.csv"
    rows = [(who, 1001, 2001) for who in customers] * (1, REPEATED_IN_BULK)[number // 2 % 2]
    desk.write(name, rows)
    folder = desk.folder / f"job-{number}.unenroll"
    break_disk(desk, folder, library, at, ERRORS[number % 2])
    desk.program = program(f"tests.proof.controls.crashes:{control}") if control else PROGRAM
    broken = desk.do("run", name, *SEND)
    repair_disk(desk)
    desk.program = PROGRAM
    where = f"write {at} failed, exit {broken.code}: {broken.err[-300:]}"
    assert broken.code in PROMISED, where
    account = check_laws(folder, witness, customers)
    assert account.in_doubt <= 2 * CONCURRENCY, where
    finished = desk.do("run", name, *SEND)
    assert finished.code == 0, f"{where}; then {finished.err}"
    settled = check_laws(folder, witness, customers)
    assert settled.left == settled.in_doubt == 0, where
    assert settled.twice <= 2 * CONCURRENCY, where
    assert desk.do("verify", folder.name).code == 0, where
    return broken.code


def break_often(
    desk: Desk, witness: Witness, library: Path, moments: list[int], control: str = ""
) -> Counter[int]:
    found: Counter[int] = Counter()
    for number, at in enumerate(moments):
        found[break_it(desk, witness, library, number, at, control)] += 1
    check_strangers(witness, range(1_000_000, 1_000_000 * (len(moments) + 2)))
    return found


def spread(seed: int, moments: int) -> list[int]:
    """The first writes one by one, then some of those that follow."""
    one_by_one = list(range(1, moments // 3 + 1))
    later = range(len(one_by_one) + 1, LAST_WRITE)
    dice = random.Random(f"{seed}/disk")
    return one_by_one + sorted(dice.sample(later, moments - len(one_by_one)))


@pytest.mark.attack(
    "disk full, I/O error",
    "exit 74 (73 for a folder that cannot be made), nothing is sent after that; resume finishes",
)
@pytest.mark.parametrize("moments", [1, *thorough(8), *long(120)])
def test_the_nth_write_fails(
    desk: Desk,
    witness: Start,
    library: Path,
    seed: int,
    moments: int,
    proof: Callable[..., None],
) -> None:
    found = break_often(desk, witness(SLOW), library, spread(seed, moments))
    assert found[74] > moments // 2, found
    proof(
        moments=moments,
        last_write=spread(seed, moments)[-1],
        **{f"exit {code}": found[code] for code in sorted(found)},
    )


WORDS = {
    errno.ENOSPC: ("the disk of job.unenroll is full", "free some room"),
    errno.EDQUOT: ("this user's quota on the disk of job.unenroll is used up", "more quota"),
    errno.EROFS: ("the disk of job.unenroll is read-only", "make it writable"),
    errno.EIO: ("the disk of job.unenroll reports an error", "check the disk"),
}


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.thorough
def test_why_the_disk_refuses_is_said(
    desk: Desk, witness: Start, library: Path, number: int
) -> None:
    """SQLite tells a used-up quota and a broken disk by the same code."""
    witness(SLOW)
    desk.write("job.csv", [(who, 1001, 2001) for who in range(1_000_000, 1_000_420, 7)])
    break_disk(desk, desk.folder / "job.unenroll", library, 150, number)
    ended = desk.do("run", "job.csv", *SEND)
    assert ended.code == 74
    reason, remedy = WORDS[number]
    what, then = ended.last_lines
    assert reason in what
    assert remedy in what
    assert "damage" not in ended.err
    assert then == "next: bulk-unenroll resume job.unenroll"
    assert not (desk.folder / "job.unenroll/.probe").exists()


@pytest.mark.thorough
def test_a_program_that_is_deaf_to_the_disk_does_not_pass(
    desk: Desk, witness: Start, library: Path, seed: int
) -> None:
    """The control."""
    with pytest.raises(AssertionError):
        break_often(desk, witness(SLOW), library, spread(seed, 40)[15::3], "deaf_to_the_disk")
