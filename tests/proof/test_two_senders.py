"""Several at once on one folder: one sends, the others end with 75 while it does."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.kit.command import PROGRAM, Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.laws import check_laws, check_strangers

Start = Callable[..., Witness]
CUSTOMERS = 60
SLOW = "[[rule]]\nact = 'apply'\ndelay_s = 0.5\n"
SEND = ("--rate", "10/s", "--concurrency", "4", "--canary", "0", "--beside", "-q", "--yes")


def race(desk: Desk, witness: Witness, number: int, senders: int) -> float:
    """Start ``senders`` together; check who sent. Return the seconds until all others had ended."""
    first = 1_000_000 * (number + 1)
    customers = range(first, first + 7 * CUSTOMERS, 7)
    name = f"job-{number}.csv"
    desk.write(name, [(who, 1001, 2001) for who in customers])
    began_s = time.monotonic()
    with ExitStack() as together:
        racing = [together.enter_context(desk.start("run", name, *SEND)) for _ in range(senders)]
        refused = first_to_end(racing, senders - 1)
        refused_s = time.monotonic() - began_s
        assert [process.returncode for process in refused] == [75] * (senders - 1)
        (sender,) = [process for process in racing if process not in refused]
        assert sender.poll() is None, "the others waited until the sender was done"
        sender.communicate(timeout=60)
    assert sender.returncode == 0
    account = check_laws(desk.folder / f"job-{number}.unenroll", witness, customers)
    assert (account.requests, account.twice) == (CUSTOMERS, 0)
    for process in refused:
        process.communicate()
    return refused_s


def first_to_end(
    racing: list[subprocess.Popen[bytes]], number: int
) -> list[subprocess.Popen[bytes]]:
    """The first of them to end, by number."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        ended = [process for process in racing if process.poll() is not None]
        if len(ended) >= number:
            return ended
        time.sleep(0.01)
    raise AssertionError("not all but one were refused within a minute")


@pytest.mark.attack(
    "two senders", "one sends; the others exit 75 while it does; nobody is called twice"
)
@pytest.mark.parametrize("rounds", [*thorough(2), *long(50)])
def test_one_of_many_sends(
    desk: Desk, witness: Start, seed: int, rounds: int, proof: Callable[..., None]
) -> None:
    api = witness(SLOW)
    dice = random.Random(f"{seed}/senders")
    found: Counter[str] = Counter()
    each_s = []
    for number in range(rounds):
        senders = dice.randint(2, 8)
        each_s.append(race(desk, api, number, senders) / senders)
        found["refused"] += senders - 1
    check_strangers(api, range(1_000_000, 1_000_000 * (rounds + 2)))
    proof(rounds=rounds, **found, seconds_to_refusal_each=round(max(each_s), 2))


@pytest.mark.thorough
def test_the_next_one_starts_at_once_after_a_kill(desk: Desk, witness: Start) -> None:
    api = witness(SLOW)
    customers = range(1_000_000, 1_000_000 + 7 * CUSTOMERS, 7)
    desk.write("job.csv", [(who, 1001, 2001) for who in customers])
    killed = desk.start("run", "job.csv", *SEND)
    api.wait_for_calls()
    killed.kill()
    killed.communicate()
    assert desk.do("run", "job.csv", *SEND).code == 0
    assert check_laws(desk.folder / "job.unenroll", api, customers).left == 0


@pytest.mark.thorough
def test_a_lock_that_does_not_lock_does_not_pass(desk: Desk, witness: Start, seed: int) -> None:
    """The control."""
    desk.program = program("tests.proof.controls.crashes:lock_that_does_not_lock")
    try:
        with pytest.raises(AssertionError):
            race(desk, witness(SLOW), 0, 4)
    finally:
        desk.program = PROGRAM
