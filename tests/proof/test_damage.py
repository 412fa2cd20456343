"""A damaged ledger is refused, and never taken for an empty one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.folder import ledger_path, make_folder
from bulk_unenroll.ledger.sqlite import file as program
from bulk_unenroll.ledger.sqlite.failures import translated
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.proof import integrity_faults
from bulk_unenroll.model import State
from tests.kit.accidents import after_kill
from tests.ledger.kit import begin, claim, confirmed, keys, settle, unanswered
from tests.ledger.kit import turn as record

ROUNDS = 500
PROMISE = "refused, or the record of who was called is unchanged; never treated as empty"
Content = list[str]
Damage = Callable[[Path, random.Random], str]


def make(folder: Path) -> SqliteLedger:
    """A ledger in use, with customers in several states, in its file and in its log."""
    make_folder(folder)
    with closing(SqliteLedger.open(folder)) as ledger:
        confirmed(ledger, keys(*range(1, 301)))
        begin(ledger)
        settle(ledger, *range(1, 101))
    ledger = SqliteLedger.open(folder)
    begin(ledger)
    settle(ledger, *range(101, 151), state=State.FAILED, code="310011")
    record(ledger, *(unanswered(call) for call in claim(ledger, 40)))
    claim(ledger, 5)
    return ledger


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a kill leaves: a ledger, its log and its mark."""
    folder = tmp_path_factory.mktemp("damage") / "job.unenroll"
    with closing(make(folder)):
        return after_kill(folder)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "job.unenroll"
    make(folder).close()
    return folder


def content(folder: Path) -> Content:
    """Who was called, and how it ended. Raises ``LedgerFailed``, also for what does not add up."""
    with closing(program.open_read_only(ledger_path(folder))) as connection:
        faults = integrity_faults(connection)
        if faults:
            raise LedgerFailed(faults[0])
        with translated(ledger_path(folder)):
            attempts = connection.raw.execute(
                "SELECT target_group_id, target_id, customer_id, outcome FROM attempt_history"
            )
            states = connection.raw.execute(
                "SELECT target_group_id, target_id, customer_id, state FROM item"
                " JOIN target ON target.id = item.target"
            )
            return sorted(map(repr, [*attempts, *states]))


# ── what happens to files ────────────────────────────────────────────────────────────────────────


def flip_a_bit(path: Path, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {at} of {path.name} flipped"


def cut(path: Path, dice: random.Random) -> str:
    data = path.read_bytes()
    kept = dice.randrange(len(data))
    path.write_bytes(data[:kept])
    return f"{path.name} cut from {len(data)} to {kept} bytes"


def blank(path: Path, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    at = dice.randrange(0, len(data), 512)
    length = min(512 * dice.choice([1, 8, 64]), len(data) - at)
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    return f"{length} bytes of {path.name} from {at} on turned to zeros"


def lose(path: Path, dice: random.Random) -> str:
    path.unlink()
    return f"{path.name} lost"


def attack(folder: Path, names: list[str], to: Path, dice: random.Random) -> str:
    """Damage a copy of ``folder``; return what was done."""
    damages: Sequence[Damage] = (*(flip_a_bit,) * 6, *(cut,) * 3, *(blank,) * 2, lose)
    while True:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to)
        name = dice.choice(names)
        what = dice.choice(damages)(to / name, dice)
        if not (to / name).exists() or (to / name).read_bytes() != (folder / name).read_bytes():
            return what  # zeros may have been turned to zeros


def survivors(
    folder: Path, names: list[str], to: Path, dice: random.Random, rounds: int = ROUNDS
) -> tuple[int, list[str]]:
    """How many damaged copies were refused, and which were taken with another content."""
    before, refused, changed = content(folder), 0, []
    for _ in range(rounds):
        what = attack(folder, names, to, dice)
        try:
            if content(to) != before:
                changed.append(what)
            with closing(SqliteLedger.open(to)):
                pass
        except LedgerFailed:
            refused += 1
    return refused, changed


@pytest.mark.attack("damaged ledger, after it was closed", PROMISE)
def test_a_closed_ledger_is_refused_whatever_was_damaged(
    closed: Path, tmp_path: Path, seed: int, proof: Callable[..., None]
) -> None:
    dice = random.Random(f"{seed}/closed")
    refused, changed = survivors(closed, ["ledger.sqlite"], tmp_path / "x", dice)
    proof(damages=ROUNDS, refused=refused, taken_with_another_content=len(changed))
    assert changed == []
    assert refused == ROUNDS


@pytest.mark.attack("damaged ledger, after a kill", PROMISE)
def test_a_killed_ledger_is_refused_or_unchanged(
    killed: Path, tmp_path: Path, seed: int, proof: Callable[..., None]
) -> None:
    dice = random.Random(f"{seed}/killed")
    names = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-mark"]
    refused, changed = survivors(killed, names, tmp_path / "x", dice)
    proof(damages=ROUNDS, refused=refused, taken_with_another_content=len(changed))
    assert changed == []


@pytest.mark.attack("lost -wal", "refused")
def test_a_lost_log_is_refused(killed: Path, tmp_path: Path, proof: Callable[..., None]) -> None:
    shutil.copytree(killed, tmp_path / "x")
    (tmp_path / "x" / "ledger.sqlite-wal").unlink()
    with pytest.raises(LedgerFailed, match="changes are lost"):
        SqliteLedger.open(tmp_path / "x")
    proof(refused="yes")


@pytest.mark.thorough
def test_without_mark_and_seal_damage_would_pass(
    closed: Path, killed: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(program, "check_seal", lambda path, mark: None)
    monkeypatch.setattr(program, "check_commits", lambda connection, mark: None)
    dice = random.Random(f"{seed}/control")
    refused, _ = survivors(closed, ["ledger.sqlite"], tmp_path / "x", dice, 100)
    _, changed = survivors(killed, ["ledger.sqlite-wal"], tmp_path / "x", dice, 100)
    assert refused < 100
    assert changed
