"""A job on the page, from a dropped file to what failed, as a browser without script sees it."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import re
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people
from tests.web.kit import Answer, PageServer, Visitor, destinations, serving

EU = "EU PRODUCTION"
HEADER = ("customerId", "targetGroupId", "targetId")
SLOW = {"rules": [{"probability": 1, "delay_s": 0.5}]}


def write(desk: Desk, number: int = 40, name: str = "cleanup.csv") -> Path:
    return desk.write(name, [(who, 1001, 2001) for who in people(number)])


def job_json(server: PageServer, visitor: Visitor, name: str) -> dict[str, object]:
    path = server.root / visitor.job.rpartition("/")[2] / name
    found: dict[str, object] = json.loads(path.read_text())
    return found


class TestStory:
    def test_from_the_file_to_what_failed(
        self, desk: Desk, server: PageServer, visitor: Visitor, api: Witness
    ) -> None:
        gone, refused = people(40)[3], people(40)[5]
        codes = {310011: refused, 310149: gone}
        rules = [{"customers": [who], "code": code} for code, who in codes.items()]
        api.ask("teach", {"rules": rules})
        path = desk.write(
            "cleanup.csv", [*((w, 1001, 2001) for w in people(40)), ("x", 1001, 2001)]
        )
        columns = visitor.drop(path)
        assert columns.status == 200
        assert re.search(r'<option value="column:customerId" selected', columns.text)
        plan = visitor.plan(EU)
        assert plan.words.count("40 customers would be taken out") == 1
        shown = json.loads((server.root / visitor.job[6:] / "plan.json").read_text())
        assert f"Plan {shown['plan_id']}" in plan.words
        assert f"1001/2001 {shown['plan']['targets'][0]['customers']}" in plan.words
        assert f"not digits {shown['plan']['invalid'][0]['rows']} row 41 (line 42)" in plan.words
        wrong = visitor.confirm(39)
        assert "That is not the number of customers" in wrong.words
        assert not api.seen()
        assert visitor.confirm("40").status == 200
        end = visitor.end()
        assert "38 of 40 customers were taken out, 1 was not enrolled, 1 failed" in end.words, (
            end.words
        )
        assert "310011 1 " in end.words
        assert len(api.seen()) == 40
        results = visitor.get(f"{visitor.job}/files/results.csv")
        rows = list(csv.DictReader(io.StringIO(results.text)))
        assert [row["unenroll_status"] for row in rows].count("succeeded") == 38
        assert results.headers["Content-Disposition"].endswith('"cleanup-results.csv"')
        report = visitor.get(f"{visitor.job}/files/report.html")
        assert report.headers["Content-Security-Policy"].startswith("sandbox;")
        said = [line["what"] for line in audit(server, visitor)]
        assert said[:4] == ["uploaded", "planned", "typed a wrong answer", "confirmed"]

    @pytest.mark.thorough
    def test_mended_rows_go_on_in_the_same_record(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(
            desk.write("a.csv", [*((w, 1001, 2001) for w in people(20)), ("4230", 1, "x")])
        )
        visitor.plan(EU)
        visitor.confirm(20)
        visitor.end()
        job = visitor.job
        failed = visitor.get(f"{job}/files/failed.csv").text
        mended = desk.folder / "mended.csv"
        who = people(1, before=900)[0]
        mended.write_text(failed.replace("4230,1,x", f"{who},1001,2001"))
        visitor.at = job
        plan = visitor.mend(mended)
        assert "1 customer would be taken out" in plan.words
        visitor.confirm(1)
        end = visitor.end()
        assert "21 of 21 customers were taken out." in end.words, end.words
        assert sorted(call["customer"] for call in api.seen()) == sorted([*people(20), who])

    @pytest.mark.thorough
    def test_a_rehearsal_is_a_job_of_its_own_and_calls_nobody(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        real = visitor.job
        visitor.post(f"{real}/rehearse")
        assert visitor.job != real
        visitor.settled(f"{visitor.job}/plan")
        assert visitor.confirm(40).status == 200
        assert "REHEARSAL" in visitor.end().words
        assert not api.seen()
        visitor.at = real
        visitor.confirm(40)
        visitor.end()
        assert len(api.seen()) == 40


def preview_of(page: Answer) -> list[list[str]]:
    """The cells of the first rows that the page of the columns shows."""
    rows = re.search(r'id="preview".*?<tbody>(.*?)</tbody>', page.text, re.DOTALL)
    assert rows, page.words
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows[1].split("</tr>")[:-1]]
    return [[html.unescape(cell) for cell in row] for row in cells]


def audit(server: PageServer, visitor: Visitor) -> list[dict[str, object]]:
    path = server.root / visitor.job.rpartition("/")[2] / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.thorough
class TestColumns:
    def test_what_is_missing_is_asked_for_and_what_was_typed_stays(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        visitor.drop(desk.write("members.csv", [(w,) for w in people(30)], "Member No"))
        answer = visitor.post(
            f"{visitor.job}/plan",
            **{"customerId": "", "targetGroupId-all": "1001", "targetId-all": "0x", "rate": "77"},
            destination="rehearsal",
        )
        assert answer.status == 422
        assert "Choose the column that holds the customers' ids" in answer.words
        assert answer.text.count("aria-invalid") >= 2
        assert answer.field("targetGroupId-all") == "1001"
        assert answer.field("rate") == "77"
        good = {"customerId": "column:Member No", "targetGroupId-all": 1001, "targetId-all": 2001}
        visitor.post(f"{visitor.job}/plan", **good, destination="rehearsal", rate=100)
        assert "30 customers" in visitor.settled(f"{visitor.job}/plan").words
        again = visitor.get(f"{visitor.job}/columns")
        assert '<option value="column:Member No" selected' in again.text
        assert again.field("targetId-all") == "2001"

    def test_a_rate_above_that_of_the_destination_is_refused(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        visitor.drop(write(desk))
        answer = visitor.plan(EU, rate=999_999)
        assert answer.status == 422
        assert "EU PRODUCTION takes at most 120,000 calls a minute" in answer.words

    def test_a_workbook_with_two_sheets_and_damaged_ids(self, desk: Desk, visitor: Visitor) -> None:
        xlsxwriter = pytest.importorskip("xlsxwriter")
        path = desk.folder / "list.xlsx"
        with xlsxwriter.Workbook(path) as book:
            for name, first in (("April", 423000000), ("May", 423500000)):
                sheet = book.add_worksheet(name)
                sheet.write_row(0, 0, ["A title above the table"])
                sheet.write_row(2, 0, ["customerId", "targetGroupId", "targetId"])
                for number in range(30):
                    sheet.write_row(number + 3, 0, [first + 7 * number, 1001, 2001])
                sheet.write_row(33, 0, [4.23e17, 1001, 2001])
        assert "Choose a sheet first" in visitor.drop(path).words
        job = visitor.job
        look = visitor.get(f"{job}/columns?sheet=May&header_row=3")
        assert "423500000" in look.words
        visitor.at = job
        plan = visitor.plan(sheet="May", header_row=3)
        assert "30 customers" in plan.words
        assert "exponent 1 row 31 (row 34 in Excel)" in plan.words, plan.words
        assert "cannot be got back from this file" in plan.words

    def test_the_preview_is_what_the_plan_reads(self, desk: Desk, visitor: Visitor) -> None:
        """Cell by cell: ids as numbers and as text, of the second sheet, below a title."""
        xlsxwriter = pytest.importorskip("xlsxwriter")
        header = (*HEADER, "Place", "Score", "Day", "Empty")
        path = desk.folder / "list.xlsx"
        with xlsxwriter.Workbook(path) as book:
            day = book.add_format({"num_format": "yyyy-mm-dd"})
            book.add_worksheet("April").write_row(0, 0, [*header[:3]])
            sheet = book.add_worksheet("May")
            sheet.write_row(1, 0, header)
            rows: list[tuple[object, ...]] = [
                (who, "1001", 2001.0, "Köln <b>", 1.5) for who in people(30)
            ]
            rows[1] = ("423000888", 1001, "2001", " a b ", 1e21)
            rows[2] = (4.23e17, 1001, 2001, "x=1", 0.1)
            rows[3] = ("00423", 1001, 2001, "", -0.0)
            for number, row in enumerate(rows):
                for place, cell in enumerate(row):
                    write = sheet.write_string if isinstance(cell, str) else sheet.write_number
                    write(number + 2, place, cell)
                sheet.write_datetime(number + 2, 5, datetime(2026, 5, 1 + number), day)
        visitor.drop(path)
        look = visitor.get(f"{visitor.job}/columns?sheet=May&header_row=2")
        visitor.plan(sheet="May", header_row=2)
        assert visitor.confirm(28).status == 200
        assert "2 rows are invalid" in visitor.end().words
        results = csv.DictReader(
            io.StringIO(visitor.get(f"{visitor.job}/files/results.csv").text.removeprefix("\ufeff"))
        )
        read = {row["unenroll_row"]: [row[name] for name in header] for row in results}
        shown = preview_of(look)
        assert shown == [read[str(number)] for number in range(1, 6)]
        assert shown[0][:4] == [str(people(1)[0]), "1001", "2001", "Köln <b>"]

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and so on"])
    def test_what_is_no_file_is_said_in_words(
        self, desk: Desk, visitor: Visitor, content: bytes
    ) -> None:
        path = desk.folder / "a.xlsx"
        path.write_bytes(content)
        answer = visitor.drop(path)
        assert answer.status in (400, 422)
        assert "role=" in answer.text
        assert str(desk.folder) not in answer.text


@pytest.mark.thorough
class TestAlarms:
    def test_its_name_is_typed_beside_the_number(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        phones = [919_800_000_000 + 7_543_217 * n for n in range(40)]
        visitor.drop(desk.write("a.csv", [(who, 1001, 2001) for who in phones]))
        plan = visitor.plan(EU)
        assert "Check this: phones 40 of 40 customer ids" in plan.words
        assert re.search(
            r'phone numbers.*?<a href="[^"]+/columns">Change the columns</a></p></div>', plan.text
        )
        wrong = visitor.confirm(40, **{"alarm-phones": 'phone"s'})
        assert "Type the name of the alarm" in wrong.words
        assert [wrong.field(name) for name in ("number", "alarm-phones")] == ["40", "phone&#34;s"]
        assert not api.seen()
        wrong = visitor.confirm("4o", **{"alarm-phones": "phones"})
        assert "That is not the number" in wrong.words
        assert [wrong.field(name) for name in ("number", "alarm-phones")] == ["4o", "phones"]
        assert not api.seen()
        again = visitor.get(f"{visitor.job}/plan")
        assert [again.field(name) for name in ("number", "alarm-phones")] == ["", ""]
        assert visitor.plan(EU, rate=30_000).status == 200
        of_another = visitor.get(f"{visitor.job}/plan?wrong=number")
        assert of_another.field("alarm-phones") == "", "it was typed for another plan"
        assert visitor.confirm(40, **{"alarm-phones": "phones"}).status == 200
        visitor.end()
        assert api.seen()

    def test_an_order_that_was_carried_out_before(
        self, desk: Desk, server: PageServer, visitor: Visitor, api: Witness
    ) -> None:
        for name in ("april.csv", "may.csv"):
            visitor.drop(write(desk), name)
            plan = visitor.plan(EU)
            if name == "april.csv":
                visitor.confirm(40)
                visitor.end()
        assert "may.csv was run before with the same content, in an earlier job" in plan.words
        assert str(server.root) not in plan.text
        visitor.confirm(40, **{"alarm-again": "again"})
        end = visitor.end()
        assert "0 of the first 10 calls succeeded, and 10 were not enrolled" in end.words
        assert len(api.seen()) == 50

    def test_the_first_calls_at_a_new_target_are_looked_at(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(desk.write("a.csv", [(who, 8001, 9001) for who in people(40)]))
        visitor.plan(EU)
        visitor.confirm(40)
        held = visitor.end()
        assert "The first calls succeeded. Look one customer up" in held.words
        assert "Go on with the 30 left" in held.words
        assert len(api.seen()) == 10
        visitor.post(f"{visitor.job}/resume")
        assert "40 of 40 customers were taken out" in visitor.end().words


class TestChanged:
    """What was planned is what runs, or nothing does."""

    @pytest.mark.thorough
    def test_a_file_that_was_changed_after_the_plan(
        self, desk: Desk, server: PageServer, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        path = server.root / visitor.job[6:] / "in" / "cleanup.csv"
        text = path.read_text()
        path.chmod(0o600)
        path.write_text(text.replace("423000007", "423000008"))
        visitor.confirm(40)
        end = visitor.end()
        assert "Nothing was sent" in end.words
        assert not api.seen()

    @pytest.mark.thorough
    def test_a_plan_that_was_made_anew(self, desk: Desk, visitor: Visitor, api: Witness) -> None:
        visitor.drop(desk.write("a.csv", [(w, 1001) for w in people(40)], *HEADER[:2]))
        old = visitor.plan(EU, **{"targetId": "", "targetId-all": 2001}).field("plan")
        visitor.plan(EU, **{"targetId": "", "targetId-all": 2002})
        answer = visitor.post(f"{visitor.job}/confirm", plan=old, number=40)
        assert answer.status == 409
        assert "made anew" in answer.words
        assert not api.seen()

    @pytest.mark.thorough
    def test_eight_confirmations_are_one_run(
        self, desk: Desk, server: PageServer, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(write(desk))
        plan = visitor.plan(EU).field("plan")
        found: list[Answer] = []

        def confirm() -> None:
            one = Visitor(server.address, dict(visitor.cookies))
            one.at = visitor.job
            found.append(one.post(f"{visitor.job}/confirm", plan=plan, number=40))

        threads = [threading.Thread(target=confirm) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in found) == [200, *[409] * 7]
        visitor.end()
        assert len(api.seen()) == 40
        assert [line["what"] for line in audit(server, visitor)].count("confirmed") == 1

    @pytest.mark.thorough
    def test_what_was_confirmed_cannot_be_planned_anew(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        visitor.end()
        assert visitor.plan(EU).status == 409
        assert len(api.seen()) == 40


@pytest.mark.thorough
class TestRunning:
    @pytest.fixture
    def running(self, desk: Desk, visitor: Visitor, api: Witness) -> Visitor:
        api.ask("teach", SLOW)
        visitor.drop(write(desk, 600))
        visitor.plan(EU, rate=1200)
        visitor.confirm(600)
        api.wait_for_calls(15)
        return visitor

    def test_it_can_be_stopped_and_goes_on(self, running: Visitor, api: Witness) -> None:
        now = json.loads(running.get(f"{running.job}/now").text)
        assert now["working"]
        assert now["of"] == 600
        running.post(f"{running.job}/stop")
        running.post(f"{running.job}/stop")
        end = running.end()
        called = len(api.seen())
        assert called < 600
        assert f"Go on with the {600 - called:,} left" in end.words
        running.post(f"{running.job}/resume")
        api.wait_for_calls(called + 1)
        running.post(f"{running.job}/stop")
        running.end()
        assert len({call["customer"] for call in api.seen()}) == len(api.seen())

    def test_a_stop_that_comes_before_the_run_can_hear_it_holds(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        api.ask("teach", SLOW)
        visitor.drop(write(desk, 600))
        visitor.plan(EU, rate=1200)
        visitor.confirm(600)
        visitor.post(f"{visitor.job}/stop")
        end = visitor.end()
        called = len(api.seen())
        assert called < 100
        assert re.search(rf"Go on with the {600 - called} left|Nothing was sent\. Go on", end.words)
        visitor.post(f"{visitor.job}/resume")
        api.wait_for_calls(called + 1)
        visitor.post(f"{visitor.job}/stop")
        end = visitor.end()
        assert f"Go on with the {600 - len(api.seen())} left" in end.words

    def test_it_outlives_the_server_and_the_next_one_shows_and_stops_it(
        self, running: Visitor, server: PageServer, api: Witness
    ) -> None:
        server.kill()
        before = len(api.seen())
        api.wait_for_calls(before + 5)
        server.start()
        again = server.visit()
        again.at = running.job
        assert "data-now" in again.get(again.job).text
        again.post(f"{again.job}/stop")
        assert "left" in again.end().words
        assert json.loads(again.get(f"{again.job}/now").text)["working"] is False

    def test_a_run_that_is_killed_was_cut_off_and_goes_on(
        self, running: Visitor, server: PageServer, api: Witness
    ) -> None:
        pid = job_json(server, running, "child.json")["pid"]
        os.kill(int(str(pid)), signal.SIGKILL)
        end = running.end()
        assert "This run was cut off" in end.words
        assert len(api.seen()) < 600
        api.ask("teach", {"rules": []})
        running.post(f"{running.job}/resume")
        assert "data-now" in running.get(running.job).text
        running.post(f"{running.job}/stop")
        running.end()

    def test_another_tab_is_told_who_confirmed_and_where_to_watch(self, running: Visitor) -> None:
        told = running.post(f"{running.job}/confirm", plan="x", number=600)
        assert told.status == 409
        assert re.search(r"It was confirmed at \d\d:\d\d UTC by \S+ and is running\.", told.words)
        assert re.search(r'<a href="/jobs/[^"]+">Watch it</a>', told.text)

    def test_going_on_shows_what_was_done_before(self, running: Visitor) -> None:
        running.post(f"{running.job}/stop")
        running.end()
        first = running.post(f"{running.job}/resume")
        done = int(re.search(r"data-state-succeeded>([\d,]+)<", first.text)[1])  # type: ignore[index]
        assert done > 0, first.words
        running.post(f"{running.job}/stop")
        running.end()

    def test_a_job_that_works_is_not_deleted(self, running: Visitor, server: PageServer) -> None:
        answer = running.post(f"{running.job}/delete", name="cleanup.csv")
        assert answer.status == 409
        assert list(server.root.glob("2*"))


@pytest.mark.thorough
class TestAgain:
    def test_a_code_is_run_again_for_the_number_that_is_typed(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        wrong = list(people(40)[2::7])
        rule = {"customers": wrong, "code": 310011, "times": 6}
        api.ask("teach", {"rules": [rule]})
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        end = visitor.end().words
        assert "34 of 40" in end, end
        assert "Tick at least one code" in visitor.post(f"{visitor.job}/retry").words
        ask = visitor.post(f"{visitor.job}/retry", code="310011")
        assert "Call 6 customers again" in ask.words
        refused = visitor.post(f"{visitor.job}/retry", code="310011", number=7)
        assert (refused.status, refused.field("number")) == (422, "7")
        assert "/retry?code=310011" in visitor.at, "going back sends no form again"
        assert len(api.seen()) == 40
        visitor.post(f"{visitor.job}/retry", code="310011", number=6)
        assert "40 of 40 customers were taken out" in visitor.end().words
        assert sorted(call["customer"] for call in api.seen()[40:]) == wrong

    def test_one_customer(self, desk: Desk, server: PageServer, visitor: Visitor) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        visitor.end()
        job = visitor.job
        found = visitor.post(f"{job}/customer", customer="423000007")
        assert "Customer 423000007" in found.words
        assert "succeeded" in found.words
        visitor.at = job
        assert "in no row" in visitor.post(f"{job}/customer", customer="99").words
        visitor.at = job
        assert visitor.post(f"{job}/customer", customer="4,2").status == 422
        notes = "".join(path.read_text() for path in server.root.rglob("audit.jsonl"))
        assert "423000007" not in notes
        assert "looked up a customer" in notes

    def test_a_workbook_is_prepared_when_asked_for(self, desk: Desk, visitor: Visitor) -> None:
        pytest.importorskip("xlsxwriter")
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        visitor.end()
        page = visitor.post(f"{visitor.job}/files", file="results.xlsx")
        end_s = time.monotonic() + 60
        while "The Excel file is being prepared" in page.words:  # longer than a page waits for it
            assert time.monotonic() < end_s
            page = visitor.get(visitor.job)
        assert "for Excel, a sheet for each code" in page.words
        assert f"{visitor.job}/files/results.xlsx" in page.text

    def test_a_job_is_deleted_once_the_name_of_its_file_is_typed(
        self, desk: Desk, server: PageServer, visitor: Visitor
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        visitor.end()
        assert visitor.post(f"{visitor.job}/delete", name="x").status == 422
        assert "?wrong=delete" in visitor.at
        visitor.post(f"{visitor.job}/delete", name="cleanup.csv")
        assert not list(server.root.glob("2*"))
        assert "deleted a job" in (server.root / "audit.jsonl").read_text()


@pytest.mark.thorough
class TestServer:
    def test_without_a_destination_there_are_only_rehearsals(self, desk: Desk) -> None:
        with serving(desk) as server:
            visitor = server.visit()
            assert "Rehearsals only" in visitor.get("/").words
            visitor.drop(write(desk))
            assert visitor.plan(EU).status == 422

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("--host", "0.0.0.0"), 78, "nobody would be signed in"),
            (("--behind-proxy",), 2, "--people"),
            (("--destinations", "none.toml"), 78, "cannot read none.toml"),
        ],
    )
    def test_a_wrong_set_up_is_said(
        self, desk: Desk, words: tuple[str, ...], code: int, said: str
    ) -> None:
        ended = desk.do("serve", "jobs", "--no-open", *words)
        assert (ended.code, said in ended.err) == (code, True), ended.err

    def test_its_token_is_in_no_file_and_no_argument(
        self, server: PageServer, visitor: Visitor, desk: Desk
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        secrets = (server.token.encode(),)  # the password of the sandbox is a common word
        for path in server.root.rglob("*"):
            if path.is_file():
                assert not any(secret in path.read_bytes() for secret in secrets)
        arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        assert not any(secret in arguments for secret in secrets)

    def test_all_is_for_its_owner_alone(
        self, server: PageServer, visitor: Visitor, desk: Desk
    ) -> None:
        visitor.drop(write(desk))
        visitor.plan(EU)
        for path in [server.root, *server.root.rglob("*")]:
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.thorough
class TestTrouble:
    """What goes wrong is said in words, and no secret is in any answer or file."""

    PASSWORD = "Wombat-secret-7781"

    def check(self, server: PageServer, visitor: Visitor) -> None:
        secrets = (self.PASSWORD, hashlib.md5(self.PASSWORD.encode()).hexdigest(), server.token)
        job = visitor.job
        pages = (
            "/",
            job,
            f"{job}/plan",
            f"{job}/columns",
            f"{job}/now",
            f"{job}/files/report.html",
        )
        texts = [visitor.get(path).text for path in pages]
        texts += [p.read_text(errors="replace") for p in server.root.rglob("*") if p.is_file()]
        for text in texts:
            assert not any(secret in text for secret in secrets)
        for text in texts[:5]:
            assert str(server.root) not in text
            assert "Traceback" not in text

    def serve(self, desk: Desk, base_url: str, **more: str) -> PageServer:
        desk.environment |= {"EU_PASSWORD": self.PASSWORD, **more}
        return PageServer(desk, "--destinations", destinations(desk.folder, base_url))

    @pytest.mark.parametrize("from_file", [False, True])
    def test_a_sign_in_that_the_api_refuses(
        self, desk: Desk, api: Witness, from_file: bool
    ) -> None:
        (desk.folder / "secret").write_text(self.PASSWORD)
        named = {"EU_PASSWORD_FILE": str(desk.folder / "secret")} if from_file else {}
        server = self.serve(desk, api.base_url, **named)
        if from_file:
            server.stop()
            del desk.environment["EU_PASSWORD"]
            server.start()
        try:
            visitor = server.visit()
            visitor.drop(write(desk))
            visitor.plan(EU)
            visitor.confirm(40)
            assert "The API refused the sign-in of this server" in visitor.end().words
            self.check(server, visitor)
            assert not api.applied()
        finally:
            server.stop()

    def test_a_destination_that_is_away(self, desk: Desk, api: Witness) -> None:
        server = self.serve(desk, "https://127.0.0.1:9/v3.1")
        try:
            visitor = server.visit()
            visitor.drop(write(desk))
            visitor.plan(EU)
            visitor.confirm(40)
            assert "It stopped by itself" in visitor.end().words
            self.check(server, visitor)
        finally:
            server.stop()

    def test_a_destination_in_the_clear_is_refused_at_the_start(self, desk: Desk) -> None:
        to = destinations(desk.folder, "http://api.example.com/v3.1")
        ended = desk.do("serve", "jobs", "--no-open", "--destinations", to)
        assert (ended.code, "credentials in the clear" in ended.err) == (78, True), ended.err

    def test_a_pause_is_shown_with_its_end(
        self, desk: Desk, visitor: Visitor, api: Witness
    ) -> None:
        rule = {"attempt": 1, "status": 429, "retry_after": "20", "times": 40}
        api.ask("teach", {"rules": [rule]})
        visitor.drop(write(desk))
        visitor.plan(EU)
        visitor.confirm(40)
        for _ in range(100):
            now = json.loads(visitor.get(f"{visitor.job}/now").text)
            if now["phase"] == "paused":
                break
            time.sleep(0.1)
        assert now["title"] == "Paused"
        assert re.match(r"until \d\d:\d\d:\d\d UTC: ", now["text"])
        visitor.post(f"{visitor.job}/stop")
        visitor.end()
