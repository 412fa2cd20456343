"""The page of the columns: what is chosen is what was asked for; what is wrong stands beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kit.command import Desk, people
from tests.web.kit import Answer, Visitor
from tests.web.test_pages import EU, write

IDS: dict[str, Any] = {
    "targetGroupId": "",
    "targetGroupId-all": 1001,
    "targetId": "",
    "targetId-all": 2001,
}


def chosen(page: Answer, name: str) -> str:
    """The column that is chosen for an id."""
    select = re.search(rf'<select id="{name}".*?</select>', page.text, re.DOTALL)
    assert select
    found = re.findall(r'value="([^"]*)" selected', select[0])
    assert len(found) < 2
    return found[0] if found else ""


def thorough_pairs(*pairs: tuple[object, ...]) -> list[Any]:
    return [pytest.param(*pair, marks=pytest.mark.thorough) for pair in pairs]


class TestChoices:
    @pytest.mark.thorough
    def test_of_columns_without_a_name_none_is_chosen_by_itself(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        rows = [(n, "x", who) for n, who in enumerate(people(30))]
        page = visitor.drop(desk.write("a.csv", rows, "Store", "", ""))
        names = ("customerId", "targetGroupId", "targetId", "orgId")
        assert [chosen(page, name) for name in names] == [""] * 4
        assert "column B, such as x" in page.words
        plan = visitor.plan(**IDS, customerId="column:column C")
        assert "30 customers would be taken out" in plan.words
        assert chosen(visitor.get(f"{visitor.job}/columns"), "customerId") == "column:column C"

    @pytest.mark.thorough
    def test_a_title_is_seen_and_the_header_below_it_is_one_click_away(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        rows = [("Member", "Filiale", "Note"), *((who, 7, "x") for who in people(30))]
        page = visitor.drop(desk.write("a.csv", rows, "Members of May", "", ""))
        assert "Line 1 looks like a title. Is line 2 the header?" in page.words
        page = visitor.press(page, "Use line 2")
        assert "column “Member”" in page.words
        assert page.field("header_row") == "2"
        assert "looks like a title" not in page.words
        plan = visitor.plan(**IDS, customerId="column:Member", header_row=2)
        assert "30 customers would be taken out" in plan.words


class TestMistakes:
    @pytest.mark.thorough
    def test_what_was_typed_stays_over_look_again_and_back(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        rows = [("customerId", "Filiale"), *((who, 7) for who in people(30))]
        visitor.drop(desk.write("a.csv", rows, "Members of May", ""))
        typed = {"header_row": 2, "targetGroupId-all": 1001, "targetId-all": "x", "rate": 77}
        wrong = visitor.post(
            f"{visitor.job}/plan", **typed, destination="rehearsal", customerId="column:customerId"
        )
        assert wrong.status == 422
        assert "/columns?wrong=1" in visitor.at, "going back sends no form again"
        assert "Target id: “x”" in wrong.words or "Target id: " in wrong.words
        again = visitor.press(wrong, "Look again")
        assert again.status == 200
        assert "/columns" in visitor.at
        assert [again.field(name) for name in ("header_row", "rate", "targetId-all")] == [
            "2",
            "77",
            "x",
        ]
        assert chosen(again, "customerId") == "column:customerId"

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("0", "Type the number of a row"),
            *thorough_pairs(("two", "Type the number of a row"), ("99", "The file has 31 lines.")),
        ],
    )
    def test_a_row_of_the_header_that_is_none(
        self, desk: Desk, visitor: Visitor, row: str, said: str
    ) -> None:
        visitor.drop(write(desk, 30))
        page = visitor.get(f"{visitor.job}/columns?header_row={row}")
        assert page.status == 422
        assert said in page.words
        assert re.search(r'name="header_row"[^>]*aria-invalid', page.text)
        assert page.field("header_row") == row

    @pytest.mark.thorough
    def test_a_refused_form_leads_to_a_page_that_back_survives(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        visitor.drop(write(desk, 30))
        job = visitor.job
        answer = visitor.post(f"{job}/stop/none")
        assert answer.status == 404
        answer = visitor.post(f"{job}/confirm", plan="x", number=1)
        assert answer.status == 409
        assert visitor.at.startswith("/refused/")
        assert visitor.get(visitor.at).status == 409

    @pytest.mark.thorough
    def test_a_file_with_a_header_alone(self, desk: Desk, visitor: Visitor) -> None:
        page = visitor.drop(desk.write("a.csv", []))
        assert "This file has a header and no rows." in page.words
        assert "This file has a header and no rows." in visitor.plan().words


class TestFiles:
    def test_a_text_that_is_not_utf_8_asks_for_its_encoding(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        path = desk.folder / "a.csv"
        lines = "".join(f"{who},1001,2001,Köln\n" for who in people(30))
        path.write_bytes(f"customerId,targetGroupId,targetId,Ort\n{lines}".encode("cp1252"))
        page = visitor.drop(path)
        assert "The letters with accents, first in line 2, are not written in UTF-8." in page.words
        assert '<select id="encoding"' in page.text
        assert "This file cannot be read yet: please say what is marked below." in page.words
        assert "Nothing was planned" not in page.words, "nobody asked for a plan"
        page = visitor.get(f"{visitor.job}/columns?encoding=cp1252")
        assert page.status == 200
        assert "Köln" in page.words
        assert "30 customers" in visitor.plan(encoding="cp1252").words

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            *thorough_pairs(
                ("a.csv", b"%PDF-1.7 and so on", "this is a PDF"),
                ("a.xlsx", b"%PDF-1.7 and so on", "this is a PDF"),
            ),
            (
                "a.xlsx",
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99,
                "save it as .xlsx without a password",
            ),
        ],
    )
    def test_what_is_no_list_could_not_be_read_and_is_deleted_at_once(
        self, desk: Desk, visitor: Visitor, name: str, content: bytes, said: str
    ) -> None:
        path = desk.folder / name
        path.write_bytes(content)
        page = visitor.drop(path)
        assert page.status == 422
        assert said in page.words
        home = visitor.get("/").words
        assert "could not be read" in home
        assert "1 KB" in home
        assert name not in visitor.press(page, "Delete this job").words

    @pytest.mark.thorough
    def test_what_was_never_confirmed_is_deleted_at_once(
        self, desk: Desk, visitor: Visitor
    ) -> None:
        path = desk.folder / "mixed.csv"
        path.write_text('customerId,targetGroupId,targetId\n1,2,3\n4,5,6"\n')
        page = visitor.drop(path)
        for plan in (page, visitor.plan()):
            assert "Delete this job" in plan.words
        assert "mixed.csv" not in visitor.press(plan, "Delete this job").words


@pytest.mark.thorough
def test_several_sheets_begin_with_a_choice(desk: Desk, visitor: Visitor) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    path = desk.folder / "list.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name in ("April", "May"):
            sheet = book.add_worksheet(name)
            for number, who in enumerate(people(30)):
                sheet.write_row(number, 0, [who, 1001])
            sheet.write_row(0, 0, ["customerId", "targetGroupId"])
    page = visitor.drop(path)
    assert re.search(r'<option value="" selected>choose…</option>', page.text)
    assert "April: 30 rows May: 30 rows" in page.words
    page = visitor.get(f"{visitor.job}/columns?sheet=May&header_row=99")
    assert 'Sheet "May" has 30 rows.' in page.words
    assert chosen(page, "customerId") == "column:customerId"


@pytest.mark.thorough
def test_a_rehearsal_says_so_and_what_is_irreversible_is_red(desk: Desk, visitor: Visitor) -> None:
    path = desk.write("cleanup.csv", [*((who, 1001, 2001) for who in people(30)), ("4.2e8", 1, 1)])
    visitor.drop(path)
    real = visitor.plan(EU)
    assert 'class="danger">Take these customers out' in real.text
    plan = visitor.plan()
    assert "<button>Rehearse this</button>" in plan.text
    assert "The lost digits cannot be got back from this file" in plan.words
    visitor.confirm(30)
    end = visitor.end().words
    assert "In a rehearsal, 30 of 30 customers were taken out, 1 row is invalid." in end
    assert 'row 31 (line 32) customerId: "4.2e8" is a rounded number that lost' in end
    told = visitor.post(f"{visitor.job}/confirm", plan="x", number=30).words
    assert re.search(r"It was confirmed at \d\d:\d\d UTC by \S+, and has run\.", told)
