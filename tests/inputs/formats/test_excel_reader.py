"""Workbooks as people save them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
import xlsxwriter

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.finding import default_folder, find_inputs
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.model import Enrollment, Invalid, Target

HEADER = ("customerId", "targetGroupId", "targetId", "note")
Rows = Sequence[Sequence[object]]


def workbook(path: Path, hidden: Sequence[str] = (), **sheets: Rows) -> Path:
    with xlsxwriter.Workbook(path) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            if name in hidden:
                sheet.hide()
            for y, row in enumerate(rows):
                for x, cell in enumerate(row):
                    sheet.write(y, x, cell, day if isinstance(cell, date) else None)
    return path


def read(path: Path, sheet: str | None = None) -> list[tuple[int, Enrollment | Invalid]]:
    (file,) = find_inputs([str(path)])
    with open_source(file, ReadSettings(sheet=sheet), path.parent) as source:
        return [(record.row, source.mapper.enrollment(record)) for record in source.records()]


def refusal(path: Path, sheet: str | None = None) -> str:
    with pytest.raises(InputRefused) as caught:
        read(path, sheet)
    return str(caught.value)


def enrollment_of(tmp_path: Path, cell: object) -> Enrollment | Invalid:
    ((_, enrollment),) = read(
        workbook(tmp_path / "a.xlsx", Members=[HEADER, (cell, 1001, 2001, "x")])
    )
    return enrollment


@pytest.mark.parametrize("cell", [423789336, "423789336", 423789336.0, " 423789336 "])
def test_an_id_is_a_whole_number_or_text(tmp_path: Path, cell: object) -> None:
    assert enrollment_of(tmp_path, cell) == Enrollment(423789336, Target(None, 1001, 2001))


def test_the_longest_exact_number_and_the_longest_text(tmp_path: Path) -> None:
    exact = enrollment_of(tmp_path, 999_999_999_999_999)
    text = enrollment_of(tmp_path, "9223372036854775807")
    assert isinstance(exact, Enrollment)
    assert isinstance(text, Enrollment)
    assert (exact.customer, text.customer) == (999_999_999_999_999, 9223372036854775807)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (9007199254740993, "exponent"),
        (10**15, "exponent"),
        (423789336.5, "decimal_point"),
        (-5, "sign"),
        (0, "zero"),
        (True, "wrong_type"),
        (date(2026, 1, 2), "not_digits"),
        ("0423", "leading_zero"),
        ("4.2E+08", "exponent"),
        ("", "blank"),
        ("١٢٣", "other_digits"),
    ],
)
def test_a_damaged_id_is_invalid_with_the_code_of_its_damage(
    tmp_path: Path, cell: object, code: str
) -> None:
    found = enrollment_of(tmp_path, cell)
    assert isinstance(found, Invalid)
    assert found.code == code
    assert "customerId" in found.message


def test_blank_rows_are_skipped_and_rows_are_numbered_in_order(tmp_path: Path) -> None:
    rows = [HEADER, (1, 1001, 2001), (), (2, 1001, 2001), ("", "", ""), (3, 1001, 2001)]
    assert [number for number, _ in read(workbook(tmp_path / "a.xlsx", S=rows))] == [1, 2, 3]


def test_the_only_visible_sheet_with_rows_is_read(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        ["Old"],
        Empty=[],
        Members=[HEADER, (1, 1001, 2001)],
        Old=[HEADER, (9, 1001, 2001)],
    )
    assert read(path) == [(1, Enrollment(1, Target(None, 1001, 2001)))]


def test_of_several_sheets_one_must_be_chosen(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx", May=[HEADER, (1, 1001, 2001)], June=[HEADER, (2, 1001, 2001)]
    )
    assert 'several sheets have rows: "May", "June"; choose one with --sheet' in refusal(path)
    assert read(path, "June") == [(1, Enrollment(2, Target(None, 1001, 2001)))]
    assert 'there is no sheet "july"' in refusal(path, "july")


def test_a_file_that_is_not_a_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text("customerId,targetGroupId,targetId\n1,2,3\n")
    assert "a.xlsx: not a readable workbook" in refusal(path)
    whole = workbook(tmp_path / "b.xlsx", S=[HEADER, (1, 1001, 2001)]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable workbook" in refusal(path)
    assert "no visible sheet has rows" in refusal(workbook(tmp_path / "c.xlsx", S=[]))


def test_a_text_file_has_no_sheet(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("customerId,targetGroupId,targetId\n1,2,3\n")
    assert "no sheet to choose" in refusal(path, "June")


def test_the_run_folder_is_named_after_the_workbook() -> None:
    assert default_folder(["in/Members May.xlsx"]) == Path("Members May.unenroll")
