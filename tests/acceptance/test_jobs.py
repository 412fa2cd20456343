"""Job files with the real command: every example of ``jobs/``, and what a job check finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tests.kit.command import REPO, Desk, Ended, Witness, people

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
EXAMPLES = sorted(path.name for path in (REPO / "jobs").glob("*.toml"))
LOYALTY = {"LOYALTY_KEY": "sandbox-key", "LOYALTY_SECRET": "sandbox-secret"}


class Jobs:
    """A copy of the examples, run against the witness: the command line's URL wins."""

    def __init__(self, desk: Desk, api: Witness) -> None:
        self._desk = desk
        self.folder = desk.folder / "jobs"
        self.folder.mkdir()
        for name in EXAMPLES:
            shutil.copy(REPO / "jobs" / name, self.folder)
        (self.folder / "drop").mkdir()
        (self.folder / "runs").mkdir()
        self._url = api.base_url

    def run(self, name: str, *more: str) -> Ended:
        url = ("--base-url", self._url)
        now = ("--window", "always")
        return self._desk.do("job", "run", f"jobs/{name}", *url, *now, "--rate", "500/s", *more)


@pytest.fixture
def with_key(desk: Desk) -> None:
    desk.environment |= LOYALTY


@pytest.fixture
def jobs(desk: Desk, witness: Start) -> tuple[Jobs, Witness]:
    api = witness()
    return Jobs(desk, api), api


def without_username(desk: Desk) -> None:
    for name in ("BULK_UNENROLL_USERNAME", "BULK_UNENROLL_PASSWORD"):
        desk.environment.pop(name, None)


def test_every_example_is_run_here_and_named_in_the_readme() -> None:
    tests = Path(__file__).read_text("utf-8")
    readme = (REPO / "jobs" / "README.md").read_text("utf-8")
    for name in EXAMPLES:
        assert f'"{name}"' in tests
        assert f"`{name}`" in readme


def test_a_night_and_a_rerun_on_monday(
    desk: Desk, jobs: tuple[Jobs, Witness], with_key: None
) -> None:
    night, api = jobs
    without_username(desk)
    desk.write("jobs/drop/cleanup.csv", [(who, 1001, 2001) for who in (1, 2, 999310011)])
    ended = night.run("nightly-cleanup.toml")
    assert ended.code == 1, ended.err
    assert ended.json["codes"] == {"310011": 1}
    assert (night.folder / "runs/cleanup/results.csv").exists()
    assert (night.folder / "runs/cleanup.log").read_text().startswith("{")

    api.ask("teach", {"customers": [999310011]})
    wrong = night.run("rerun-code.toml", "--expect", "312")
    assert wrong.code == 65
    monday = night.run("rerun-code.toml", "--expect", "1", "--json")
    assert monday.code == 0, monday.err
    assert api.applied() == {1, 2, 999310011}


def test_a_bulk_from_parquet(desk: Desk, jobs: tuple[Jobs, Witness]) -> None:
    bulk, api = jobs
    parts = bulk.folder / "exports/members"
    parts.mkdir(parents=True)
    for part in range(3):
        table = pa.table({"member_id": people(100, before=100 * part)})
        pq.write_table(table, parts / f"part-{part}.parquet")
    assert bulk.run("bulk-parquet.toml").code == 2, "somebody must confirm it"
    assert bulk.run("bulk-parquet.toml", "--yes").code == 0
    assert api.applied() == set(people(300))
    assert (bulk.folder / f"runs/bulk-{today():%Y-%m-%d}").is_dir()


def test_connected_orgs(desk: Desk, jobs: tuple[Jobs, Witness]) -> None:
    orgs, api = jobs
    path = orgs.folder / f"drop/orgs-{today():%Y%m%d}.csv"
    path.write_text(
        "orgId;customerId;targetGroupId;targetId\n100012;1;1001;2001\nSELF;2;1001;2001\n"
    )
    assert orgs.run("connected-orgs.toml").code == 0
    assert {(call["org"], call["customer"]) for call in api.seen()} == {(100012, 1), (None, 2)}


def today() -> datetime:
    return datetime.now().astimezone()


