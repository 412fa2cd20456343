"""A signal at any moment: a clean stop, nobody in doubt, the promised exit code."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.kit.command import PROGRAM, Desk, Witness
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.laws import check_laws, check_strangers

Start = Callable[..., Witness]
CUSTOMERS = 300
REPEATED = 40
SLOW = "[[rule]]\nact = 'apply'\ndelay_s = 0.1\n"
SEND = ("--rate", "300/s", "--concurrency", "16", "--canary", "0", "--beside", "-q")
ALLOW = ("--allow", "short-ids")
"""Some files repeat their customers, to be large."""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
ONE = [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP,)]
TWO = [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)]


class Job:
    """A file with customers of no other job, in its own folder."""

    def __init__(self, desk: Desk, number: int) -> None:
        self._desk = desk
        first = 1_000_000 * (number + 1)
        self.customers = range(first, first + 7 * CUSTOMERS, 7)
        self.name = f"job-{number}"
        desk.write(f"{self.name}.csv", [(who, 1001, 2001) for who in self.customers] * REPEATED)

    @property
    def folder(self) -> Path:
        return self._desk.folder / f"{self.name}.unenroll"

    @property
    def words(self) -> tuple[str, ...]:
        return ("run", f"{self.name}.csv", "--yes", *ALLOW, *SEND)


def begin(desk: Desk, job: Job) -> subprocess.Popen[bytes]:
    process = desk.start(*job.words)
    while not job.folder.exists():  # until then Python itself begins
        time.sleep(0.01)
    return process


def lasts_s(desk: Desk, job: Job) -> float:
    """How long a job takes on this machine that nobody stops."""
    process = begin(desk, job)
    began_s = time.monotonic()
    process.communicate(timeout=60)
    return time.monotonic() - began_s


def interrupt(
    desk: Desk,
    job: Job,
    signals: tuple[signal.Signals, ...],
    dice: random.Random,
    latest_s: float,
) -> int:
    """Start the job, send the signals at random moments; how it ended."""
    process = begin(desk, job)
    wait_s = dice.uniform(0.0, latest_s)
    for number in signals:
        try:
            process.communicate(timeout=wait_s)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            wait_s = dice.uniform(0.0, 0.08)
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err, err.decode()
    return process.returncode


def stop_and_go_on(
    desk: Desk,
    witness: Witness,
    number: int,
    signals: tuple[signal.Signals, ...],
    seed: int,
    latest_s: float,
) -> str:
    """Stop a job with signals, check the laws, finish it; how it ended."""
    job = Job(desk, number)
    dice = random.Random(f"{seed}/signals/{number}")
    code = interrupt(desk, job, signals, dice, latest_s)
    ended = code == 0
    assert ended or code in {CODES[one] for one in signals}, f"job {number}: exit {code}"
    stopped = check_laws(job.folder, witness, job.customers)
    if len(signals) == 1:
        assert stopped.in_doubt == 0, f"job {number}: {stopped.in_doubt} in doubt"
        assert stopped.twice == 0
    desk.program = PROGRAM
    done = desk.do(*job.words)
    assert done.code == 0, done.err
    account = check_laws(job.folder, witness, job.customers)
    assert account.left == account.in_doubt == 0
    if ended:
        return "had ended before"
    return "stopped with some sent" if stopped.requests else "stopped before sending"


def stop_often(
    desk: Desk,
    witness: Witness,
    seed: int,
    moments: int,
    kinds: Sequence[tuple[signal.Signals, ...]],
    by: Sequence[str] = PROGRAM,
) -> Counter[str]:
    """Stop jobs at many moments with signals of these kinds. Return how they ended."""
    dice = random.Random(f"{seed}/signals")
    found: Counter[str] = Counter()
    latest_s = lasts_s(desk, Job(desk, moments))
    for number in range(moments):
        desk.program = by
        found[stop_and_go_on(desk, witness, number, dice.choice(kinds), seed, latest_s)] += 1
    check_strangers(witness, range(1_000_000, 1_000_000 * (moments + 3)))
    return found


@pytest.mark.attack(
    "signals",
    "after one signal nobody is in doubt; the right exit code every time; a resume finishes",
)
@pytest.mark.parametrize("moments", [*thorough(6), *long(200)])
def test_a_signal_at_any_moment(
    desk: Desk, witness: Start, seed: int, moments: int, proof: Callable[..., None]
) -> None:
    found = stop_often(desk, witness(SLOW), seed, moments, (*ONE, *ONE, *TWO))
    proof(moments=moments, **dict(sorted(found.items())))


@pytest.mark.thorough
def test_a_program_that_drops_what_is_in_flight_does_not_pass(
    desk: Desk, witness: Start, seed: int
) -> None:
    """The control."""
    sabotaged = program("tests.proof.controls.crashes:drop_on_stop")
    with pytest.raises(AssertionError, match="in doubt"):
        stop_often(desk, witness(SLOW), seed, 10, ONE, sabotaged)
