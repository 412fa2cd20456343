"""The page of a run that somebody stopped: each number can be checked, each word is the page's."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.kit.command import Desk, Witness, people
from tests.web.kit import Visitor

pytestmark = pytest.mark.thorough
EU = "EU PRODUCTION"
UNANSWERED, REFUSED = people(40)[:2]


@pytest.fixture
def stopped(desk: Desk, visitor: Visitor, api: Witness) -> Visitor:
    """A job of a workbook with a title, stopped while one is in doubt and one has failed."""
    rules = [{"customers": [UNANSWERED], "status": 502}, {"customers": [REFUSED], "code": 310011}]
    api.ask("teach", {"rules": rules})
    xlsxwriter = pytest.importorskip("xlsxwriter")
    path = desk.folder / "tienda señor.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Clientes")
        sheet.write_row(0, 0, ["A title"])
        sheet.write_row(2, 0, ["customerId", "targetGroupId", "targetId"])
        for number, who in enumerate(people(40), 3):
            sheet.write_row(number, 0, [who, 1001, 2001])
    visitor.drop(path)
    plan = visitor.plan(EU, header_row=3, sheet="Clientes", stop_at="23:59", rate=240)
    read = "Customer id “customerId” Target group id “targetGroupId” Target id “targetId”"
    assert f"{read} Sheet Clientes Header row 3 Stops at 23:59, on the clock" in plan.words
    visitor.confirm(40)
    states: dict[str, int] = {}
    end_s = time.monotonic() + 60
    while not {"in_doubt", "failed"} <= states.keys():
        assert time.monotonic() < end_s, states
        time.sleep(0.2)
        states = json.loads(visitor.get(f"{visitor.job}/now").text)["states"]
        assert sum(states.values()) in (0, 40), states
    visitor.post(f"{visitor.job}/stop")
    visitor.end()
    return visitor


def test_what_going_on_and_calling_again_would_call(stopped: Visitor) -> None:
    page = stopped.get(stopped.job)
    found = re.search(r"Go on with the (\d+) left", page.words)
    assert found, page.words
    left = int(found[1])
    assert "left Those in doubt for less than 15 minutes are called again, too." in page.words
    again = stopped.press(page, "Call the 1 in doubt again…").words
    assert f"Call {left + 1} customers 1 again: those in doubt. And the {left} left" in again
    codes = stopped.get(f"{stopped.job}/retry?code=310011").words
    said = "those that ended with 310011, and those in doubt for less than 15 minutes."
    assert f"Call {left + 2} customers 2 again: {said} And the {left} left" in codes


def test_what_is_wrong_with_a_form_stands_beside_it(stopped: Visitor) -> None:
    job = stopped.job
    for path, title, why, typed in (
        ("customer", 'id="one">One customer', "That is not an id", "4.2E+08"),
        ("delete", 'id="delete">Delete this job', "That is not the name of the file", "x.csv"),
        ("retry", 'id="what">What to do', "Tick at least one code", ""),
    ):
        page = stopped.post(f"{job}/{path}", customer="4.2E+08", name="x.csv")
        assert re.search(rf'{title}</h2>\s*<p class="box bad" role="alert"[^>]*>{why}', page.text)
        assert page.text.count('role="alert"') == 1
        shown = re.findall(r'<input id="(?:customer|name)"[^>]* value="([^"]*)"', page.text)
        assert [value for value in shown if value] == ([typed] if typed else [])


def test_a_row_is_named_as_excel_shows_it(stopped: Visitor) -> None:
    job = stopped.job
    page = stopped.post(f"{job}/customer", customer=UNANSWERED)
    assert "row 1 (row 4 in Excel) 1001/2001 in doubt" in page.words
    assert re.search(r"1001/2001 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", page.words)
    assert stopped.get(f"{job}/customer").words.startswith("tienda señor.xlsx")
    assert stopped.at == job


def test_the_plan_of_a_run_that_began_does_not_say_that_nothing_was_sent(
    stopped: Visitor,
) -> None:
    """One comes back to it with the button of the browser."""
    plan = stopped.get(f"{stopped.job}/plan").words
    assert "40 customers in this plan" in plan
    assert "This plan was confirmed: see what was sent" in plan
    assert "Nothing has been sent" not in plan
    assert "would be taken out" not in plan


def test_the_words_of_a_command_line_are_on_no_page(stopped: Visitor) -> None:
    words = stopped.get(stopped.job).words
    assert "check customerId, then run this code again" in words
    assert "call them again soon, or check by hand" in words
    assert not re.search(r"\b(resume|retry)\b", words)


def test_rows_that_nobody_mended(stopped: Visitor, desk: Desk) -> None:
    answer = stopped.get(f"{stopped.job}/files/failed.csv")
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="tienda se_or-failed.csv";'
        " filename*=UTF-8''tienda%20se%C3%B1or-failed.csv"
    )
    path = desk.folder / "failed.csv"
    path.write_text(answer.text, encoding="utf-8")
    plan = stopped.mend(path)
    assert "Nobody would be taken out None of it has been sent." in plan.words
    assert "To call it again as it is, tick its code on the page of the results" in plan.words
    assert "settled before to call 1001/2001 2 2 0" in plan.words
    path.write_text(answer.text.replace(str(REFUSED), "423900001"), encoding="utf-8")
    plan = stopped.mend(path)
    assert "1 customer would be taken out of 1 target, in about" in plan.words
    assert "settled before to call 1001/2001 2 1 1" in plan.words
