"""Three people, from nothing to a closed ticket, with the real command and nothing else."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from tests.kit.command import CREDENTIALS, Desk, Ended, Witness, people
from tests.kit.notifications import Inbox, metrics_of
from tests.kit.terminal import talk

Start = Callable[..., Witness]
FAST = ("--rate", "2000/s")


def next_of(ended: Ended | str) -> list[str]:
    """The words of the next command that was printed."""
    err = ended if isinstance(ended, str) else ended.err
    return shlex.split(re.findall(r"next: bulk-unenroll (.*)", err)[-1])


def calls_of(witness: Witness) -> Counter[int]:
    return Counter(call["customer"] for call in witness.seen())


class TestCampaignOperations:
    """A spreadsheet comes with a ticket; the ticket closes with a page and a spreadsheet."""

    MEMBERS = range(420_000_001, 420_000_211, 7)
    UNKNOWN = 999_310_011
    HEADER = ("Member No", "Group", "Rule", "Name")

    @pytest.mark.thorough
    def test_from_a_spreadsheet_to_the_closed_ticket(self, desk: Desk, witness: Start) -> None:
        api = witness()
        sheet: list[Sequence[object]] = [(who, 1001, 2001, "x") for who in self.MEMBERS]
        sheet += [(self.UNKNOWN, 1001, 2001, "new"), (420_000_031, 1001, 999_999, "wrong rule")]
        sheet += [("4.2E+08", 1001, 2001, "rounded by hand"), sheet[0]]
        self.save(desk, sheet)
        self.prepare(desk)

        code, said = talk(desk, ["job", "run", "cleanup.toml", *FAST], ("Type the number", "32"))
        assert code == 1, said
        assert "34 rows read = 1 invalid + 1 duplicate + 32 customers/targets" in said
        assert set(self.MEMBERS) == api.applied()
        self.look_at_what_failed(desk)

        sheet[31] = (420_000_031, 1001, 2001, "right rule")
        sheet[32] = (420_000_032, 1001, 2001, "looked up")
        self.save(desk, sheet)
        code, said = talk(desk, ["job", "run", "cleanup.toml", *FAST], ("Type the number", "2"))
        assert code == 1, said
        assert "2 new, 31 known" in said

        api.ask("teach", {"customers": [self.UNKNOWN]})
        retry = next_of(said)
        assert retry == ["retry", str(desk.folder / "cleanup.unenroll"), "--code", "310011"]
        assert desk.do(*retry, "--expect", 1).code == 0
        self.close_the_ticket(desk, api)

    @pytest.mark.thorough
    def test_without_a_job_what_is_said_leads_through_an_odd_workbook(self, desk: Desk) -> None:
        with xlsxwriter.Workbook(desk.folder / "May list.xlsx") as book:
            book.add_worksheet("notes").write_row(0, 0, ["for Ann"])
            sheet = book.add_worksheet("export")
            for number, row in enumerate([("Member No ", "Rule"), (1, 2001), ("two", 2001)]):
                sheet.write_row(number, 0, row)

        asked = next_of(desk.do("run", "May list.xlsx", "--sandbox", "--yes"))
        asked[asked.index("NAME")] = "export"
        asked = next_of(desk.do(*asked))
        assert asked.count("--column") == 2  # the sheet has no third column for the group
        asked[asked.index("--target-group-id") + 1] = "1001"
        words = [word.replace("customerId=HEADER", "customerId=Member No") for word in asked]
        words = [word.replace("targetId=HEADER", "targetId=rule") for word in words]
        refused = desk.do(*words)
        assert refused.code == 65
        assert "1 of 2 rows are invalid" in refused.err
        assert next_of(refused)[0] == "export", "the rows that are in the way"
        assert desk.do(*next_of(refused)).out == "1 rows → invalid.csv\n"
        ran = desk.do(*words, "--max-invalid", 1)
        assert ran.code == 1

        failed = desk.folder / "May list-rehearsal.unenroll/failed.csv"
        failed.write_text(failed.read_text("utf-8").replace("two", "2"), "utf-8")
        retried = desk.do(*next_of(ran), "--yes")
        assert retried.code == 0, retried.err
        assert "1 customer" in retried.out

    def save(self, desk: Desk, rows: Sequence[Sequence[object]]) -> None:
        with xlsxwriter.Workbook(desk.folder / "members.xlsx") as book:
            sheet = book.add_worksheet("May")
            for number, row in enumerate([self.HEADER, *rows]):
                sheet.write_row(number, 0, row)

    def prepare(self, desk: Desk) -> None:
        code, said = talk(
            desk,
            ["init", "cleanup.toml"],
            ("Which file", "members.xlsx"),
            ("holds customerId", "Member No"),
            ("holds targetGroupId", "Group"),
            ("holds targetId", "Rule"),
            ("Base URL", desk.environment["BULK_UNENROLL_BASE_URL"]),
            ("must never be called", ""),
            ("time of day", ""),
        )
        assert code == 0, said
        assert desk.do("job", "check", "cleanup.toml").code == 0

    def look_at_what_failed(self, desk: Desk) -> None:
        assert desk.do("export", "cleanup.unenroll", "--to", "ticket.xlsx").code == 0
        summary = self.summary(desk)
        assert summary["failed 310011"][3:] == [
            "invalid user id",
            "check customerId, then retry this code",
        ]
        assert summary["blocked 310018"][0] == summary["invalid exponent"][0] == 1
        assert summary["all"][0] == 34

    def summary(self, desk: Desk) -> dict[object, list[Any]]:
        book = CalamineWorkbook.from_path(desk.folder / "ticket.xlsx")
        return {line[0]: line[1:] for line in book.get_sheet_by_name("summary").iter_rows()}

    def close_the_ticket(self, desk: Desk, api: Witness) -> None:
        everyone = {*self.MEMBERS, 420_000_031, 420_000_032, self.UNKNOWN}
        assert api.applied() == everyone
        twice = {who for who, number in calls_of(api).items() if number > 1}
        assert twice == {self.UNKNOWN, 420_000_031}, "each of them was refused once"

        assert desk.do("report", "cleanup.unenroll", "--to", "ticket.html").code == 0
        page = (desk.folder / "ticket.html").read_text("utf-8")
        assert "33 of 33 customers/targets were taken out." in page
        assert not any(str(who) in page for who in everyone)
        states = ("succeeded", "duplicate")
        chosen = [word for state in states for word in ("--state", state)]
        assert desk.do("export", "cleanup.unenroll", "--to", "ticket.xlsx", *chosen).code == 0
        assert desk.do("verify", "cleanup.unenroll").code == 0
        assert desk.do("status", "cleanup.unenroll", "--json").json["exit"]["code"] == 0


class TestTwoInTheMorning:
    """Nobody watches: a window that is too short, a machine that dies, a night that ends it."""

    CUSTOMERS = people(400)
    MOST_IN_DOUBT = 2 * 32

    @pytest.mark.thorough
    def test_nights_until_all_is_done(self, desk: Desk, witness: Start, inbox: Inbox) -> None:
        api = witness()
        self.prepare(desk, api)
        assert desk.do("job", "check", "night.toml").code == 0

        first = self.night(desk, "--rate", "20/s", "--stop-after", "3s")
        assert first.code == 3
        assert next_of(first)[:3] == ["job", "run", "night.toml"]
        assert "not finished: rows are left or in doubt" in inbox.messages[-1]["title"]
        assert self.metric(desk, "exit_code") == 3

        self.night_that_dies(desk, api)
        assert len(inbox.messages) == 1, "a killed run cannot notify"
        assert self.metric(desk, "exit_code") == -1
        assert "the last run was killed" in desk.do("status", "night.unenroll", "--json").out

        last = self.night(desk, *FAST)
        assert last.code == 0, last.err
        assert inbox.messages[-1]["title"] == "bulk-unenroll: all done (exit 0)"
        assert (self.metric(desk, "exit_code"), self.metric(desk, "running")) == (0, 0)
        self.everybody_once(desk, api)

        calls = len(api.seen())
        assert self.night(desk, *FAST).code == 0
        assert len(api.seen()) == calls, "the night after has nothing to do"

    def prepare(self, desk: Desk, api: Witness) -> None:
        for name in (*CREDENTIALS, "BULK_UNENROLL_BASE_URL"):
            del desk.environment[name]
        desk.environment |= {"LOYALTY_KEY": "sandbox-key", "LOYALTY_SECRET": "sandbox-secret"}
        desk.environment["PAGER"] = desk.environment.pop("BULK_UNENROLL_NOTIFY_URLS")
        desk.write("drop.csv", [(who, 1001, 2001) for who in self.CUSTOMERS])
        (desk.folder / "night.toml").write_text(
            f"""
            [input]
            files = "drop.csv"
            [api]
            base_url = "{api.base_url}"
            client_key_env = "LOYALTY_KEY"
            client_secret_env = "LOYALTY_SECRET"
            [schedule]
            unattended = true
            [output]
            folder = "night.unenroll"
            json_summary = true
            log_file = "night.log"
            metrics_file = "night.prom"
            [notify]
            urls_env = "PAGER"
            """
        )

    def night(self, desk: Desk, *more: str) -> Ended:
        """As a scheduler runs it: without a terminal, in a new session."""
        process = self.start(desk, *more)
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)

    def start(self, desk: Desk, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*desk.program, "job", "run", "night.toml", *more],
            cwd=desk.folder,
            env=desk.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def night_that_dies(self, desk: Desk, api: Witness) -> None:
        before = len(api.seen())
        process = self.start(desk, "--rate", "50/s")
        while len(api.seen()) < before + 10:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def metric(self, desk: Desk, name: str) -> float:
        found = metrics_of(desk.folder / "night.prom")
        return found[f'bulk_unenroll_{name}{{folder="night.unenroll"}}']

    def everybody_once(self, desk: Desk, api: Witness) -> None:
        assert api.applied() == set(self.CUSTOMERS)
        twice = {who for who, number in calls_of(api).items() if number > 1}
        assert len(twice) <= self.MOST_IN_DOUBT
        for who in twice:
            told = desk.do("explain", "night.unenroll", who).out
            assert "unanswered" in told
        assert desk.do("verify", "night.unenroll").code == 0
        log = (desk.folder / "night.log").read_text()
        assert all(json.loads(line)["event"] for line in log.splitlines())


class TestMonday:
    """312 rows failed over the weekend; a data engineer finds out why; nobody else is called."""

    CUSTOMERS = people(1000)
    MISSING = CUSTOMERS[:900:3]
    CLOSED = CUSTOMERS[900::8][:12]

    @pytest.mark.thorough
    def test_312_failed_rows_are_explained_fixed_and_verified(
        self, desk: Desk, witness: Start
    ) -> None:
        api = self.weekend(desk, witness)
        found = desk.do("status", "weekend.unenroll", "--json").json
        assert found["codes"] == {"310011": 300, "310019": 12}
        assert found["status"]["failed"] == 312

        told = desk.do("explain", "weekend.unenroll", self.MISSING[0]).out
        assert "310011" in told
        assert re.search(r"310011.*invalid user id.*check customerId", desk.do("codes").out)
        to = ("--to", "missing.csv", "--code", "310011")
        assert desk.do("export", "weekend.unenroll", *to).out == "300 rows → missing.csv\n"
        assert [int(row["customerId"]) for row in desk.results("missing.csv")] == [*self.MISSING]

        api.ask("teach", {"customers": [*self.MISSING]})
        calls = len(api.seen())
        retry = ("retry", "weekend.unenroll", *FAST)
        wrong = desk.do(*retry, "--expect", 300)
        assert wrong.code == 65, "312 would be called without a code"
        still = desk.do("status", "weekend.unenroll", "--json").json
        assert still["status"] == found["status"], "what was refused has reopened nothing"
        assert len(api.seen()) == calls
        retried = desk.do(*retry, "--code", "310011", "--expect", 300)
        assert retried.code == 1
        assert {call["customer"] for call in api.seen()[calls:]} == set(self.MISSING)
        assert next_of(retried) == ["retry", "weekend.unenroll", "--code", "310019"]

        api.ask("teach", {"rules": []})
        assert desk.do(*next_of(retried), *FAST, "--expect", 12).code == 0
        self.done(desk, api)

    def weekend(self, desk: Desk, witness: Start) -> Witness:
        known = [who for who in self.CUSTOMERS if who not in self.MISSING]
        api = witness(
            f"[book]\ncustomers = {known}\n"
            f'[[rule]]\ncustomers = {[*self.CLOSED]}\nact = "answer"\ncode = 310019\n'
        )
        desk.write("weekend.csv", [(who, 1001, 2001) for who in self.CUSTOMERS])
        ended = desk.do("run", "weekend.csv", "--yes", *FAST)
        assert ended.code == 1, ended.err
        assert "312 rows failed" in ended.err
        assert next_of(ended) == ["retry", "weekend.unenroll", "--code", "310011"]
        return api

    def done(self, desk: Desk, api: Witness) -> None:
        assert api.applied() == set(self.CUSTOMERS)
        again = {who for who, number in calls_of(api).items() if number > 1}
        assert again == {*self.MISSING, *self.CLOSED}
        assert desk.do("verify", "weekend.unenroll").code == 0
        found = desk.do("status", "weekend.unenroll", "--json").json
        assert found["status"]["succeeded"] == 1000
        assert found["exit"]["code"] == 0
        assert len(Path(desk.folder / "weekend.unenroll/failed.csv").read_text().splitlines()) == 1
