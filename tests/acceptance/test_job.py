"""The main job, as a person does it: plan, run, stop, resume, rerun, hand over."""

from __future__ import annotations

import csv
import json
import random
import signal
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.command import SAMPLES, Desk, Witness, people
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")


def rows(customers: range, target: int = 2001) -> list[tuple[int, int, int]]:
    return [(who, 1001, target) for who in customers]


def ledger(desk: Desk, query: str, folder: str = "job.unenroll") -> list[tuple[object, ...]]:
    path = desk.folder / folder / "ledger.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


class TestSample:
    def test_it_ends_with_results_of_every_kind(self, desk: Desk) -> None:
        ended = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", "--json", *FAST)
        assert ended.code == 1
        found = ended.json
        assert found["rows"] == {"read": 1037, "invalid": 14, "duplicate": 25, "unique": 998}
        assert found["status"]["succeeded"] == 960
        assert found["status"]["failed"] == 4
        assert found["status"]["blocked"] == 30
        assert found["exit"]["code"] == 1
        kinds = Counter(
            row["unenroll_status"] for row in desk.results(f"{found['folder']}/results.csv")
        )
        assert set(kinds) >= {"succeeded", "failed", "blocked", "invalid", "duplicate"}
        assert sum(kinds.values()) == 1037

    @pytest.mark.in_process
    def test_parquet_gives_the_same(self, desk: Desk) -> None:
        one = desk.do("plan", SAMPLES / "cleanup.csv", "--json").json
        other = desk.do("plan", SAMPLES / "cleanup.parquet", "--out", "p", "--json").json
        assert one["rows"] == other["rows"]

    def test_files_are_private(self, desk: Desk) -> None:
        desk.do("run", SAMPLES / "orgs.csv", "--sandbox", *FAST)
        folder = desk.folder / "orgs-rehearsal.unenroll"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


