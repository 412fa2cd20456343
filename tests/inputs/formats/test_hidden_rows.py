"""Rows that a filter hides are counted; a workbook without any has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.command import Desk, people

xlsxwriter = pytest.importorskip("xlsxwriter")


def workbook(path: Path, hidden: list[int], name: str = "May & June") -> Path:
    book = xlsxwriter.Workbook(path)
    for title in ("Other", name):
        sheet = book.add_worksheet(title)
        if title != name:
            continue
        sheet.write_row(0, 0, ["customerId", "targetGroupId", "targetId"])
        for row, who in enumerate(people(30), 1):
            sheet.write_row(row, 0, [who, 1001, 2001])
        sheet.autofilter(0, 0, 30, 2)
        for row in hidden:
            sheet.set_row(row, options={"hidden": True})
    book.close()
    return path


@pytest.mark.in_process
def test_they_raise_an_alarm(desk: Desk) -> None:
    workbook(desk.folder / "a.xlsx", [3, 7, 30])
    found = desk.do("plan", "a.xlsx", "--sheet", "May & June", "--json").json
    (alarm,) = found["alarms"]
    assert alarm["name"] == "hidden-rows"
    assert "3 rows of a.xlsx are hidden" in alarm["text"]
    assert found["plan"]["to_call"] == 30


@pytest.mark.in_process
@pytest.mark.parametrize("hidden", [[], [0]], ids=["none", "the header"])
def test_nothing_hidden_is_no_alarm(desk: Desk, hidden: list[int]) -> None:
    workbook(desk.folder / "a.xlsx", hidden)
    assert desk.do("plan", "a.xlsx", "--sheet", "May & June", "--json").json["alarms"] == []
