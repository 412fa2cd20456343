"""A copy of a run folder does not go on beside the original: both would call the same customers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
MANY = people(40)


@pytest.fixture
def half_done(desk: Desk, witness: Start) -> tuple[Path, Witness]:
    """A folder with 35 of 40 left to call."""
    api = witness()
    desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
    assert desk.do("run", "job.csv", *FAST, "--limit", "5", "--canary", "0").code == 3
    return desk.folder / "job.unenroll", api


@pytest.mark.parametrize("words", [("resume",), ("retry",), ("run", "job.csv", "--out")])
def test_a_copy_is_refused(
    desk: Desk, half_done: tuple[Path, Witness], words: tuple[str, ...]
) -> None:
    folder, api = half_done
    shutil.copytree(folder, desk.folder / "copy.unenroll")
    ended = desk.do(*words, "copy.unenroll", *FAST)
    assert ended.code == 78
    assert f"copy.unenroll is a copy of {folder}, which is still there" in ended.last_lines[0]
    assert ended.last_lines[1] == f"next: bulk-unenroll status {folder}"
    assert len(api.seen()) == 5
    assert desk.do("status", "copy.unenroll").code == 0
    assert desk.do("resume", "job.unenroll", *FAST).code == 0


def test_a_copy_made_during_the_first_run_is_refused(desk: Desk, witness: Start) -> None:
    """What the original noted is in its log then, and not in its file."""
    api = witness()
    desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
    going = Desk(desk.folder)
    going.environment = desk.environment
    first = going.start("run", "job.csv", "--rate", "10/s", "--yes")
    api.wait_for_calls(3)
    shutil.copytree(desk.folder / "job.unenroll", desk.folder / "copy.unenroll")
    assert desk.do("resume", "copy.unenroll", *FAST).code == 78
    first.kill()
    first.communicate()


def test_it_may_move_and_be_reached_by_other_names(
    desk: Desk, half_done: tuple[Path, Witness]
) -> None:
    folder, api = half_done
    few = (*FAST, "--limit", "5", "--canary", "0")
    moved = folder.rename(desk.folder / "moved.unenroll")
    assert desk.do("resume", moved, *few).code == 3
    (desk.folder / "link.unenroll").symlink_to(moved)
    assert desk.do("resume", "link.unenroll", *few).code == 3
    assert len(api.seen()) == 15


def test_a_copy_goes_on_once_the_original_is_gone(
    desk: Desk, half_done: tuple[Path, Witness]
) -> None:
    folder, api = half_done
    shutil.copytree(folder, desk.folder / "backup")
    folder.rename(desk.folder / "damaged.unenroll")
    shutil.copytree(desk.folder / "backup", folder)
    assert desk.do("resume", folder, *FAST).code == 0
    assert desk.do("resume", "damaged.unenroll", *FAST).code == 78
    assert len(api.seen()) == 40
