"""Shared jobs: each command takes one where it takes a folder; its ledger is in PostgreSQL."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.acceptance.many_machines.kit import FAST, JOB, Start, rows
from tests.kit.command import Desk, people

ONE = people(4)[3]


@pytest.mark.thorough
def test_every_command_takes_a_job_where_it_takes_a_folder(
    desk: Desk, shared: Start, tmp_path: Path
) -> None:
    api = shared(f"[[rule]]\ncustomers = [{ONE}]\nattempt = 1\ncode = 310011\n")
    desk.write("a.csv", rows(40))
    assert desk.do("plan", "a.csv", *JOB).code == 0
    assert desk.do("run", "a.csv", *JOB, *FAST).code == 1
    assert len(api.applied()) == 39
    assert desk.do("status", *JOB, "--json").json["status"]["failed"] == 1
    assert desk.do("export", *JOB, "--to", "out.csv").code == 0
    assert len((desk.folder / "out.csv").read_text().splitlines()) == 41
    assert "310011" in desk.do("explain", str(ONE), *JOB).out
    assert desk.do("report", *JOB, "--to", "r.html").code == 0
    retried = desk.do("retry", *JOB, "--yes", "--code", "310011")
    assert retried.code == 0, retried.err
    assert desk.do("resume", *JOB, "--yes").code == 0
    assert desk.do("verify", *JOB).code == 0
    assert desk.do("stop", *JOB).code == 3
    assert desk.do("work", *JOB).code == 0
    assert api.applied() == set(people(40))
    # and the folder that stands for it here does as well
    assert desk.do("status", "cleanup.unenroll", "--json").json["status"]["succeeded"] == 40
    assert (desk.folder / "cleanup.unenroll" / "results.csv").exists()
    assert not (desk.folder / "cleanup.unenroll" / "ledger.sqlite").exists()


def test_the_name_of_a_job_is_that_of_its_input(desk: Desk, shared: Start, ledger_url: str) -> None:
    shared()
    desk.write("Members June (2).csv", rows(20))
    del desk.environment["BULK_UNENROLL_LEDGER_URL"]
    assert desk.do("plan", "Members June (2).csv", "--ledger", ledger_url).code == 0
    assert desk.do("status", "--ledger", ledger_url, "--job", "members-june-2").code == 0


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────

SECRET = "s3cr3t-pass"


@pytest.mark.thorough
def test_a_password_among_the_words_of_a_command_is_refused(desk: Desk, shared: Start) -> None:
    shared()
    desk.write("a.csv", rows(5))
    for url in (f"postgresql://u:{SECRET}@127.0.0.1/x", f"postgresql://u@h/x?password={SECRET}"):
        ended = desk.do("plan", "a.csv", "--ledger", url, *JOB)
        assert ended.code == 78
        assert "--ledger has a password" in ended.err
        assert SECRET not in ended.out + ended.err
    assert desk.do("plan", "a.csv", "--ledger", "mysql://h/x", *JOB).code == 2
    assert not (desk.folder / "cleanup.unenroll").exists()


def test_one_in_a_file_is_used_and_written_nowhere(
    desk: Desk, shared: Start, ledger_url: str
) -> None:
    shared()
    desk.write("a.csv", rows(5))
    del desk.environment["BULK_UNENROLL_LEDGER_URL"]
    secret = desk.folder / "url.txt"
    secret.write_text(ledger_url.replace("unenroll@", f"unenroll:{SECRET}@") + "\n")
    desk.environment["BULK_UNENROLL_LEDGER_URL_FILE"] = str(secret)
    ended = desk.do("run", "a.csv", *JOB, *FAST, "-v")
    assert ended.code == 0, ended.err
    assert SECRET not in ended.out + ended.err
    pointer = desk.folder / "cleanup.unenroll" / "ledger.json"
    assert json.loads(pointer.read_text()) == {"job": "cleanup", "url": ""}
    assert stat.S_IMODE(pointer.stat().st_mode) == 0o600
    del desk.environment["BULK_UNENROLL_LEDGER_URL_FILE"]
    without = desk.do("status", "cleanup.unenroll")
    assert without.code == 78
    assert "has a password" in without.err


# ── words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "--job", "cleanup"), 2, "needs the address of its ledger"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x"), 2, "Missing argument 'FOLDER'"),
        (("work", "own.unenroll"), 66, "is not there"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x", "--job", "A B"), 2, "not a name"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x", "--job", "a"), 75, "not listen"),
    ],
)
def test_what_is_missing_is_said(desk: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    ended = desk.do(*words)
    assert ended.code == code, ended.err
    assert said in ended.err


@pytest.mark.thorough
def test_a_job_that_nobody_made(desk: Desk, shared: Start) -> None:
    shared()
    ended = desk.do("status", "--job", "none")
    assert ended.code == 66
    assert "there is no job none" in ended.last_lines[0]
    assert desk.do("work", "--job", "none").code == 66
    assert desk.do("resume", "--job", "none", "--yes").code == 66
    assert desk.do("status", "--job", "none").code == 66  # it was not made by that
    assert not (desk.folder / "none.unenroll").exists()


@pytest.mark.thorough
def test_a_folder_with_a_ledger_of_its_own_stays_so(desk: Desk, shared: Start) -> None:
    shared()
    desk.write("cleanup.csv", rows(5))
    assert desk.do("run", "cleanup.csv", *FAST).code == 0
    for words in (("plan", "cleanup.csv", *JOB), ("status", *JOB)):
        ended = desk.do(*words)
        assert ended.code == 2
        assert "has a ledger of its own" in ended.last_lines[0]
    assert desk.do("work", "cleanup.unenroll").code == 2
