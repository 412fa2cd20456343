"""The order means what its person meant: plans, caps, never-lists, a pilot, a dry run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

import bulk_unenroll as bu
from tests.kit.command import CREDENTIALS, Desk, Ended, Witness, people

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
MANY = people(40)


@pytest.fixture
def api(desk: Desk, witness: Start) -> Witness:
    api = witness()
    desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
    return api


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == 65, ended.err
    for word in words:
        assert word in ended.last_lines[0], ended.last_lines


class TestNever:
    def protect(self, desk: Desk, rows: Sequence[Sequence[object]], *header: str) -> None:
        desk.write("never.csv", rows, *(header or ("customerId",)))

    def test_a_customer_on_a_list_is_invalid_with_the_list_s_line(
        self, desk: Desk, api: Witness
    ) -> None:
        self.protect(desk, [(MANY[7],), (MANY[3],), (1,)])
        ended = desk.do("run", "job.csv", *FAST, "--never", "never.csv")
        assert ended.code == 1
        assert api.applied() == set(MANY) - {MANY[3], MANY[7]}
        results = {row["customerId"]: row for row in desk.results()}
        told = results[str(MANY[3])]
        assert (told["unenroll_status"], told["unenroll_code"]) == ("invalid", "protected")
        assert told["unenroll_message"] == "line 3 of never.csv"

    def test_a_list_may_be_for_one_target(self, desk: Desk, api: Witness) -> None:
        desk.write("job.csv", [(who, 1001, t) for who in MANY for t in (2001, 2002)])
        header = ("customerId", "targetGroupId", "targetId")
        self.protect(desk, [(MANY[0], 1001, 2002), (MANY[1], 7, 2001)], *header)
        desk.do("run", "job.csv", *FAST, "--never", "never.csv", "--allow", "short-ids")
        called = {(call["customer"], call["target"]) for call in api.seen()}
        assert len(called) == 79
        assert (MANY[0], 2002) not in called

    def test_protected_rows_do_not_count_for_max_invalid(self, desk: Desk, api: Witness) -> None:
        self.protect(desk, [(who,) for who in MANY[:30]])
        ended = desk.do("run", "job.csv", *FAST, "--never", "never.csv", "--canary", "0")
        assert ended.code == 1, ended.err
        assert api.applied() == set(MANY[30:])

    def test_the_folder_remembers_it_and_reads_it_again(self, desk: Desk, api: Witness) -> None:
        self.protect(desk, [(MANY[0],)])
        words = ("--never", "never.csv", "--limit", "5", "--canary", "0")
        assert desk.do("run", "job.csv", *FAST, *words).code == 3
        self.protect(desk, [(MANY[0],), (MANY[39],)])
        ended = desk.do("resume", "job.unenroll", "--yes")
        assert ended.code == 1
        assert api.applied() == set(MANY) - {MANY[0], MANY[39]}
        (told,) = [row for row in desk.results() if row["customerId"] == str(MANY[39])]
        assert (told["unenroll_status"], told["unenroll_code"]) == ("blocked", "protected")
        assert ended.last_lines[1] == "next: bulk-unenroll status job.unenroll"
        desk.do("retry", "job.unenroll", "--state", "blocked", "--yes")
        assert MANY[39] not in api.applied()

    def test_a_list_that_is_gone_stops_resume_and_retry(self, desk: Desk, api: Witness) -> None:
        self.protect(desk, [(MANY[0],)])
        desk.do("run", "job.csv", *FAST, "--never", "never.csv", "--limit", "5", "--canary", "0")
        (desk.folder / "never.csv").unlink()
        before = len(api.seen())
        for command in (("resume", "job.unenroll"), ("retry", "job.unenroll", "--state", "failed")):
            ended = desk.do(*command, "--yes")
            assert ended.code == 78
            assert "never.csv is not there" in ended.last_lines[0]
        assert len(api.seen()) == before

    @pytest.mark.parametrize("row", ["n/a", "4.2E+08", ""])
    def test_a_list_with_an_invalid_row_protects_nobody_and_is_refused(
        self, desk: Desk, api: Witness, row: str
    ) -> None:
        self.protect(desk, [(MANY[0], "x"), (row, "x")], "customerId", "why")
        refused(desk.do("run", "job.csv", *FAST, "--never", "never.csv"), "never.csv", "row 2")
        assert api.seen() == []

    def test_the_environment_may_name_lists_for_every_command(
        self, desk: Desk, api: Witness
    ) -> None:
        self.protect(desk, [(MANY[0],)])
        desk.environment["BULK_UNENROLL_NEVER"] = str(desk.folder / "never.csv")
        desk.do("run", "job.csv", *FAST)
        assert api.applied() == set(MANY[1:])

    def test_the_folder_remembers_the_lists_of_the_environment(
        self, desk: Desk, api: Witness
    ) -> None:
        self.protect(desk, [(MANY[0],)])
        desk.environment["BULK_UNENROLL_NEVER"] = "never.csv"
        desk.do("run", "job.csv", *FAST, "--limit", "20")
        del desk.environment["BULK_UNENROLL_NEVER"]
        failed = desk.folder / "job.unenroll" / "failed.csv"
        for words in (
            ("resume", "job.unenroll", "--yes"),
            ("run", failed, *FAST),
            ("run", "job.csv", *FAST),
        ):
            desk.do(*words)
        assert api.applied() == set(MANY[1:])

    def test_a_second_list_adds_to_what_the_folder_remembers(
        self, desk: Desk, api: Witness
    ) -> None:
        for n in range(3):
            desk.write(f"never{n}.csv", [(MANY[30 + n],)], "customerId")
        first = ("--never", "never0.csv", "--limit", "5", "--canary", "0")
        desk.do("run", "job.csv", *FAST, *first)
        desk.do("resume", "job.unenroll", "--yes", "--never", "never1.csv", "--limit", "5")
        desk.do("run", "job.csv", *FAST, "--never", "never2.csv")
        assert api.applied() == set(MANY) - set(MANY[30:33])
        never = desk.do("status", "job.unenroll", "--json").json["settings"]["never"]
        assert [name.rpartition("/")[2] for name in never] == [
            "never2.csv",
            "never1.csv",
            "never0.csv",
        ]

    def test_a_list_beside_a_job_file_adds_to_the_job_s(self, desk: Desk, api: Witness) -> None:
        for n in range(2):
            desk.write(f"never{n}.csv", [(MANY[n],)], "customerId")
        text = '[input]\nfiles = "job.csv"\n[limits]\nnever = ["never0.csv"]\n'
        (desk.folder / "job.toml").write_text(text)
        desk.do("job", "run", "job.toml", *FAST, "--never", "never1.csv")
        assert api.applied() == set(MANY[2:])

    def test_a_list_that_was_cut_protects_nobody_so_it_is_refused(
        self, desk: Desk, api: Witness
    ) -> None:
        text = "customerId\n" + "".join(f"{who}\n" for who in MANY[:9]) + str(MANY[9])[:4]
        (desk.folder / "never.csv").write_text(text)
        refused(desk.do("run", "job.csv", *FAST, "--never", "never.csv"), "never.csv", "cut")
        assert api.seen() == []

    def test_a_content_that_was_loaded_before_is_held_against_the_list(
        self, desk: Desk, api: Witness
    ) -> None:
        assert desk.do("plan", "job.csv").code == 0
        self.protect(desk, [(MANY[0],)])
        assert "protected" in desk.do("plan", "job.csv", "--never", "never.csv").out
        desk.do("run", "job.csv", *FAST, "--never", "never.csv")
        assert MANY[0] not in api.applied()


class TestCaps:
    def test_more_than_expected(self, desk: Desk, api: Witness) -> None:
        refused(desk.do("run", "job.csv", *FAST, "--max-customers", "39"), "--max-customers", "40")
        words = ("--max-target", "1001/2001=39", "--max-target", "7/8=1")
        refused(desk.do("run", "job.csv", *FAST, *words), "40 customers of 1001/2001")
        refused(desk.do("run", "job.csv", *FAST, "--expect", "about:51"), "about:51")
        assert api.seen() == []
        fits = ("--max-customers", "40", "--max-target", "1001/2001=40", "--expect", "about:34")
        assert desk.do("run", "job.csv", *FAST, *fits).code == 0

    def test_a_cap_holds_for_resume_and_is_remembered(self, desk: Desk, api: Witness) -> None:
        words = ("--max-customers", "40", "--limit", "5", "--canary", "0")
        assert desk.do("run", "job.csv", *FAST, *words).code == 3
        desk.write("job.csv", [(who, 1001, 2001) for who in people(90)])
        refused(desk.do("run", "job.csv", *FAST), "--max-customers allows 40")
        refused(desk.do("resume", "job.unenroll", "--yes", "--max-customers", "4"), "allows 4")
        assert len(api.seen()) == 5

    @pytest.mark.parametrize("limit", [1, 7, 40])
    def test_a_pilot_calls_so_many_and_stops(self, desk: Desk, api: Witness, limit: int) -> None:
        ended = desk.do("run", "job.csv", *FAST, "--limit", limit, "--canary", "0")
        assert len(api.seen()) == limit
        assert ended.code == (0 if limit == 40 else 3)
        assert limit == 40 or f"--limit {limit} is reached" in ended.last_lines[0]
        assert desk.do("resume", "job.unenroll", "--yes").code == 0
        assert len(api.seen()) == 40

    def test_a_pilot_s_own_retries_are_no_others(self, desk: Desk, witness: Start) -> None:
        api = witness("[[rule]]\nattempt = 1\nstatus = 429\n")
        desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
        desk.do("run", "job.csv", *FAST, "--limit", "4", "--canary", "0")
        assert len({call["customer"] for call in api.seen()}) == 4
        assert len(api.applied()) == 4


class TestPlan:
    def test_the_whole_plan_is_in_its_json(self, desk: Desk, api: Witness) -> None:
        desk.write("job.csv", [*((who, 1001, 2001) for who in MANY), ("x", 1001, 2001)])
        plan = desk.do("plan", "job.csv", "--json").json["plan"]
        assert plan["id"] in desk.do("plan", "job.csv").out
        assert plan["destination"]["base_url"] == api.base_url
        assert (plan["to_call"], plan["new"], plan["known"], plan["settled"]) == (40, 40, 0, 0)
        assert [source["rows"] for source in plan["sources"]] == [41]
        assert plan["targets"] == [
            {"org": None, "target": "1001/2001", "customers": 40, "states": {"pending": 40}}
        ]
        example = 'customerId: "x" is not a valid id: use digits only'
        assert plan["invalid"] == [
            {
                "reason": "not_digits",
                "rows": 1,
                "first_row": 41,
                "first_line": 42,
                "example": example,
            }
        ]
        assert plan["alarms"] == []
        assert plan["estimate_s"] == 24.0

    def test_a_run_as_planned_goes_and_says_the_id(self, desk: Desk, api: Witness) -> None:
        plan = desk.do("plan", "job.csv", "--json").json["plan"]["id"]
        ended = desk.do("run", "job.csv", *FAST, "--plan", plan, "--json")
        assert ended.code == 0, ended.err
        assert ended.json["plan_id"] == plan

    def test_a_plan_without_a_destination_fits_any(self, desk: Desk, api: Witness) -> None:
        url = desk.environment.pop("BULK_UNENROLL_BASE_URL")
        plan = desk.do("plan", "job.csv", "--json").json["plan"]["id"]
        assert desk.do("run", "job.csv", *FAST, "--plan", plan, "--base-url", url).code == 0

    def test_what_differs_is_said(self, desk: Desk, api: Witness) -> None:
        plan = desk.do("plan", "job.csv", "--json").json["plan"]["id"]
        desk.write("job.csv", [(who, 1001, 2002) for who in people(41)])
        refused(
            desk.do("run", "job.csv", *FAST, "--plan", plan),
            f"not as in plan {plan}: the contents of the inputs",
            "1001/2001: 0 customers, not 40",
            "1001/2002: 41 customers, not 0",
        )
        desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
        other = ("--base-url", api.base_url.replace("v3.1", "other/v3.1"))
        refused(desk.do("run", "job.csv", *FAST, "--plan", plan, *other), "the destination")
        desk.write("never.csv", [(MANY[0],)], "customerId")
        never = ("--never", "never.csv")
        refused(desk.do("run", "job.csv", *FAST, "--plan", plan, *never), "never-lists")
        refused(desk.do("run", "job.csv", *FAST, "--plan", "0123"), "this folder has no plan 0123")
        assert api.seen() == []

    def test_resume_and_retry_take_it_too(self, desk: Desk, api: Witness) -> None:
        plan = desk.do("plan", "job.csv", "--json").json["plan"]["id"]
        stop = ("--limit", "5", "--canary", "0")
        assert desk.do("run", "job.csv", *FAST, "--plan", plan, *stop).code == 3
        refused(desk.do("resume", "job.unenroll", "--yes", "--plan", "0123"), "no plan 0123")
        desk.write("never.csv", [(MANY[0],)], "customerId")
        more = ("--never", "never.csv")
        refused(desk.do("resume", "job.unenroll", "--plan", plan, *more), "never-lists")
        assert desk.do("resume", "job.unenroll", "--yes", "--plan", plan).code == 0

    def test_another_user_is_another_order(self, desk: Desk, api: Witness) -> None:
        plan = desk.do("plan", "job.csv", "--json").json["plan"]["id"]
        desk.environment["BULK_UNENROLL_USERNAME"] = "somebody.else"
        refused(desk.do("run", "job.csv", *FAST, "--plan", plan), "the user of the API")
        assert api.seen() == []


def test_a_plan_says_how_many_the_never_lists_name(desk: Desk, api: Witness) -> None:
    desk.write("never.csv", [(MANY[0],), (MANY[1],)], "customerId")
    ended = desk.do("plan", "job.csv", "--never", "never.csv", "--json")
    assert ended.json["plan"]["never"] == {"listed": 2, "rows": 2}
    desk.write("empty.csv", [], "customerId")
    assert "0 on the never-lists" in desk.do("plan", "job.csv", "--never", "empty.csv").out


class TestDryRun:
    @pytest.fixture
    def job(self, desk: Desk, witness: Start) -> tuple[Desk, Witness]:
        api = witness(f"[[rule]]\ncustomers = {list(MANY[:4])}\nattempt = 1\ncode = 310011\n")
        desk.write("job.csv", [(who, 1001, 2001) for who in MANY])
        assert desk.do("run", "job.csv", *FAST, "--limit", "30", "--canary", "0").code == 3
        return desk, api

    def test_of_retry(self, job: tuple[Desk, Witness]) -> None:
        desk, api = job
        before = desk.do("status", "job.unenroll", "--json").json["status"]
        dry = desk.do("retry", "job.unenroll", "--dry-run", "--code", "310011", "--json")
        assert dry.code == 0
        assert dry.json["to_call"] == 14
        told = [(one["state"], one["code"], one["customers"]) for one in dry.json["would_call"]]
        assert sorted(told, key=str) == [("failed", "310011", 4), ("pending", None, 10)]
        assert desk.do("status", "job.unenroll", "--json").json["status"] == before
        assert len(api.seen()) == 30

    def test_of_resume(self, job: tuple[Desk, Witness]) -> None:
        desk, api = job
        dry = desk.do("resume", "job.unenroll", "--dry-run")
        assert "10 would be called; nothing was sent" in dry.out
        assert (
            "7 would be called"
            in desk.do("resume", "job.unenroll", "--dry-run", "--limit", "7").out
        )
        assert len(api.seen()) == 30

    def test_it_is_held_against_the_order(self, job: tuple[Desk, Witness]) -> None:
        desk, _ = job
        words = ("retry", "job.unenroll", "--dry-run", "--code", "310011")
        refused(desk.do(*words, "--expect", "3"), "not the 3 of --expect")
        assert desk.do(*words, "--expect", "14").code == 0

    def test_in_python(self, job: tuple[Desk, Witness], monkeypatch: pytest.MonkeyPatch) -> None:
        desk, api = job
        for name, value in (CREDENTIALS | {"BULK_UNENROLL_BASE_URL": api.base_url}).items():
            monkeypatch.setenv(name, value)
        dry = bu.retry(desk.folder / "job.unenroll", codes="310011", dry_run=True)
        assert (dry.to_call, sum(one.number for one in dry.would_call)) == (14, 14)
        assert json.dumps([one.as_json() for one in dry.would_call])
        assert len(api.seen()) == 30