class TestKill:
    @pytest.mark.parametrize(
        "seed",
        [
            0,
            *thorough(1, 2),
        ],
    )
    def test_after_a_kill_and_a_resume_book_and_ledger_agree(
        self, desk: Desk, witness: Start, seed: int
    ) -> None:
        api = witness()
        desk.write("job.csv", rows(people(1000)))
        dice = random.Random(seed)
        process = desk.start("run", "job.csv", "--rate", "1000/s", "--yes", "--concurrency", "16")
        api.wait_for_calls(dice.randint(20, 600))
        process.kill()
        process.communicate()

        seen = {entry["customer"] for entry in api.seen()}
        history = {who for (who,) in ledger(desk, "SELECT customer_id FROM attempt_history")}
        assert seen <= history
        doubtful = ledger(desk, "SELECT 1 FROM results WHERE status IN ('sending', 'in_doubt')")
        assert len(doubtful) <= 2 * 16

        ended = desk.do("resume", "job.unenroll", "--rate", "2000/s", "--json")
        assert ended.code == 0
        assert ended.json["status"]["pending"] == 0
        assert api.applied() == set(people(1000))
        settled = ledger(
            desk, "SELECT customer_id FROM results WHERE status IN ('succeeded', 'not_enrolled')"
        )
        assert {who for (who,) in settled} == api.applied()
        calls = Counter(entry["customer"] for entry in api.seen())
        twice = {who for who, number in calls.items() if number > 1}
        listed = {
            who
            for (who,) in ledger(
                desk,
                "SELECT customer_id FROM attempt_history GROUP BY customer_id HAVING count(*) > 1",
            )
        }
        assert twice <= listed
        assert len(twice) <= 2 * 16
        assert desk.do("verify", "job.unenroll").code == 0


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
    )
    def test_one_signal_drains_and_records(
        self, desk: Desk, witness: Start, number: signal.Signals, code: int
    ) -> None:
        api = witness("[[rule]]\ndelay_s = 0.3\n")
        desk.write("job.csv", rows(people(500)))
        process = desk.start("run", "job.csv", "--rate", "100/s", "--yes", "--json")
        api.wait_for_calls(5)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode == code
        assert err.decode().strip().splitlines()[-1] == "next: bulk-unenroll resume job.unenroll"
        status = desk.do("status", "job.unenroll", "--json").json
        assert status["status"]["in_doubt"] == status["status"]["sending"] == 0
        assert status["status"]["succeeded"] == len(api.applied())
        assert status["exit"]["code"] == code
        assert len(desk.results()) == 500

    def test_a_second_signal_ends_at_once_and_leaves_doubt(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness('[[rule]]\nact = "silent"\n')
        desk.write("job.csv", rows(people(50)))
        process = desk.start(
            "run", "job.csv", "--rate", "100/s", "--yes", "--canary", "0", "--json"
        )
        api.wait_for_calls()
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
        said = json.loads(out)
        assert process.returncode == said["exit"]["code"] == 130
        assert said["run_id"]
        assert time.monotonic() - began < 10  # and not the half minute until an answer is given up
        found = desk.do("status", "job.unenroll", "--json").json
        assert found["exit"]["code"] == 130
        status = found["status"]
        assert status["sending"] >= len(api.applied()) > 0
        assert status["succeeded"] == 0


class TestAgain:
    def test_a_second_run_calls_nobody(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("job.csv", rows(people(100)))
        assert desk.do("run", "job.csv", *FAST).code == 0
        assert desk.do("run", "job.csv", *FAST).code == 0
        assert len(api.seen()) == 100

    @pytest.mark.in_process
    def test_a_longer_and_re_sorted_file_calls_exactly_what_is_new(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("job.csv", rows(people(100)))
        desk.do("run", "job.csv", *FAST)
        desk.write("job.csv", rows(people(150)[::-1]))
        ended = desk.do("run", "job.csv", "--expect", 50, "--json", *FAST)
        assert ended.code == 0
        assert {entry["customer"] for entry in api.seen()[100:]} == set(people(50, before=100))
        assert len(api.seen()) == 150

    @pytest.mark.in_process
    def test_rows_taken_out_of_the_file_are_withdrawn(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("job.csv", rows(people(100)))
        desk.do("run", "job.csv", "--rate", "1/h", "--yes", "--stop-after", "1s", "--canary", "0")
        called = {entry["customer"] for entry in api.seen()}
        desk.write("job.csv", rows(people(50, before=50)))
        plan = desk.do("plan", "job.csv").out
        assert f"{50 - len(called)} gone" in plan
        ended = desk.do("run", "job.csv", "--json", *FAST, "--rate", "2000/s")
        assert ended.json["status"]["withdrawn"] == 50 - len(called)
        assert {entry["customer"] for entry in api.seen()} == set(people(50, before=50)) | called

    def test_a_code_can_be_retried_once_its_cause_is_fixed(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness("[book]\ncustomers = [" + ", ".join(map(str, people(90))) + "]\n")
        desk.write("job.csv", rows(people(100)))
        ended = desk.do("run", "job.csv", "--json", *FAST)
        assert ended.json["codes"] == {"310011": 10}
        assert ended.json["next"] == "bulk-unenroll retry job.unenroll --code 310011"
        api.ask("teach", {"customers": list(people(10, before=90))})
        again = desk.do("retry", "job.unenroll", "--code", "310011", "--rate", "100/s", "--json")
        assert again.code == 0
        assert again.json["status"]["succeeded"] == 100
        assert len(api.seen()) == 110

    @pytest.mark.in_process
    def test_planned_but_never_run_is_never_sent(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("job.csv", rows(range(1, 11)))
        desk.write("mistake.csv", rows(range(500, 511)))
        desk.do("plan", "mistake.csv", "--out", "job.unenroll")
        desk.do("run", "job.csv", *FAST)
        desk.do("resume", "job.unenroll")
        assert {entry["customer"] for entry in api.seen()} == set(range(1, 11))

    @pytest.mark.in_process
    def test_nothing_confirmed_nothing_resumed(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("job.csv", rows(range(1, 11)))
        desk.do("plan", "job.csv")
        assert desk.do("resume", "job.unenroll").code == 2
        assert desk.do("retry", "job.unenroll").code == 2


@pytest.mark.in_process
def test_one_sender_for_a_folder(desk: Desk, witness: Start) -> None:
    api = witness()
    desk.write("job.csv", rows(people(100)))
    process = desk.start("run", "job.csv", "--rate", "20/s", "--yes")
    api.wait_for_calls()
    second = desk.do("run", "job.csv", *FAST)
    assert second.code == 75
    assert process.poll() is None
    assert desk.do("plan", "job.csv").code == 75
    watched = desk.do("status", "job.unenroll", "--json")
    assert watched.code == 0
    assert watched.json["rows"]["unique"] == 100
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.in_process
def test_a_deleted_input_stops_neither_resume_nor_export(desk: Desk, witness: Start) -> None:
    witness()
    path = desk.write("job.csv", [(*row, "Zoë") for row in rows(people(50))], *"abcd")
    desk.do(
        "run", "job.csv", "--rate", "10/s", "--yes", "--stop-after", "1s",
        "--column", "customerId=a", "--column", "targetGroupId=b", "--column", "targetId=c",
    )  # fmt: skip
    path.unlink()
    assert desk.do("resume", "job.unenroll", "--rate", "2000/s").code == 0
    assert [row["d"] for row in desk.results()] == ["Zoë"] * 50
    assert desk.do("export", "job.unenroll", "--to", "all.parquet").code == 0


@pytest.mark.in_process
def test_failed_csv_can_be_used_as_input_unchanged(desk: Desk, witness: Start) -> None:
    witness()
    desk.write("job.csv", [*rows(people(50)), ("4.2E+08", 1001, 2001), ("7,5", 1001, 2001)])
    assert desk.do("run", "job.csv", *FAST).code == 1
    failed = desk.results("job.unenroll/failed.csv")
    assert [row["unenroll_code"] for row in failed] == ["exponent", "not_digits"]
    with (desk.folder / "job.unenroll/failed.csv").open(newline="") as file:
        fixed = list(csv.reader(file))
    fixed[1][0], fixed[2][0] = "420000001", "75"
    with (desk.folder / "fixed.csv").open("w", newline="") as file:
        csv.writer(file).writerows(fixed)
    assert desk.do("run", "fixed.csv", "--out", "job.unenroll", *FAST).code == 0


@pytest.mark.in_process
def test_the_sandbox_s_url_may_change_its_port_but_not_its_prefix(
    desk: Desk, witness: Start, tmp_path: Path
) -> None:
    api = witness()
    desk.write("job.csv", rows(range(1, 11)))
    desk.do("run", "job.csv", *FAST)
    other = Witness(tmp_path / "desk")
    assert desk.do("resume", "job.unenroll", "--base-url", other.base_url + "/").code == 0
    other.stop()
    wrong = api.base_url.replace("/v3.1", "/v3")
    assert desk.do("resume", "job.unenroll", "--base-url", wrong).code == 78
