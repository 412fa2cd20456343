"""Results as a workbook, read back by another library than the one that writes it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from python_calamine import CalamineWorkbook

from bulk_unenroll.errors import UsageError
from bulk_unenroll.exports import excel_writer
from bulk_unenroll.exports.columns import ADDED
from bulk_unenroll.exports.excel_writer import WorkbookWriter
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.ledger.facts import ResultPage, ResultRow
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.model import MAX_ID, Enrollment, State, Target
from tests.exports.test_results import IDS, Job
from tests.kit.accidents import full_disk

Sheets = dict[str, list[list[Any]]]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.ledger.close()


def sheets_of(path: Path) -> Sheets:
    book = CalamineWorkbook.from_path(path)
    return {name: [*book.get_sheet_by_name(name).iter_rows()] for name in book.sheet_names}


def exported(job: Job, selection: Selection | None = None) -> Sheets:
    return sheets_of(job.export(".xlsx", selection))


def of(status: str, code: str | None, *cells: str) -> ResultRow:
    """A row of the ledger, as far as the writer looks at it."""
    nothing: dict[str, Any] = dict.fromkeys(ResultRow._fields)
    return ResultRow(**nothing)._replace(status=status, code=code, cells=cells)


def written(path: Path, rows: list[ResultRow], *header: str) -> Sheets:
    columns = dict(zip(ResultRow._fields, zip(*rows, strict=True), strict=True))
    with WorkbookWriter(path, header, lambda page: page.columns["cells"]) as writer:
        writer.write(ResultPage(1, columns))
    return sheets_of(path)


class TestSheets:
    @pytest.fixture
    def mixed(self, job: Job) -> Job:
        rows = [[str(number), "1001", "2001"] for number in range(1, 6)]
        job.read(job.input(IDS, *rows, ["x", "1001", "2001"], rows[0]))
        job.settle(
            c1=(State.FAILED, "310011"),
            c2=(State.FAILED, "310011"),
            c3=(State.BLOCKED, "310018"),
            c4=(State.NOT_ENROLLED, "310149"),
        )
        return job

    def test_every_row_is_on_the_sheet_of_its_state_and_code(self, mixed: Job) -> None:
        sheets = exported(mixed)
        summary = sheets.pop("summary")
        ids = {name: [line[0] for line in lines[1:]] for name, lines in sheets.items()}
        assert ids == {
            "failed 310011": ["1", "2"],
            "blocked 310018": ["3"],
            "not_enrolled": ["4"],
            "succeeded": ["5"],
            "invalid not_digits": ["x"],
            "duplicate": ["1"],
        }
        assert sum(map(len, ids.values())) == mixed.exported == 7
        assert summary[-1][:2] == ["all", 7]

    def test_the_first_sheet_counts_and_says_what_to_do(self, mixed: Job) -> None:
        sheets = exported(mixed)
        assert next(iter(sheets)) == "summary"
        lines = {line[0]: line[1:] for line in sheets["summary"]}
        assert lines["failed 310011"] == [
            *(2, "failed", "310011", "invalid user id"),
            "check customerId, then retry this code",
        ]
        assert lines["invalid not_digits"][3] == "cannot be called: see unenroll_message"

    def test_a_sheet_has_the_columns_of_results_csv_and_can_be_used_as_input(
        self, mixed: Job
    ) -> None:
        path = mixed.export(".xlsx")
        assert sheets_of(path)["failed 310011"][0] == [*IDS, *ADDED]
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(sheet="failed 310011"), mixed.root) as source:
            keys = [source.mapper.enrollment(record) for record in source.records()]
        assert keys == [
            Enrollment(1, Target(None, 1001, 2001)),
            Enrollment(2, Target(None, 1001, 2001)),
        ]

    def test_a_selection_holds_for_workbooks_too(self, mixed: Job) -> None:
        assert list(exported(mixed, Selection(codes=["310018"]))) == ["summary", "blocked 310018"]


def test_ids_are_text_to_the_last_digit(job: Job) -> None:
    job.read(job.input(IDS, [str(MAX_ID), "1001", "2001"], ["9007199254740993", "1", "2"]))
    lines = exported(job)["pending"]
    assert [line[0] for line in lines[1:]] == [str(MAX_ID), "9007199254740993"]


def test_nothing_is_a_formula_or_a_link(job: Job) -> None:
    hostile = ["=1+1", "@SUM(A1)", "{=1}", "https://evil.example", "mailto:a@b.example"]
    job.read(job.input([*IDS, *"abcde"], ["1", "1001", "2001", *hostile]))
    path = job.export(".xlsx")
    assert sheets_of(path)["pending"][1][3:8] == hostile
    with ZipFile(path) as archive:
        assert not any(b"<f>" in archive.read(name) for name in archive.namelist())
        assert not any("_rels/sheet" in name for name in archive.namelist())


def test_without_the_extra_it_says_which(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bulk_unenroll.exports.excel_writer", None)
    with pytest.raises(UsageError, match=r"pip install 'bulk-unenroll\[xlsx\]'"):
        job.export(".xlsx")
    assert not (job.root / "export.xlsx").exists()


class TestNames:
    def test_are_legal_and_unique_whatever_a_server_calls_a_code(self, tmp_path: Path) -> None:
        codes = ["[a]:*?/\\", "[b]:*?/\\", "x" * 40, "x" * 41, "Case", "case", "\N{PILE OF POO}'"]
        sheets = written(tmp_path / "a.xlsx", [of("review", code, code) for code in codes], "code")
        names = list(sheets)[1:]
        assert len({name.lower() for name in names}) == len(codes)
        assert all(0 < len(name) <= 31 and not set(name) & set("[]:*?/\\") for name in names)
        found = [sheets[name][1][0] for name in names]
        assert found == codes
        assert [line[3] for line in sheets["summary"][1:-1]] == codes

    def test_rare_codes_share_a_sheet_when_there_are_many(self, tmp_path: Path) -> None:
        rows = [of("review", f"odd_{number}", str(number)) for number in range(130)]
        sheets = written(tmp_path / "a.xlsx", rows, "number")
        assert len(sheets) == 1 + excel_writer.MOST_CODES + 1
        assert len(sheets["review other codes"]) == 1 + 30


class TestLimits:
    def test_rows_above_what_a_sheet_holds_go_on_to_a_further_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(excel_writer, "MOST_ROWS", 4)
        rows = [of("succeeded", None, str(number)) for number in range(7)]
        sheets = written(tmp_path / "a.xlsx", rows, "number")
        assert sheets["succeeded"] == [["number"], ["0"], ["1"], ["2"]]
        assert sheets["succeeded (2)"] == [["number"], ["3"], ["4"], ["5"]]
        assert sheets["succeeded (3)"] == [["number"], ["6"]]
        names = "succeeded, succeeded (2), succeeded (3)"
        assert sheets["summary"][1][:2] == [names, 7]

    def test_a_cell_longer_than_a_workbook_holds_says_that_it_was_cut(self, tmp_path: Path) -> None:
        sheets = written(tmp_path / "a.xlsx", [of("failed", "1", "é" * 40_000)], "note")
        cell = sheets["failed 1"][1][0]
        assert len(cell) == excel_writer.MOST_CHARS
        assert cell.endswith("… (cut)")

    def test_more_columns_than_a_workbook_holds_are_refused_with_a_remedy(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"16,385 columns.*--to FILE\.csv"):
            WorkbookWriter(tmp_path / "a.xlsx", ["x"] * 16_385, lambda page: [])

    def test_no_more_is_open_at_the_end_than_at_the_beginning(self, tmp_path: Path) -> None:
        written(tmp_path / "a.xlsx", [of("failed", "1", "x")], "note")
        assert [path.name for path in tmp_path.iterdir()] == ["a.xlsx"]


@pytest.mark.parametrize("most_bytes", [10_000, 20_300, 40_000])
def test_a_full_disk_is_reported_as_such_and_leaves_no_other_file(
    tmp_path: Path, most_bytes: int
) -> None:
    """Full while rows are added, while a sheet is put together, while all is packed."""
    rows = [of("failed", str(number), os.urandom(9_999).hex()) for number in range(9)]
    with full_disk(most_bytes), pytest.raises(OSError, match="File too large"):
        written(tmp_path / "a.xlsx", rows, "note")
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["a.xlsx"]
