"""``peek``: how an input is read, before anything is made of it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

import bulk_unenroll as bu
from bulk_unenroll import errors
from tests.kit.command import Desk

pytestmark = pytest.mark.in_process


def peeked(desk: Desk, *words: object) -> Any:
    ended = desk.do("peek", *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    return ended.json


def test_a_file_that_needs_nothing(desk: Desk) -> None:
    (desk.folder / "a.csv").write_text(
        "\ufeffcustomerId;name;targetGroupId;targetId\n423000007;Ann;1001;2001\n042;Bo;1001;2001\n"
    )
    found = peeked(desk, "a.csv")
    assert (found["format"], found["delimiter"], found["encoding"]) == ("csv", ";", "utf-8")
    assert found["header"] == ["customerId", "name", "targetGroupId", "targetId"]
    ids = {"customerId": 423000007, "targetGroupId": 1001, "targetId": 2001, "orgId": None}
    assert found["columns"] == {**{name: name for name in ids}, "orgId": None}
    first, second = found["rows"]
    assert first == {
        "row": 1,
        "line": 2,
        "cells": ["423000007", "Ann", "1001", "2001"],
        "ids": ids,
        "invalid": None,
    }
    assert second["invalid"]["code"] == "leading_zero"
    assert found["problem"] is None
    assert [path.name for path in desk.folder.iterdir()] == ["a.csv"]


def test_columns_of_other_names_are_asked_for_and_those_known_are_said(desk: Desk) -> None:
    (desk.folder / "a.csv").write_text("Member No,targetId\n423000007,2001\n")
    found = peeked(desk, "a.csv")
    assert found["columns"]["targetId"] == "targetId"
    assert found["columns"]["customerId"] is None
    assert "no column customerId or targetGroupId" in found["problem"]["reason"]
    assert "--target-group-id" in found["problem"]["options"]
    assert found["rows"][0]["cells"] == ["423000007", "2001"]
    words = ("--column", "customerId=Member No", "--target-group-id", "1001")
    mapped = peeked(desk, "a.csv", *words)
    assert mapped["problem"] is None
    assert mapped["constants"] == {"targetGroupId": 1001}
    assert mapped["rows"][0]["ids"]["targetGroupId"] == 1001


def test_a_title_above_the_header(desk: Desk) -> None:
    (desk.folder / "a.csv").write_text(
        "Members of May\ncustomerId,targetGroupId,targetId\n423000007,1001,2001\n"
    )
    options = peeked(desk, "a.csv")["problem"]["options"]
    assert options == ["--header-row", "2"]
    assert peeked(desk, "a.csv", *options)["rows"][0]["ids"]["customerId"] == 423000007


def test_a_workbook_with_two_sheets(desk: Desk) -> None:
    with xlsxwriter.Workbook(desk.folder / "a.xlsx") as book:
        for name, who in (("May", 423000007), ("June", 423000014)):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, ["customerId", "targetGroupId", "targetId"])
            sheet.write_row(1 + (name == "June"), 0, [who, 1001, 2001])
    found = peeked(desk, "a.xlsx")
    assert (found["sheets"], found["sheet"]) == (["May", "June"], None)
    assert found["sheet_rows"] == {"May": 2, "June": 3}
    assert "several sheets have rows" in found["problem"]["reason"]
    june = peeked(desk, "a.xlsx", "--sheet", "June")
    assert (june["sheet"], june["rows"][0]["line"]) == ("June", 3)
    assert june["rows"][0]["ids"]["customerId"] == 423000014


def test_parquet_in_a_folder_that_names_the_target(desk: Desk) -> None:
    folder = desk.folder / "drop" / "targetId=7"
    folder.mkdir(parents=True)
    table = pa.table({"customerId": [423000007, None], "targetGroupId": [1001, 1001]})
    pq.write_table(table, folder / "part-0.parquet")
    found = peeked(desk, "drop")
    assert (found["format"], found["columns"]["targetId"]) == ("parquet", "targetId")
    assert found["rows"][0]["ids"]["targetId"] == 7
    assert found["rows"][1]["invalid"]["code"] == "null"


def test_only_the_first_rows_are_read(desk: Desk) -> None:
    rows = "".join(f"{423000000 + 7 * n},1001,2001\n" for n in range(100_000))
    (desk.folder / "a.csv").write_text("customerId,targetGroupId,targetId\n" + rows)
    assert len(peeked(desk, "a.csv")["rows"]) == 5


def test_what_is_no_input(desk: Desk) -> None:
    (desk.folder / "a.xlsx").write_bytes(b"PK\x03\x04 and so on")
    assert desk.do("peek", "a.xlsx").code == 65
    assert desk.do("peek", "none.csv").code == 66


def test_in_words(desk: Desk) -> None:
    (desk.folder / "a.csv").write_text(
        "Member No,targetGroupId,targetId\n423000007,1001,2001\n1.5,1001,2001\n"
    )
    lines = desk.do("peek", "a.csv", "--column", "customerId=Member No").out.splitlines()
    assert lines[0] == "a.csv  csv, delimiter ,, encoding utf-8"
    assert lines[1].split() == ["Member", "No", "→", "customerId", "targetGroupId", "targetId"]
    assert lines[4].startswith("row 2: Member No: ")
    assert "a plan would refuse it: there is no column" in desk.do("peek", "a.csv").out


def test_in_python(desk: Desk) -> None:
    path = desk.write("a.csv", [(423000007, 1001, 2001)])
    found = bu.peek(path)
    assert (found.format, found.rows[0].ids["customerId"]) == ("csv", 423000007)
    with pytest.raises(errors.InputMissing):
        bu.peek(desk.folder / "none.csv")
