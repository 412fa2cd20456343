"""Nobody watches at 02:00: what a run leaves for those who look in the morning."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.notifications import Inbox, metrics_of
from tests.kit.terminal import talk
from tests.kit.tiers import thorough

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
CUSTOMERS = [10101, 10102, 999310011]


class TestNotify:
    def test_the_end_is_notified_with_counts_and_without_ids(
        self, desk: Desk, witness: Start, inbox: Inbox
    ) -> None:
        witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in CUSTOMERS])
        ended = desk.do("run", "a.csv", *FAST)
        assert ended.code == 1
        (message,) = inbox.messages
        assert message["title"] == "bulk-unenroll: done, some rows need a look (exit 1)"
        for line in ("succeeded: 2", "failed: 1", "code 310011: 1", "next: bulk-unenroll retry"):
            assert line in message["message"]
        assert not any(str(who) in json.dumps(message) for who in CUSTOMERS)
        assert "token-in-a-url" not in ended.out + ended.err

    def test_a_halt_is_notified_even_before_anything_was_read(
        self, desk: Desk, inbox: Inbox
    ) -> None:
        assert desk.do("run", "none.csv", "--sandbox", *FAST).code == 66
        assert inbox.messages[0]["title"] == "bulk-unenroll: the input was not found (exit 66)"
        assert inbox.messages[0]["type"] == "failure"

    def test_only_halts_or_nothing_if_asked(self, desk: Desk, witness: Start, inbox: Inbox) -> None:
        witness()
        desk.write("a.csv", [(1, 1001, 2001)])
        assert desk.do("run", "a.csv", *FAST, "--notify", "halt").code == 0
        assert desk.do("plan", "a.csv").code == 0
        assert inbox.messages == []

    def test_a_dead_address_changes_nothing_but_a_warning(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.environment["BULK_UNENROLL_NOTIFY_URLS"] = "json://127.0.0.1:9/secret-token nonsense"
        desk.write("a.csv", [(1, 1001, 2001)])
        ended = desk.do("run", "a.csv", *FAST)
        assert ended.code == 0
        assert "not_notified" in ended.err
        assert "secret-token" not in ended.err


def wait_for(path: Path) -> None:
    for _ in range(2000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path.name} did not appear")


class TestMetrics:
    def test_a_run_as_prometheus_sees_it(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in CUSTOMERS])
        ended = desk.do("run", "a.csv", *FAST, "--metrics-file", "m.prom")
        assert ended.code == 1
        found = metrics_of(desk.folder / "m.prom")
        assert found['bulk_unenroll_customers{folder="a.unenroll",state="succeeded"}'] == 2
        assert found['bulk_unenroll_customers{folder="a.unenroll",state="pending"}'] == 0
        assert found['bulk_unenroll_calls_total{folder="a.unenroll",outcome="failed"}'] == 1
        assert found['bulk_unenroll_exit_code{folder="a.unenroll"}'] == 1
        assert found['bulk_unenroll_running{folder="a.unenroll"}'] == 0
        assert "10101" not in (desk.folder / "m.prom").read_text()

    def test_a_killed_run_is_seen_as_one_that_went_on(self, desk: Desk, witness: Start) -> None:
        witness('[[rule]]\nact = "silent"\n')
        desk.write("a.csv", [(1, 1001, 2001)])
        process = desk.start("run", "a.csv", *FAST, "--metrics-file", "m.prom")
        path = desk.folder / "m.prom"
        wait_for(path)
        process.kill()
        process.communicate()
        assert metrics_of(path)['bulk_unenroll_exit_code{folder="a.unenroll"}'] == -1

    def test_a_file_that_cannot_be_written_is_refused_before_sending(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(1, 1001, 2001)])
        assert desk.do("run", "a.csv", *FAST, "--metrics-file", "none/m.prom").code == 2
        assert api.seen() == []


class TestFollow:
    def test_it_follows_a_run_to_its_end(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in people(60)])
        run = desk.start("run", "a.csv", "--yes", "--rate", "30/s")
        api.wait_for_calls()
        followed = desk.do("status", "a.unenroll", "--follow", "--every", "0.2", "--json")
        run.communicate(timeout=20)
        shown = [json.loads(line) for line in followed.out.splitlines()]
        assert len(shown) > 3
        assert shown[0]["exit"]["reason"] == "the run is going on"
        done = [one["status"]["succeeded"] for one in shown]
        assert done == sorted(done)
        assert desk.do("status", "a.unenroll", "--json").json["exit"]["code"] == 0

    def test_a_killed_run_is_distinguished_from_a_running_one(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness('[[rule]]\nact = "silent"\n')
        desk.write("a.csv", [(1, 1001, 2001)])
        run = desk.start("run", "a.csv", *FAST)
        api.wait_for_calls()
        assert "going on" in desk.do("status", "a.unenroll").out
        run.kill()
        run.communicate()
        followed = desk.do("status", "a.unenroll", "--follow")
        assert "killed" in followed.out
        assert "next: bulk-unenroll resume a.unenroll" in followed.out

    @pytest.mark.thorough
    def test_where_it_cannot_draw_each_change_is_one_line(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in people(60)])
        run = desk.start("run", "a.csv", "--yes", "--rate", "30/s")
        api.wait_for_calls()
        followed = desk.do("status", "a.unenroll", "--follow", "--every", "0.2")
        run.communicate(timeout=20)
        lines, whole = followed.out.split("60 rows = ")
        assert len(lines.splitlines()) > 3
        assert all(" of 60 done: " in line for line in lines.splitlines())
        assert "succeeded            60" in whole

    @pytest.mark.parametrize("number", [2, *thorough(6)])
    def test_looking_does_not_block_a_run(self, desk: Desk, witness: Start, number: int) -> None:
        witness()
        desk.write("a.csv", [(1, 1001, 2001)])
        desk.do("plan", "a.csv")
        lookers = [desk.start("status", "a.unenroll") for _ in range(number)]
        assert desk.do("run", "a.csv", *FAST).code == 0
        for looker in lookers:
            looker.communicate(timeout=20)
            assert looker.returncode == 0


@pytest.mark.thorough
def test_the_progress_of_a_resumed_run_is_of_what_was_left(desk: Desk, witness: Start) -> None:
    witness()
    customers = [*people(50), 999310011, *range(52, 101)]
    desk.write("job.csv", [(who, 1001, 2001) for who in customers])
    stopping = ("--max-failures", 0, "--concurrency", 1, "--canary", 0)
    stopped = desk.do("run", "job.csv", "--json", *stopping, *FAST).json
    left = stopped["status"]["pending"]
    assert 0 < left < 100
    code, said = talk(desk, ["resume", "job.unenroll", "--rate", "200/s"])
    assert code == 1, said
    assert f"/{left}" in said
    assert "/100" not in said.split("100 rows =")[0]
