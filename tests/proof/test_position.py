"""The position of a customer in a file never matters: only who is in it, and who is settled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.in_process import InProcess
from tests.kit.tiers import long, thorough
from tests.proof.controls import files as controls
from tests.proof.file_cases.case import HEADER

VERSIONS = 4
KEYS = 20
Row = tuple[int, int, int]
NO_IDS = ("x,1001,2001", "4.2E+08,1001,2001", "7,1001", "07,1001,2001")


def changed(rows: list[Row], fresh: list[Row], dice: random.Random) -> list[Row]:
    """The next version: some gone, some new, some repeated, and all in another order."""
    kept = [row for row in rows if dice.random() < 0.8]
    new = [fresh.pop() for _ in range(dice.randint(1, 4))]
    repeated = dice.choices(kept, k=dice.randint(0, 4)) if kept else []
    return dice.sample([*kept, *new, *repeated], len(kept) + len(new) + len(repeated))


def written(rows: list[Row], dice: random.Random) -> str:
    """A file of these rows, and of rows that are none."""
    lines = [",".join(map(str, row)) for row in rows]
    for _ in range(dice.randint(0, 2)):
        lines.insert(dice.randint(0, len(lines)), dice.choice(NO_IDS))
    return HEADER + "".join(f"{line}\n" for line in lines)


def job(desk: Desk, witness: Witness, dice: random.Random) -> int:
    """One folder, several versions of a file; how many customers/targets were called.

    Some versions are only planned. Each run calls just those of its version that nobody called.
    """
    keys = [(customer, 1001, target) for customer in people(KEYS * 4) for target in (2001, 2002)]
    fresh = dice.sample(keys, len(keys))
    rows = [fresh.pop() for _ in range(KEYS)]
    settled: set[Row] = set()
    for version in range(VERSIONS):
        path = desk.folder / dice.choice(("a.csv", "a.csv", "b.csv"))
        path.write_text(written(rows, dice))
        command = dice.choice(("run", "run", "plan"))
        send = (
            *("--yes", "--rate", "2000/s", "--max-invalid", "100%", "--no-export", "--beside"),
            *("--allow", "again", "--canary-good", "0%", "--max-not-enrolled", "100%"),
        )
        before = len(witness.seen())
        options = send if command == "run" else ()
        ended = desk.do(command, path.name, "--json", "--out", "x.unenroll", *options)
        assert ended.code in (0, 1), ended.err
        called = Counter(
            (seen["customer"], seen["group"], seen["target"]) for seen in witness.seen()[before:]
        )
        wanted = set(rows) - settled if command == "run" else set()
        assert called == Counter(wanted), f"version {version}: {called} called, not {wanted}"
        assert ended.json["rows"]["unique"] == len(set(rows))
        settled |= wanted
        rows = changed(rows, fresh, dice)
    return len(settled)


@pytest.fixture
def sending(desk: Desk, witness: Callable[..., Witness]) -> Callable[[int], tuple[Desk, Witness]]:
    """Makes desks, each a folder, that send to one witness."""
    started = witness()

    def make(number: int) -> tuple[Desk, Witness]:
        folder: Path = desk.folder / str(number)
        folder.mkdir()
        own = InProcess(folder)
        own.environment = desk.environment
        return own, started

    return make


@pytest.mark.attack(
    "files re-sorted, extended, shortened, repeated", "each run calls what was never settled, once"
)
@pytest.mark.parametrize("jobs", [*thorough(15), *long(500)])
def test_position_never_matters(
    sending: Callable[[int], tuple[Desk, Witness]],
    seed: int,
    proof: Callable[..., None],
    jobs: int,
) -> None:
    called = 0
    for number in range(jobs):
        called += job(*sending(number), random.Random(f"{seed}/position/{number}"))
    proof(folders=jobs, versions=jobs * VERSIONS, called=called, called_wrongly=0)
    assert called > jobs * KEYS / 2


@pytest.mark.thorough
def test_a_program_that_remembers_positions_is_caught(
    sending: Callable[[int], tuple[Desk, Witness]], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    caught = 0
    for number in range(5):
        monkeypatch.setattr("bulk_unenroll.inputs.staging._stage", controls.by_position())
        try:
            job(*sending(number), random.Random(f"{seed}/position/{number}"))
        except AssertionError:
            caught += 1
    assert caught >= 4
