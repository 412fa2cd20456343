"""Who may read what, and links and owners planted to be followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.accidents import any_mask, read_only
from tests.kit.command import Desk, Witness, people

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
NAMES = ("results.csv", "failed.csv", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
         "ledger.sqlite-mark", "lock", "report.html")  # fmt: skip
VICTIM = "not for this program\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def kind_of_witness() -> type[Witness]:
    return Witness


@pytest.fixture
def job(desk: Desk, witness: Start) -> Witness:
    api = witness()
    desk.write("job.csv", [(who, 1001, 2001) for who in people(20)] + [("x", 1, 1)])
    return api


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.attack("files", "0600 and 0700 whatever the umask; no link followed or overwritten")
def test_everything_is_for_its_owner_alone_whatever_the_umask(
    desk: Desk, job: Witness, proof: Callable[..., None]
) -> None:
    with any_mask():
        ended = desk.do("run", "job.csv", *FAST, "--log-file", "job.log", "--max-invalid", "5")
        assert ended.code == 1, ended.err
        assert desk.do("export", "job.unenroll", "--to", "all.csv").code == 0
    folder = desk.folder / "job.unenroll"
    assert mode(folder) == 0o700
    files = [*folder.iterdir(), desk.folder / "all.csv", desk.folder / "job.log"]
    assert {path.name: oct(mode(path)) for path in files if mode(path) != 0o600} == {}
    proof(files=len(files), readable_by_others=0)


@pytest.mark.attack("files", "0600 and 0700 whatever the umask; no link followed or overwritten")
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nowhere"])
@pytest.mark.parametrize("name", NAMES)
def test_a_planted_link_is_neither_followed_nor_written_through(
    desk: Desk, job: Witness, name: str, there: bool, proof: Callable[..., None]
) -> None:
    folder, victim = desk.folder / "job.unenroll", desk.folder / "victim"
    folder.mkdir(mode=0o700)
    if there:
        victim.write_text(VICTIM)
    (folder / name).symlink_to(victim)
    ended = desk.do("run", "job.csv", *FAST, "--max-invalid", "5")
    assert ended.code in (1, 73, 74), ended.err
    if there:
        assert victim.read_text() == VICTIM
        assert not os.access(victim, os.X_OK)
    else:
        assert not victim.exists()
    if ended.code != 1:
        assert job.seen() == []
    proof(**{"links followed": 0})


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl", "all.parquet"])
def test_an_export_replaces_a_link_and_leaves_what_it_led_to(
    desk: Desk, job: Witness, name: str
) -> None:
    assert desk.do("run", "job.csv", *FAST, "--max-invalid", "5").code == 1
    victim = desk.folder / "victim"
    victim.write_text(VICTIM)
    (desk.folder / name).symlink_to(victim)
    assert desk.do("export", "job.unenroll", "--to", name).code == 0
    assert victim.read_text() == VICTIM
    assert not (desk.folder / name).is_symlink()


def test_a_folder_that_cannot_be_written_is_refused(desk: Desk, job: Witness) -> None:
    folder = desk.folder / "job.unenroll"
    folder.mkdir()
    with read_only(folder):
        ended = desk.do("run", "job.csv", *FAST)
    assert ended.code in (73, 1), "a superuser's own process may write"
    if ended.code == 73:
        assert job.seen() == []


@needs_root
@pytest.mark.attack("files", "0600 and 0700 whatever the umask; no link followed or overwritten")
@pytest.mark.parametrize("what", ["folder", "ledger"])
def test_a_stranger_s_folder_or_ledger_is_refused(
    desk: Desk, job: Witness, what: str, proof: Callable[..., None]
) -> None:
    assert desk.do("plan", "job.csv", "--max-invalid", "5").code == 1
    folder = desk.folder / "job.unenroll"
    os.chown(folder if what == "folder" else folder / "ledger.sqlite", 65534, 65534)
    ended = desk.do("run", "job.csv", *FAST, "--max-invalid", "5")
    assert ended.code in (73, 74)
    assert "belongs to somebody else" in ended.err
    assert job.seen() == []
    proof(strangers_trusted=0)
