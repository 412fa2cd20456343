"""Mended rows: read as the program's own file, a part of their job, whose results stay."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.command import Desk, people
from tests.web.kit import Answer, PageServer, Visitor

GOOD = people(1, before=900)[0]


def workbook(path: Path, rows: list[tuple[object, ...]]) -> Path:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(path) as book:
        for name in ("Notes", "May"):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, [name, "a title"])
            for number, row in enumerate(rows):
                sheet.write_row(number + 1, 0, row)
    return path


def titled(path: Path, rows: list[tuple[object, ...]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([("Members of May",), *rows])
    path.write_bytes(text.getvalue().replace("Filiale", "Geschäft").encode("cp1252"))
    return path


ROWS: list[tuple[object, ...]] = [
    ("Member", "Filiale"),
    *((who, "a") for who in people(10)),
    ("4230x", "b"),
]


def finished(visitor: Visitor, path: Path, destination: str = "rehearsal", **more: object) -> None:
    """A job of this file that has run, with a row that is invalid."""
    visitor.drop(path)
    ids = {"customerId": "column:Member", "targetGroupId": "", "targetId": ""}
    ids |= {"targetGroupId-all": "1001", "targetId-all": "2001"}
    assert "10 customers" in visitor.plan(destination, **ids, **more).words
    visitor.confirm(10)
    assert "10 of 10 customers were taken out" in visitor.end().words


def mended(desk: Desk, visitor: Visitor, name: str = "mine.csv", new: str = str(GOOD)) -> Path:
    failed = visitor.get(f"{visitor.job}/files/failed.csv").text
    assert "4230x" in failed
    path = desk.folder / name
    path.write_text(failed.replace("4230x", new), encoding="utf-8")
    return path


@pytest.mark.thorough
def test_a_job_keeps_its_results_through_all_that_is_given_to_it(
    desk: Desk, server: PageServer, visitor: Visitor
) -> None:
    """Of a list with a title: its results as a new list, a wrong file, the mended rows."""
    finished(visitor, titled(desk.folder / "list.csv", ROWS), header_row=2, encoding="cp1252")
    job = visitor.job
    path = mended(desk, visitor)
    told = visitor.drop(path)
    assert f'<a href="{job}">list.csv</a>, of <time' in told.text
    assert "delete the columns that begin with unenroll_ to begin a new list" in told.words
    assert len(list(server.root.glob("2*"))) == 1
    wrong = desk.folder / "x.csv"
    wrong.write_text("a,b\n1,2\n")
    visitor.at = job
    refused = visitor.mend(wrong)
    assert "x.csv: the column “Member”, chosen for customerId, does not exist" in refused.words
    assert "x.csv: x.csv" not in refused.words
    assert "Back to the results" in refused.words
    page = visitor.get(job)
    assert "10 of 10 customers were taken out" in page.words
    assert f"{job}/files/failed.csv" in page.text
    visitor.press(page, "Drop the mended rows")
    plan = visitor.mend(path)
    assert "1 customer would be taken out" in plan.words, plan.words
    visitor.confirm(1)
    end = visitor.end()
    assert "In a rehearsal, 11 of 11 customers were taken out." in end.words
    assert "Mended rows of failed.csv" not in end.words, "there is nothing left to mend"
    assert "Invalid rows" not in end.words


@pytest.mark.thorough
class TestReading:
    @pytest.mark.parametrize(
        ("make", "name", "more"),
        [
            (workbook, "list.xlsx", {"sheet": "May", "header_row": 2}),
            (titled, "list.csv", {"header_row": 2, "encoding": "cp1252"}),
        ],
    )
    def test_failed_rows_are_read_as_this_program_writes_them(
        self,
        desk: Desk,
        visitor: Visitor,
        make: Callable[[Path, list[tuple[object, ...]]], Path],
        name: str,
        more: dict[str, Any],
    ) -> None:
        """However the list of the job was read: by sheet, title, encoding."""
        finished(visitor, make(desk.folder / name, ROWS), **more)
        job = visitor.job
        plan = visitor.mend(mended(desk, visitor))
        assert "1 customer would be taken out" in plan.words, plan.words
        assert "Back to the results" in plan.words
        visitor.confirm(1)
        end = visitor.end()
        assert "In a rehearsal, 11 of 11 customers were taken out." in end.words
        shown = visitor.get(f"{job}/files/results.csv").headers["Content-Disposition"]
        assert shown.endswith('"list-results.csv"')
        assert "Mended rows of failed.csv" not in end.words, "there is nothing left to mend"


@pytest.mark.thorough
class TestResultsStay:
    @pytest.fixture
    def job(self, desk: Desk, visitor: Visitor) -> str:
        finished(visitor, desk.write("cleanup.csv", ROWS[1:], "Member", "Filiale"))
        return visitor.job

    def stays(self, visitor: Visitor, job: str) -> Answer:
        page = visitor.get(job)
        assert page.status == 200
        assert "10 of 10 customers were taken out" in page.words
        assert f"{job}/files/failed.csv" in page.text
        assert f"{job}/files/report.html" in page.text
        assert "One customer" in page.words
        assert "cleanup.csv</h1>" in page.text
        home = visitor.get("/").words
        assert "cleanup.csv ▲ finished, some need a look" in home or "need a look" in home, home
        return page

    def test_of_a_refused_file_and_it_can_be_dropped(
        self, desk: Desk, visitor: Visitor, job: str
    ) -> None:
        path = desk.folder / "x.csv"
        path.write_text("a,b\n1,2\n")
        visitor.mend(path)
        refused = visitor.mend(path)
        assert "This file was refused" in refused.words
        assert "x.csv: " in refused.words
        assert "the column “Member”, chosen for customerId, does not exist" in refused.words
        assert "Back to the results" in refused.words
        page = self.stays(visitor, job)
        assert "x.csv was refused" in page.words
        columns = visitor.get(f"{job}/columns")
        assert "Which column is what?" in columns.words
        visitor.at = job
        again = visitor.press(page, "Drop the mended rows")
        assert "x.csv was refused" not in again.words
        self.stays(visitor, job)

    def test_of_a_plan_that_nobody_confirmed(
        self, desk: Desk, server: PageServer, visitor: Visitor, job: str
    ) -> None:
        plan = visitor.mend(mended(desk, visitor))
        assert "1 customer would be taken out" in plan.words
        page = self.stays(visitor, job)
        assert "mine.csv is planned and not confirmed" in page.words
        columns = visitor.get(f"{job}/columns")
        assert columns.status == 200, "it is looked at inside the job that it belongs to"
        assert "Which column is what?" in columns.words
        assert "unenroll_row" not in "".join(re.findall(r"<option.*?</option>", columns.text))
        visitor.at = job
        assert visitor.press(columns, "Look again").status == 200


@pytest.mark.thorough
class TestDroppedAsNew:
    def test_it_is_said_which_job_it_belongs_to_and_no_entry_is_left(
        self, desk: Desk, server: PageServer, visitor: Visitor
    ) -> None:
        finished(visitor, desk.write("cleanup.csv", ROWS[1:], "Member", "Filiale"))
        job = visitor.job
        path = mended(desk, visitor)
        told = visitor.drop(path)
        assert "This file was written by this job" in told.words
        assert f'<a href="{job}">cleanup.csv</a>, of <time' in told.text
        assert "delete the columns that begin with unenroll_ to begin a new list" in told.words
        assert len(list(server.root.glob("2*"))) == 1
        path.write_text(path.read_text().replace("cleanup.csv", "other.csv"))
        told = visitor.drop(path)
        assert "written by a job that is not on this page" in told.words
        assert len(list(server.root.glob("2*"))) == 1


@pytest.mark.thorough
def test_mended_rows_of_the_same_name_are_looked_at_anew(desk: Desk, visitor: Visitor) -> None:
    """What was seen of a file that was dropped is not shown for the next one."""
    finished(visitor, titled(desk.folder / "list.csv", ROWS), header_row=2, encoding="cp1252")
    job, path = visitor.job, desk.folder / "mine.csv"
    for mine, other in (("first", "second"), ("second", "first")):
        path.write_text(f"{mine},b\n1,2\n")
        visitor.mend(path)
        columns = visitor.get(f"{job}/columns").words
        assert f"column “{mine}”" in columns
        assert f"column “{other}”" not in columns
        visitor.post(f"{job}/mended/drop")


@pytest.mark.thorough
def test_what_could_not_be_mended_may_stay_among_mended_rows(desk: Desk, visitor: Visitor) -> None:
    finished(visitor, titled(desk.folder / "list.csv", ROWS), header_row=2, encoding="cp1252")
    path = mended(desk, visitor)
    last = path.read_text(encoding="utf-8").splitlines()[-1]
    path.write_text(path.read_text(encoding="utf-8") + last.replace(str(GOOD), "x") + "\n")
    plan = visitor.mend(path)
    assert "1 customer would be taken out" in plan.words
    visitor.confirm(1)
    end = visitor.end().words
    assert "11 of 11 customers were taken out, 1 row is invalid" in end


@pytest.mark.thorough
def test_nobody_is_asked_to_confirm_what_a_run_refuses(desk: Desk, visitor: Visitor) -> None:
    """Too many rows are invalid: it is said before the number is typed, not after."""
    visitor.drop(desk.write("a.csv", [("x", 1001, 2001), (GOOD, 1001, 2001)]))
    plan = visitor.plan()
    assert "1 customer would be taken out" in plan.words
    assert "Too many of its rows are invalid, so this file is not sent." in plan.words
    assert 'name="number"' not in plan.text
