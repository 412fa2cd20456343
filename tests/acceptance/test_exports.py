"""``export`` as a person uses it, and the results of a run that was stopped."""

from __future__ import annotations

import csv
import gzip
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import PROGRAM, Desk, Witness, people
from tests.kit.in_process import InProcess

Start = Callable[..., Witness]
ROWS = [(who, 1001, 2001 + number % 2) for number, who in enumerate(people(40))]
SEND = ("--yes", "--rate", "500/s", "-q")


@pytest.fixture
def folder(desk: Desk, witness: Start) -> str:
    witness()
    desk.write("job.csv", ROWS)
    ended = desk.do("run", "job.csv", *SEND)
    assert ended.code == 0, ended.err
    return "job.unenroll"


def test_rows_on_standard_output_are_those_of_the_file(desk: Desk, folder: str) -> None:
    printed = desk.do("export", folder, "--to", "-", "--target", "1001/2002")
    assert (printed.code, printed.err) == (0, "")
    desk.do("export", folder, "--to", "two.csv", "--target", "1001/2002")
    assert printed.out.encode() == (desk.folder / "two.csv").read_bytes()
    assert [int(row["customerId"]) for row in desk.results("two.csv")] == [
        who for who, _, target in ROWS if target == 2002
    ]
    assert all(row["unenroll_request_id"] for row in desk.results("two.csv"))


def test_attempts_one_a_line(desk: Desk, folder: str) -> None:
    done = desk.do("export", folder, "--to", "a.csv.gz", "--attempts")
    assert done.out == "40 attempts → a.csv.gz\n"
    with gzip.open(desk.folder / "a.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["customer_id"]) for row in rows) == [who for who, _, _ in ROWS]
    assert len({row["request_id"] for row in rows}) == 40


def test_a_reader_that_has_seen_enough_is_no_failure(desk: Desk, folder: str) -> None:
    command = shlex.join([*PROGRAM, "export", folder, "--to", "-"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        cwd=desk.folder,
        env=desk.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_a_standard_output_that_is_full_is_one(desk: Desk, folder: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "export", folder, "--to", "-"],
            cwd=desk.folder,
            env=desk.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 74
    assert "standard output cannot be written: No space left on device" in done.stderr


@pytest.mark.in_process
def test_what_is_no_target_is_refused(desk: Desk, folder: str) -> None:
    refused = desk.do("export", folder, "--to", "x.csv", "--target", "1001")
    assert refused.code == 2
    assert not (desk.folder / "x.csv").exists()


class TestAfterAStop:
    """Many rows are still pending: nobody waits until they are written."""

    FAILING = f'[[rule]]\ncustomers = [{ROWS[4][0]}]\nact = "answer"\ncode = 310019\n'
    STOPPED = (*SEND[:-1], "--canary", "0", "--max-failures", "0", "--concurrency", "1")

    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bulk_unenroll.commands.steps.finish.PENDING_WRITTEN", 10)

    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        """One whose program can be told that ten rows are many."""
        made = InProcess(tmp_path / "desk")
        made.folder.mkdir()
        made.write("job.csv", ROWS)
        return made

    @pytest.fixture(autouse=True)
    def api(self, witness: Start) -> Witness:
        return witness(self.FAILING)

    @pytest.mark.usefixtures("few")
    def test_they_are_left_out_said_and_written_when_asked(self, desk: Desk) -> None:
        ended = desk.do("run", "job.csv", *self.STOPPED)
        assert ended.code == 69
        written = desk.results()
        assert len(written) < 40
        assert {row["unenroll_status"] for row in written} == {"succeeded", "failed"}
        missing = 40 - len(written)
        told, command = ended.out.split("results.csv lacks ")[1].splitlines()[:2]
        assert told == f"the {missing} rows still pending; to write them too:"
        assert desk.do(*shlex.split(command)[1:]).out.startswith("40 rows")
        assert [int(row["customerId"]) for row in desk.results()] == [row[0] for row in ROWS]
        found = desk.do("resume", "job.unenroll", *self.STOPPED[:-2], "--max-failures", "100%")
        assert found.code == 1
        assert "lacks" not in found.out
        assert len(desk.results()) == 40

    @pytest.mark.usefixtures("few")
    def test_a_program_reads_it_too(self, desk: Desk) -> None:
        ended = desk.do("run", "job.csv", *self.STOPPED, "--json").json
        assert ended["left_out"]["rows"] == ended["status"]["pending"] > 10
        assert ended["left_out"]["export"].startswith("bulk-unenroll export job.unenroll --to ")

    def test_a_few_are_written(self, desk: Desk) -> None:
        ended = desk.do("run", "job.csv", *self.STOPPED)
        assert ended.code == 69
        assert "lacks" not in ended.out
        assert len(desk.results()) == 40