class TestCheck:
    def test_a_good_job_is_ready_and_nothing_was_made_or_sent(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(1, 1001, 2001)])
        job = desk.folder / "a.toml"
        job.write_text(f'[input]\nfiles = "a.csv"\n[api]\nbase_url = "{api.base_url}"\n')
        ended = desk.do("job", "check", "a.toml")
        assert ended.code == 0, ended.err
        assert "is ready" in ended.out
        assert sorted(path.name for path in desk.folder.iterdir()) == ["a.csv", "a.toml"]
        assert api.seen() == []

    def test_all_faults_are_reported_at_once(self, desk: Desk) -> None:
        desk.write("a.csv", [(1, 1001, 2001)], "customerId", "group", "targetId")
        (desk.folder / "a.toml").write_text(
            """
            [input]
            files = "a.csv"
            [api]
            base_url = "http://example.com/v3.1"
            password_env = "NOT_SET"
            [pace]
            rate = "fast"
            concurency = 4
            [output]
            folder = "a.csv/below"
            """
        )
        ended = desk.do("job", "check", "a.toml")
        assert ended.code == 2
        for said in (
            "wrong: pace.rate: 'fast' is not a valid rate",
            "pace.concurency is not a key: did you mean api.concurrency?",
            "NOT_SET",
            "targetGroupId",
            "in the clear",
            "cannot be made",
        ):
            assert said in ended.out, ended.out

    def test_too_many_invalid_rows_and_another_api_are_found(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(1, 1001, 2001)])
        assert desk.do("run", "a.csv", "--yes", "--rate", "100/s").code == 0
        desk.write("a.csv", [("x", 1001, 2001)] * 5)
        other = api.base_url.replace("/v3.1", "/v3")
        (desk.folder / "a.toml").write_text(
            f'[input]\nfiles = "a.csv"\n[api]\nbase_url = "{other}"\n'
            '[output]\nfolder = "a.unenroll"'
        )
        ended = desk.do("job", "check", "a.toml")
        assert ended.code == 65
        assert "2 faults in a.toml" in ended.last_lines[0]
        assert "5 of 5 rows are invalid" in ended.out
        assert "was confirmed for" in ended.out

    def test_what_the_night_would_fail_with_is_found_by_day(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in range(919000000000, 919000900000, 30011)])
        (desk.folder / "a.toml").write_text(
            f"""
            [input]
            files = "a.csv"
            [api]
            base_url = "{api.base_url}"
            [output]
            log_file = "not/there/a.log"
            metrics_file = "a.csv/metrics.prom"
            """
        )
        desk.environment["BULK_UNENROLL_NOTIFY_URLS"] = "no-url"
        ended = desk.do("job", "check", "a.toml")
        assert ended.code == 78
        for said in (
            "wrong: 1 of the URLs in BULK_UNENROLL_NOTIFY_URLS are no URLs of apprise",
            "a.log cannot be written: there is no folder",
            "metrics.prom cannot be written: ",
            "wrong: alarm phones: ",
            "note: it asks before it sends",
        ):
            assert said in ended.out, ended.out
        assert "4 faults in a.toml" in ended.last_lines[0]
        assert sorted(path.name for path in desk.folder.iterdir()) == ["a.csv", "a.toml"]
        assert api.seen() == []

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_examples_are_checked_too(self, desk: Desk, name: str) -> None:
        shutil.copy(REPO / "jobs" / name, desk.folder)
        ended = desk.do("job", "check", name)
        assert ended.code in (2, 66, 78), "their files and credentials are not here"
        assert "is not a key" not in ended.out


def test_a_job_that_was_stopped_is_continued_automatically(desk: Desk, witness: Start) -> None:
    api = witness()
    without_username(desk)
    desk.environment |= LOYALTY
    desk.write("a.csv", [(who, 1001, 2001) for who in people(100)])
    (desk.folder / "a.toml").write_text(
        f"""
        [input]
        files = "a.csv"
        [api]
        base_url = "{api.base_url}"
        client_key_env = "LOYALTY_KEY"
        client_secret_env = "LOYALTY_SECRET"
        [schedule]
        unattended = true
        """
    )
    stopped = desk.do("job", "run", "a.toml", "--rate", "20/s", "--stop-after", "1s")
    assert stopped.code == 3
    assert stopped.last_lines[1].startswith("next: bulk-unenroll job run a.toml")
    assert desk.do("job", "run", "a.toml", "--rate", "999/s").code == 0
    assert api.applied() == set(people(100))


def test_the_schema_is_json(desk: Desk) -> None:
    assert json.loads(desk.do("job", "schema").out)["title"] == "Job"


def test_a_job_file_that_does_not_exist(desk: Desk) -> None:
    ended = desk.do("job", "run", "none.toml")
    assert ended.code == 66
    assert "none.toml does not exist" in ended.err
