"""A job that outgrew its machine: `move` takes it from its folder to PostgreSQL."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.command import Desk, Witness, people
from tests.proof.kit import failpoints

Start = Callable[..., Witness]
FOLDER = "a.unenroll"
JOB = "cleanup"
FAST = ("--yes", "--rate", "500/s", "--first-time", "go", "--canary", 0)
SEND = (*FAST, "--beside")
ROWS = [(who, 1001, 2001) for who in people(40)]


def begun(desk: Desk, witness: Start) -> Witness:
    """A job in a folder, of which 20 of 40 customers were called, one without success."""
    api = witness(f"[[rule]]\ncustomers = [{people(40)[3]}]\nattempt = 1\ncode = 310011\n")
    desk.write("a.csv", ROWS)
    assert desk.do("run", "a.csv", *SEND, "--limit", 20).code == 3
    return api


def told(desk: Desk) -> dict[str, Any]:
    """What `status` and two exports say of the job."""
    status = desk.do("status", FOLDER, "--json").json
    for name, more in (("rows.csv", ()), ("attempts.csv", ("--attempts",))):
        assert desk.do("export", FOLDER, "--to", name, *more).code == 0
    attempts = sorted((desk.folder / "attempts.csv").read_text().splitlines())
    found = {key: status[key] for key in status if key not in ("senders", "seconds")}
    return {**found, "table": (desk.folder / "rows.csv").read_text(), "attempts told": attempts}


@pytest.mark.thorough
def test_a_job_moves_and_goes_on(desk: Desk, witness: Start, ledger_url: str) -> None:
    api = begun(desk, witness)
    before = told(desk)
    moved = desk.do("move", FOLDER, "--to", ledger_url, "--job", JOB)
    assert moved.code == 0, moved.err
    assert f"{JOB} in 127.0.0.1/" in moved.out
    assert told(desk) == before
    assert desk.do("verify", FOLDER).code == 0
    assert desk.do("move", FOLDER, "--to", ledger_url, "--job", JOB).code == 0  # no harm
    assert desk.do("move", FOLDER, "--to", ledger_url, "--job", "other").code == 2
    ended = desk.do("resume", FOLDER, "--yes")
    assert ended.code == 1, ended.err
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(40))
    there = desk.do("status", "--ledger", ledger_url, "--job", JOB, "--json").json
    assert there["status"]["succeeded"] == 39
    assert [run["succeeded"] for run in [there["status"]]] == [39]
    # the input itself goes on there, too
    assert desk.do("run", "a.csv", *SEND).code == 1
    assert len(api.seen()) == 40


@pytest.mark.thorough
def test_what_refuses_a_move(desk: Desk, witness: Start, ledger_url: str) -> None:
    begun(desk, witness)
    secret = ledger_url.replace("unenroll@", "unenroll:s3cr3t@")
    refused = desk.do("move", FOLDER, "--to", secret, "--job", JOB)
    assert (refused.code, "--to has a password" in refused.err) == (78, True)
    assert "s3cr3t" not in refused.err
    assert desk.do("move", FOLDER, "--job", JOB).code == 2
    assert desk.do("move", FOLDER, "--to", ledger_url, "--job", "A B").code == 2
    assert desk.do("move", "none", "--to", ledger_url, "--job", JOB).code == 66
    away = desk.do("move", FOLDER, "--to", "postgresql://u@127.0.0.1:9/x", "--job", JOB)
    assert away.code == 75
    assert desk.do("status", FOLDER).code == 0
    assert not (desk.folder / FOLDER / "ledger.json").exists()


@pytest.mark.thorough
def test_a_folder_in_use_is_not_moved(desk: Desk, witness: Start, ledger_url: str) -> None:
    api = witness("[[rule]]\nprobability = 1\ndelay_s = 0.2\n")
    desk.write("a.csv", ROWS)
    run = desk.start("run", "a.csv", *FAST, "--rate", "5/s")
    api.wait_for_calls(3)
    busy = desk.do("move", FOLDER, "--to", ledger_url, "--job", JOB)
    assert busy.code == 75
    assert run.wait(timeout=60) == 0
    run.communicate()
    assert desk.do("status", "--ledger", ledger_url, "--job", JOB).code == 66


# ── killed on its way ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def elsewhere(desk: Desk) -> Desk:
    """Another machine, which knows the job by its name alone."""
    other = Desk(desk.folder / "elsewhere")
    other.folder.mkdir()
    return other


@pytest.mark.thorough
@pytest.mark.parametrize(("point", "passes", "is_moved"), failpoints.MOVE_CASES)
def test_a_kill_leaves_the_job_in_one_place(
    desk: Desk, elsewhere: Desk, witness: Start, ledger_url: str,
    point: str, passes: int, is_moved: bool,
) -> None:  # fmt: skip
    api = begun(desk, witness)
    elsewhere.environment = desk.environment
    there = ("--ledger", ledger_url, "--job", JOB)
    usual, desk.program = desk.program, failpoints.program(point, passes)
    assert desk.do("move", FOLDER, "--to", ledger_url, "--job", JOB).code == -9
    desk.program = usual
    pointer = desk.folder / FOLDER / "ledger.json"
    assert pointer.exists() == is_moved
    if not is_moved:
        # by its name nobody can send, and the folder goes on
        refused = elsewhere.do("resume", *there, "--yes")
        assert refused.code in (66, 78), refused.err
        assert desk.do("resume", FOLDER, "--yes", "--limit", 5).code == 3
    else:
        # the ledger in the folder is not opened, and the job goes on from there
        assert desk.do("resume", FOLDER, "--yes", "--limit", 5).code == 3
        assert not json.loads(pointer.read_text()).get("move")
        copy = desk.folder / "copy"
        shutil.copytree(desk.folder / FOLDER, copy)
        (copy / "ledger.json").unlink()
        closed = desk.do("resume", "copy", "--yes")
        assert closed.code == 78
        assert f"goes on as {JOB} in" in closed.err
    assert len(api.seen()) == 25
    assert desk.do("move", FOLDER, "--to", ledger_url, "--job", JOB).code == 0
    assert elsewhere.do("resume", *there, "--yes").code == 1
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(40))
    assert desk.do("verify", FOLDER).code == 0
