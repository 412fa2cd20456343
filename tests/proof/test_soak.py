"""A long run that is killed again and again: the same laws, and flat memory and descriptors."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness
from tests.proof.kit.laws import check_laws

Start = Callable[..., Witness]
ROWS = int(os.environ.get("SOAK_ROWS", "1000000"))
KILL_EVERY_S = float(os.environ.get("SOAK_KILL_EVERY_S", "30"))
FIRST = 400_000_001
CONCURRENCY = 32
FAULTS = """
[[rule]]
probability = 0.01
act = "reset_after"
[[rule]]
probability = 0.01
status = 502
"""


def used(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Megabytes in memory, and open descriptors."""
    proc = Path(f"/proc/{process.pid}")
    pages = int((proc / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(list((proc / "fd").iterdir()))


def let_it_run(process: subprocess.Popen[bytes], seconds: float) -> list[tuple[float, int]]:
    """What it used, once a second, until it ended or the time is up."""
    found = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and process.poll() is None:
        time.sleep(1.0)
        if process.poll() is None:
            found.append(used(process))
    return found


@pytest.mark.long
@pytest.mark.attack("soak", "the laws of kill -9; memory and descriptors stay flat")
def test_a_million_rows_two_percent_faults_and_a_kill_every_half_minute(
    desk: Desk, witness: Start, seed: int, proof: Callable[..., None]
) -> None:
    api = witness(f"seed = {seed}\n{FAULTS}")
    customers = range(FIRST, FIRST + 7 * ROWS, 7)
    order = list(customers)
    random.Random(seed).shuffle(order)
    desk.write("job.csv", [(who, 1001, 2001 + who % 3) for who in order])
    words = ("--rate", "5000/s", "--concurrency", str(CONCURRENCY), "-q", "--no-export")
    process = desk.start("run", "job.csv", "--yes", *words)
    kills, memory, descriptors = 0, [], []
    while True:
        for megabytes, number in let_it_run(process, KILL_EVERY_S):
            memory.append(megabytes)
            descriptors.append(number)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
        process = desk.start("resume", "job.unenroll", *words)
    process.communicate()
    account = check_laws(desk.folder / "job.unenroll", api, customers)
    assert account.left == 0
    assert account.twice <= 2 * CONCURRENCY * kills + 0.05 * ROWS
    assert desk.do("verify", "job.unenroll", timeout_s=600).code == 0
    proof(
        rows=ROWS, kills=kills, most_megabytes=round(max(memory)), most_descriptors=max(descriptors)
    )
    assert max(memory) < 250
    assert max(descriptors) < 50 + CONCURRENCY
