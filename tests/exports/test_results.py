"""The ledger as files: what a person opens, and what is read in again."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from bulk_unenroll.errors import LedgerFailed, UsageError
from bulk_unenroll.exports.attempts import export_attempts
from bulk_unenroll.exports.columns import ADDED
from bulk_unenroll.exports.csv_writer import escape_formula
from bulk_unenroll.exports.export import export
from bulk_unenroll.exports.result_files import write_results
from bulk_unenroll.files import replacing
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import make_folder
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import MAX_ID, State
from tests.kit.accidents import any_mask, full_disk, read_only
from tests.ledger.kit import (
    NOW_S,
    answer,
    begin,
    claim,
    confirm,
    results,
    turn,
    unanswered,
)

IDS = ("customerId", "targetGroupId", "targetId")
VIEW = ["source", "row", "org_id", "target_group_id", "target_id", "customer_id", "status"]
VIEW += ["code", "message", "http_status", "attempts", "updated_at", "request_id", "input"]


class Job:
    """A run folder, the inputs beside it, and the files that it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "job.unenroll"
        make_folder(self.folder)
        self.ledger = SqliteLedger.open(self.folder)

    def input(self, header: Sequence[str], *rows: Sequence[str], name: str = "in.csv") -> Path:
        path = self.root / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    def read(self, *paths: Path, confirmed: bool = True, **reading: Any) -> list[int]:
        found = find_inputs([str(path) for path in paths])
        sources = load(self.ledger, found, ReadSettings(**reading), self.folder, named=True)
        if confirmed:
            confirm(self.ledger, *sources)
        return sources

    def settle(self, **ends: tuple[State, str]) -> None:
        """Send everything; ``c7=(FAILED, "310011")`` for customer 7, the others succeed."""
        begin(self.ledger)
        for call in claim(self.ledger):
            state, code = ends.get(f"c{call.enrollment.customer}", (State.SUCCEEDED, None))
            turn(self.ledger, answer(call, state, code=code))

    def results(self) -> list[list[str]]:
        reader = self.ledger.reader
        write_results(reader, self.folder, confirmed_ids(reader.sources()))
        return lines_of(self.folder / "results.csv")

    def failed(self) -> list[list[str]]:
        self.results()
        return lines_of(self.folder / "failed.csv")

    def export(self, ending: str, selection: Selection | None = None) -> Path:
        to = self.root / f"export{ending}"
        with open_reader(self.folder) as reader:
            self.exported = export(reader, to, selection or Selection())
        return to

    def jsonl(self, **selection: Any) -> list[dict[str, Any]]:
        text = self.export(".jsonl", Selection(**selection)).read_text("utf-8")
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def called(self) -> set[tuple[int | None, ...]]:
        """Whom a run would call, or has called: org, group, target, customer."""
        return {
            (row.org_id, row.target_group_id, row.target_id, row.customer_id)
            for row in results(self.ledger)
            if row.customer_id is not None
        }


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.ledger.close()


def lines_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def taken(path: Path, folder: Path) -> Path:
    """A copy of a file, elsewhere than in its run folder."""
    return Path(shutil.copy(path, folder / f"taken-{path.name}"))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestSelection:
    @pytest.fixture
    def two_targets(self, job: Job) -> Job:
        """Customers 1 to 4, in two targets by turns; 3 failed, 4 is in doubt; one row is bad."""
        rows = [[str(who), "1001", str(2001 + who % 2)] for who in range(1, 5)]
        job.read(job.input(IDS, *rows, ["x", "1001", "2001"], rows[0]))
        begin(job.ledger, run_id="night")
        one, two, three, four = claim(job.ledger)
        ends = answer(three, State.FAILED, code="310011"), unanswered(four)
        turn(job.ledger, answer(one), answer(two), *ends)
        return job

    @pytest.mark.parametrize(
        ("chosen", "rows"),
        [
            ({"targets": ["1001/2002"]}, [1, 3, 6]),
            ({"targets": ["1001/2002", "1001/2001"]}, [1, 2, 3, 4, 6]),
            ({"targets": ["1001/2002"], "states": ["failed"]}, [3]),
            ({"targets": ["1002/2002"]}, []),
            ({"states": ["invalid"]}, [5]),
        ],
    )
    def test_rows_by_target(self, two_targets: Job, chosen: Any, rows: list[int]) -> None:
        assert [line["row"] for line in two_targets.jsonl(**chosen)] == rows

    @pytest.mark.parametrize(
        ("chosen", "customers"),
        [
            ({}, [1, 2, 3, 4]),
            ({"targets": ["1001/2002"]}, [1, 3]),
            ({"states": ["failed", "in_doubt"]}, [3, 4]),
            ({"codes": ["310011"]}, [3]),
            ({"states": ["invalid"]}, []),
        ],
    )
    def test_attempts_of_these_rows(
        self, two_targets: Job, chosen: Any, customers: list[int]
    ) -> None:
        to = two_targets.root / "attempts.jsonl"
        with open_reader(two_targets.folder) as reader:
            assert export_attempts(reader, to, Selection(**chosen)) == len(customers)
        lines = [json.loads(line) for line in to.read_text().splitlines()]
        assert [line["customer_id"] for line in lines] == customers

    def test_attempts_have_the_columns_of_the_view_in_every_format(self, two_targets: Job) -> None:
        raw = two_targets.ledger.connection.raw
        history = raw.execute("SELECT * FROM attempt_history")
        names, rows = [column[0] for column in history.description], history.fetchall()
        places = {end: two_targets.root / f"a{end}" for end in (".csv", ".csv.gz", ".parquet")}
        with open_reader(two_targets.folder) as reader:
            for to in places.values():
                assert export_attempts(reader, to, Selection()) == 4
            with pytest.raises(UsageError, match="not written as a workbook"):
                export_attempts(reader, two_targets.root / "a.xlsx", Selection())
        table = parquet.read_table(places[".parquet"])
        assert table.column_names == names
        assert [tuple(row.values()) for row in table.to_pylist()] == rows
        text = [["" if cell is None else str(cell) for cell in row] for row in rows]
        assert lines_of(places[".csv"]) == [names, *text]
        assert gzip.decompress(places[".csv.gz"].read_bytes()) == places[".csv"].read_bytes()

    def test_rows_as_compressed_csv(self, two_targets: Job) -> None:
        whole = two_targets.export(".csv").read_bytes()
        assert gzip.decompress(two_targets.export(".csv.gz").read_bytes()) == whole
        assert mode_of(two_targets.root / "export.csv.gz") == 0o600

    def test_results_without_what_is_pending(self, job: Job) -> None:
        rows = [[str(who), "1001", "2001"] for who in range(1, 5)]
        job.read(job.input(IDS, *rows, ["x", "1001", "2001"], rows[3]))
        begin(job.ledger)
        turn(job.ledger, *(answer(call) for call in claim(job.ledger, 2)))
        reader = job.ledger.reader
        write_results(reader, job.folder, confirmed_ids(reader.sources()), pending=False)
        lines = lines_of(job.folder / "results.csv")
        assert [line[4:6] for line in lines[1:]] == [
            ["1", "succeeded"],
            ["2", "succeeded"],
            ["5", "invalid"],
            ["6", "duplicate"],
        ]


class TestResults:
    def test_every_row_is_there_in_input_order_with_its_own_columns_first(self, job: Job) -> None:
        job.read(
            job.input(
                ["note", *IDS],
                ["first", "7", "1001", "2001"],
                ["bad", "4.2E+08", "1001", "2001"],
                ["again", "7", "1001", "2001"],
                ["last", "3", "1001", "2001"],
            )
        )
        job.settle(c3=(State.FAILED, "310011"))
        at = "2023-11-14T22:13:21.000Z"
        header, *lines = job.results()
        assert header == ["note", *IDS, *ADDED]
        source = str(job.root / "in.csv")
        assert lines[0] == [
            *("first", "7", "1001", "2001", source, "1", "succeeded", "", ""),
            *("200", "1", at, "request-7"),
        ]
        assert lines[1][:4] == ["bad", "4.2E+08", "1001", "2001"]
        assert lines[1][5:8] == ["2", "invalid", "exponent"]
        assert "customerId" in lines[1][8]
        assert lines[1][9:] == ["", "0", "", ""]
        assert lines[2] == [
            *("again", "7", "1001", "2001", source, "3", "duplicate", "", "repeats row 1"),
            *("", "0", "", ""),
        ]
        assert lines[3] == [
            *("last", "3", "1001", "2001", source, "4", "failed", "310011", "about 310011"),
            *("200", "1", at, "request-3"),
        ]

    def test_the_added_columns_are_those_of_the_interface(self) -> None:
        names = "source row status code message http_status attempts at request_id"
        assert list(ADDED) == [f"unenroll_{name}" for name in names.split()]

    def test_failed_holds_what_a_person_can_mend_or_decide(self, job: Job) -> None:
        customers = range(1, 8)
        rows = [[str(customer), "1001", "2001"] for customer in customers]
        job.read(job.input(IDS, *rows, ["x", "1", "2"], ["1", "1001", "2001"]))
        begin(job.ledger)
        calls = claim(job.ledger, 6)
        ends = (State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.BLOCKED, State.REVIEW)
        turn(
            job.ledger,
            *(answer(call, end) for call, end in zip(calls, ends, strict=False)),
            unanswered(calls[5]),
        )
        assert [(line[0], line[5]) for line in job.failed()[1:]] == [
            ("3", "failed"),
            ("4", "blocked"),
            ("5", "review"),
            ("6", "in_doubt"),
            ("x", "invalid"),
        ]
        assert job.failed()[0] == job.results()[0]

    def test_failed_csv_can_be_used_as_input(self, job: Job, tmp_path: Path) -> None:
        rows = [[str(customer), "1001", "2001", "note"] for customer in range(1, 5)]
        job.read(job.input([*IDS, "note"], *rows, ["x", "1", "2", "note"]))
        job.settle(c2=(State.FAILED, "310011"), c4=(State.REVIEW, "no_data"))
        job.results()
        (tmp_path / "next").mkdir()
        again = Job(tmp_path / "next")
        with closing(again.ledger):
            (source,) = again.read(taken(job.folder / "failed.csv", tmp_path))
            assert again.called() == {(None, 1001, 2001, 2)}, "who is under review is not called"
            assert again.results()[0] == [*IDS, "note", *ADDED]
            assert [line["status"] for line in again.jsonl(sources=[source])] == [
                "pending",
                "invalid",
                "invalid",
            ]

    def test_of_several_inputs_the_columns_are_the_union_in_order_of_appearance(
        self, job: Job
    ) -> None:
        one = job.input(["a", *IDS, "b"], ["a1", "1", "1001", "2001", "b1"], name="one.csv")
        two = job.input(["c", "b", *IDS], ["c2", "b2", "2", "1001", "2001"], name="two.csv")
        job.read(one, two)
        header, *lines = job.results()
        assert header == ["a", *IDS, "b", "c", *ADDED]
        assert [line[:6] for line in lines] == [
            ["a1", "1", "1001", "2001", "b1", ""],
            ["", "2", "1001", "2001", "b2", "c2"],
        ]

    def test_a_header_with_a_repeated_name_keeps_both_columns(self, job: Job) -> None:
        one = job.input(["n", "n", *IDS], ["x", "y", "1", "1001", "2001"], name="one.csv")
        two = job.input([*IDS, "n"], ["2", "1001", "2001", "z"], name="two.csv")
        job.read(one, two)
        header, *lines = job.results()
        assert header[:5] == ["n", "n", *IDS]
        assert [line[:2] for line in lines] == [["x", "y"], ["z", ""]]

    def test_a_superseded_content_is_left_out(self, job: Job) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"], ["2", "1001", "2001"]))
        job.read(job.input(IDS, ["2", "1001", "2001"], ["3", "1001", "2001"]))
        assert [line[0] for line in job.results()[1:]] == ["2", "3"]

    def test_a_header_and_no_rows(self, job: Job) -> None:
        job.read(job.input(IDS))
        assert job.results() == job.failed() == [[*IDS, *ADDED]]

    def test_more_rows_than_one_chunk_keep_their_order(self, job: Job) -> None:
        number = 20_050
        rows = ([str(customer), "1001", "2001"] for customer in range(number, 0, -1))
        job.read(job.input(IDS, *rows))
        lines = job.results()[1:]
        assert [int(line[0]) for line in lines] == list(range(number, 0, -1))
        assert [int(line[4]) for line in lines] == list(range(1, number + 1))

    def test_a_parquet_input_s_own_columns_are_text_there(self, job: Job, tmp_path: Path) -> None:
        path = tmp_path / "in.parquet"
        table = pa.table({"customerId": [MAX_ID, None], "note": ["x", None]})
        parquet.write_table(table, path)
        job.read(path, target_group_id=1001, target_id=2001)
        assert [line[:2] for line in job.results()[1:]] == [[str(MAX_ID), "x"], ["", ""]]


# ── cells ────────────────────────────────────────────────────────────────────────────────────────


class TestFormulas:
    @pytest.mark.parametrize(
        "cell",
        [
            *("=1+1", "+SUM(A1)", "-2+3", "@cmd", "\tx", "\rx", "=HYPERLINK(1)"),
            *("=", "-", "+", "--1", "-1-", "+1,2", "-1\n", "-٣"),
        ],
    )
    def test_what_a_spreadsheet_would_run_is_quoted(self, cell: str) -> None:
        assert escape_formula(cell) == f"'{cell}"

    @pytest.mark.parametrize(
        "cell",
        [
            "",
            "1",
            "-1",
            "+1",
            "-1.5",
            "+4.2E+08",
            "-1e-3",
            "007",
            "a=b",
            " =1",
            "'=1",
            "x-y",
            "1-2",
        ],
    )
    def test_plain_numbers_and_text_are_not(self, cell: str) -> None:
        assert escape_formula(cell) == cell

    def test_neither_cells_nor_header_cells_run(self, job: Job) -> None:
        job.read(
            job.input(
                ["=cmd()", "@n", "-", *IDS],
                ["=1+1", "@x", "-5", "1", "1001", "2001"],
                ["+x", "\tx", "-5x", "=2", "1001", "2001"],
            )
        )
        header, one, two = job.results()
        assert header[:4] == ["'=cmd()", "'@n", "'-", "customerId"]
        assert one[:4] == ["'=1+1", "'@x", "-5", "1"]
        assert two[:4] == ["'+x", "'\tx", "'-5x", "'=2"]

    def test_the_words_of_the_api_are_escaped(self, job: Job) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"]))
        job.settle(c1=(State.REVIEW, "=code"))
        line = job.results()[1]
        assert line[len(IDS) + ADDED.index("unenroll_code")] == "'=code"

    @given(st.text(max_size=20))
    def test_no_cell_begins_a_formula_and_none_loses_a_character(self, cell: str) -> None:
        made = escape_formula(cell)
        assert made in (cell, f"'{cell}")
        assert made[:1] not in ("=", "@", "\r")
        if made[:1] in ("+", "-", "\t"):
            float(made)

    @given(st.integers(1, MAX_ID), st.text(" \t", max_size=3), st.text(" \t", max_size=3))
    def test_ids_are_never_touched(self, number: int, before: str, after: str) -> None:
        cell = f"{before}{number}{after}"
        assert escape_formula(cell) == cell


class TestRaggedRows:
    """A row whose fields do not fit its header must not become a good one by being written."""

    def reread(self, job: Job, path: Path) -> list[str]:
        root = job.root / f"again-{path.name}"
        root.mkdir()
        again = Job(root)
        with closing(again.ledger):
            again.read(taken(path, root), confirmed=False)
            return [line["status"] for line in again.jsonl()]

    @pytest.mark.parametrize("header", [IDS, ("note", *IDS), (*IDS, "note"), (*IDS, "a", "b")])
    @pytest.mark.parametrize("fields", [1, 2, 3, 4, 5, 6, 9])
    def test_they_stay_invalid_in_results_and_failed(
        self, job: Job, header: tuple[str, ...], fields: int
    ) -> None:
        row = [str(number) for number in range(1, fields + 1)]
        job.read(job.input(header, row))
        expected = "pending" if fields == len(header) else "invalid"
        assert job.results()[1][len(header) + 2] == expected
        assert self.reread(job, job.folder / "results.csv") == [expected]
        if expected == "invalid":
            assert self.reread(job, job.folder / "failed.csv") == [expected]

    @pytest.mark.parametrize("fields", range(1, 13))
    def test_also_when_a_row_of_failed_itself_was_cut(self, job: Job, fields: int) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"]))
        job.settle(c1=(State.FAILED, "310011"))
        header, line = job.failed()
        cut = job.input(header, line[:fields], name="cut.csv")
        sources = job.read(cut)
        whole = fields == len(header)
        status = header.index("unenroll_status")
        write_results(job.ledger.reader, job.folder, sources)
        written = lines_of(job.folder / "results.csv")[1]
        assert written[status] == ("failed" if whole else "invalid")
        assert self.reread(job, job.folder / "results.csv") == ["pending" if whole else "invalid"]

    def test_nothing_of_them_is_lost(self, job: Job) -> None:
        path = job.input(IDS, ["1", "2"], ["1", "2", "3", "4"])
        with path.open("a") as file:
            file.write('1,"2"3,4\n')
        job.read(path)
        assert [line[:3] for line in job.results()[1:]] == [
            ["1,2 (missing_fields)", "", ""],
            ["1,2,3,4 (extra_fields)", "", ""],
            ['1,"2"3,4 (malformed_quotes)', "", ""],
        ]


text_cells = st.text(
    st.one_of(
        st.sampled_from("\r\n\t,;\"'=+-@| \u00a0\ufeff\x00é"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)


class TestRoundTrip:
    @given(rows=st.lists(st.tuples(text_cells, text_cells), min_size=1, max_size=8))
    @settings(max_examples=60)
    def test_any_cell_survives(
        self, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
    ) -> None:
        job = Job(tmp_path_factory.mktemp("round"))
        with closing(job.ledger):
            ids = [[str(number), "1001", "2001"] for number in range(1, len(rows) + 1)]
            given_rows = [[one, *id_, other] for (one, other), id_ in zip(rows, ids, strict=True)]
            job.read(job.input(["one", *IDS, "other"], *given_rows))
            written = [line[:5] for line in job.results()[1:]]
            assert written == [[escape_formula(cell) for cell in row] for row in given_rows]
            kept = [list(line["input"].values()) for line in job.jsonl()]
            assert kept == given_rows

    @pytest.mark.parametrize(
        "cell", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "\r", "\n", '"', ",", " a ", "NA", "nan"]
    )
    def test_line_ends_quotes_and_commas(self, job: Job, cell: str) -> None:
        job.read(job.input([*IDS, "note"], ["1", "1001", "2001", cell]))
        assert job.results()[1][3] == escape_formula(cell)

    def test_a_line_ends_as_rfc_4180_says(self, job: Job) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"]))
        job.results()
        content = (job.folder / "results.csv").read_bytes()
        assert content.count(b"\r\n") == content.count(b"\n") == 2


# ── export ───────────────────────────────────────────────────────────────────────────────────────


class TestExport:
    @pytest.fixture
    def mixed(self, job: Job) -> Job:
        """A success, a failure, an invalid row, a duplicate, and one of another org."""
        job.read(
            job.input(
                [*IDS, "orgId", "note"],
                [str(MAX_ID), "1001", "2001", "SELF", "x"],
                ["2", "1001", "2001", "SELF", ""],
                ["-3", "1001", "2001", "SELF", "y"],
                ["2", "1001", "2001", "SELF", "z"],
                ["2", "1001", "2001", "77", "other"],
            )
        )
        job.settle(c2=(State.FAILED, "310011"))
        return job

    def test_csv_has_the_shape_of_results(self, mixed: Job) -> None:
        assert lines_of(mixed.export(".csv")) == mixed.results()
        assert mixed.exported == 5

    def test_jsonl_has_the_view_s_columns_and_the_row_as_it_was(self, mixed: Job) -> None:
        lines = mixed.jsonl()
        assert [list(line) for line in lines] == [VIEW] * 5
        assert lines[0] == {
            "source": str(mixed.root / "in.csv"),
            "row": 1,
            "org_id": None,
            "target_group_id": 1001,
            "target_id": 2001,
            "customer_id": MAX_ID,
            "status": "succeeded",
            "code": None,
            "message": None,
            "http_status": 200,
            "attempts": 1,
            "updated_at": "2023-11-14T22:13:21.000Z",
            "request_id": f"request-{MAX_ID}",
            "input": {
                "customerId": str(MAX_ID),
                "targetGroupId": "1001",
                "targetId": "2001",
                "orgId": "SELF",
                "note": "x",
            },
        }
        assert [line["customer_id"] for line in lines] == [MAX_ID, 2, None, 2, 2]
        assert [line["org_id"] for line in lines] == [None, None, None, None, 77]
        assert lines[2]["input"]["customerId"] == "-3"

    def test_parquet_has_64_bit_ids_with_nulls(self, mixed: Job) -> None:
        table = parquet.read_table(mixed.export(".parquet"))
        assert table.column_names == VIEW
        types = {name: str(table.schema.field(name).type) for name in VIEW}
        for name in ("row", "org_id", "target_group_id", "target_id", "customer_id"):
            assert types[name] == "int64"
        assert table["customer_id"].to_pylist() == [MAX_ID, 2, None, 2, 2]
        assert table["target_id"].to_pylist() == [2001, 2001, None, 2001, 2001]
        lines = [{**line, "input": json.loads(line["input"])} for line in table.to_pylist()]
        assert lines == mixed.jsonl()

    @pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".xlsx", ".CSV"])
    def test_nothing_to_write_is_a_good_file_too(self, mixed: Job, ending: str) -> None:
        path = mixed.export(ending, Selection(states=["withdrawn"]))
        assert mixed.exported == 0
        assert path.exists()
        if ending == ".parquet":
            assert parquet.read_table(path).column_names == VIEW

    @pytest.mark.parametrize(
        ("selection", "rows"),
        [
            ({"states": ["failed"]}, [2, 5]),
            ({"states": ["invalid"]}, [3]),
            ({"states": ["duplicate"]}, [4]),
            ({"states": ["succeeded", "invalid"]}, [1, 3]),
            ({"codes": ["310011"]}, [2, 5]),
            ({"codes": ["sign"]}, [3]),
            ({"codes": ["310011", "sign"], "states": ["invalid"]}, [3]),
            ({"codes": ["1"]}, []),
            ({"states": []}, []),
            ({"sources": [1]}, [1, 2, 3, 4, 5]),
            ({"sources": [9]}, []),
        ],
    )
    def test_states_and_codes_choose(
        self, mixed: Job, selection: dict[str, Any], rows: list[int]
    ) -> None:
        assert [line["row"] for line in mixed.jsonl(**selection)] == rows
        assert mixed.exported == len(rows)

    def test_columns_of_one_name_and_cells_beyond_the_header_are_all_kept(self, job: Job) -> None:
        job.read(
            job.input(
                ["n", "n", *IDS],
                ["x", "y", "1", "1001", "2001"],
                ["x", "y", "1", "1001", "2001", "more"],
                ["x"],
            )
        )
        whole, long, short = (line["input"] for line in job.jsonl())
        assert sorted(whole.values()) == ["1", "1001", "2001", "x", "y"]
        assert sorted(long.values()) == ["1", "1001", "2001", "more", "x", "y"]
        assert list(short.values()) == ["x"]

    def test_planned_rows_can_be_looked_at_too(self, job: Job) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"]), confirmed=False)
        assert [line["status"] for line in job.jsonl()] == ["pending"]

    def test_a_withdrawn_customer_is_shown_once(self, job: Job) -> None:
        job.read(job.input(IDS, ["1", "1001", "2001"], ["2", "1001", "2001"], ["x", "1", "2"]))
        job.read(job.input(IDS, ["2", "1001", "2001"]))
        shown = [(line["customer_id"], line["status"]) for line in job.jsonl()]
        assert shown == [(1, "withdrawn"), (2, "pending")]

    def test_it_works_while_a_run_is_going(self, mixed: Job) -> None:
        mixed.read(mixed.input(IDS, ["9", "1001", "2001"], name="more.csv"))
        begin(mixed.ledger)
        (call,) = claim(mixed.ledger)
        assert [line["status"] for line in mixed.jsonl(states=["sending"])] == ["sending"]
        turn(mixed.ledger, answer(call, at_s=NOW_S))


# ── the files themselves ─────────────────────────────────────────────────────────────────────────


def write_both(job: Job) -> list[Path]:
    job.results()
    return [job.folder / "results.csv", job.folder / "failed.csv"]


def write_csv(job: Job) -> list[Path]:
    return [job.export(".csv")]


def write_parquet(job: Job) -> list[Path]:
    return [job.export(".parquet")]


def write_jsonl(job: Job) -> list[Path]:
    return [job.export(".jsonl")]


def write_xlsx(job: Job) -> list[Path]:
    return [job.export(".xlsx")]


every_way = pytest.mark.parametrize(
    "write", [write_both, write_csv, write_parquet, write_jsonl, write_xlsx]
)
Write = Callable[[Job], list[Path]]


class TestFiles:
    @pytest.fixture
    def big(self, job: Job) -> Job:
        """Enough rows to fill a small disk."""
        rows = ([str(number), "1001", "2001", os.urandom(40).hex()] for number in range(1, 3001))
        job.read(job.input([*IDS, "note"], *rows))
        return job

    @every_way
    def test_they_are_for_their_owner_alone(self, big: Job, write: Write) -> None:
        with any_mask():
            assert {mode_of(path) for path in write(big)} == {0o600}

    @every_way
    def test_one_that_others_could_read_is_replaced_by_one_they_cannot(
        self, big: Job, write: Write
    ) -> None:
        paths = write(big)
        for path in paths:
            path.chmod(0o644)
        assert {mode_of(path) for path in write(big)} == {0o600}

    @every_way
    def test_a_symlink_in_their_place_is_replaced_and_not_followed(
        self, big: Job, tmp_path: Path, write: Write
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("precious")
        for path in write(big):
            path.unlink()
            path.symlink_to(elsewhere)
        for path in write(big):
            assert not path.is_symlink()
            assert path.stat().st_size > 100
        assert elsewhere.read_text() == "precious"

    @every_way
    def test_the_old_ones_stay_when_writing_fails(self, big: Job, write: Write) -> None:
        paths = write(big)
        before = {path: path.read_bytes() for path in paths}
        smallest = min(len(content) for content in before.values())
        with full_disk(smallest // 2), pytest.raises(LedgerFailed) as caught:
            write(big)
        assert caught.value.code == 74
        assert {path: path.read_bytes() for path in paths} == before

    @every_way
    def test_no_half_written_file_is_left(self, big: Job, write: Write) -> None:
        write(big)
        before = sorted(path.name for path in (*big.folder.iterdir(), *big.root.iterdir()))
        with full_disk(10_000), pytest.raises(LedgerFailed):
            write(big)
        after = sorted(path.name for path in (*big.folder.iterdir(), *big.root.iterdir()))
        assert after == before

    def test_a_folder_that_cannot_be_written_is_an_error_not_a_crash(self, big: Job) -> None:
        with read_only(big.folder), pytest.raises(LedgerFailed) as caught:
            write_results(big.ledger.reader, big.folder, [1])
        assert caught.value.code == 74

    def test_a_failing_disk_is_reported_for_the_file_not_for_the_ledger(
        self, big: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("bulk_unenroll.files.os.fsync", full)
        to = tmp_path / "out.csv"
        with open_reader(big.folder) as reader, pytest.raises(LedgerFailed) as failed:
            export(reader, to, Selection())
        assert failed.value.reason == f"{to} cannot be written: the disk of {tmp_path} is full"
        assert failed.value.remedy == "free some room"

    @pytest.mark.parametrize("kind", ["pipe", "link to a pipe"])
    def test_what_is_no_file_is_never_replaced(self, tmp_path: Path, kind: str) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        path = pipe
        if kind != "pipe":
            path = tmp_path / "link"
            path.symlink_to(pipe)
        with pytest.raises(OSError, match="not a file"), replacing(path) as part:
            part.write_text("whole")
        assert pipe.is_fifo()

    def test_what_a_killed_writer_left_is_swept_away(self, tmp_path: Path) -> None:
        (tmp_path / ".file.part").write_text("half")
        with replacing(tmp_path / "file") as part:
            part.write_text("whole")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_text() == "whole"

    def test_a_symlink_planted_for_the_writer_is_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        (tmp_path / ".file.part").symlink_to(victim)
        with replacing(tmp_path / "file") as part:
            part.write_text("whole")
        assert victim.read_text() == "precious"


def test_keys_come_out_as_they_went_in(job: Job) -> None:
    """No id reaches a file that is not in the input in exactly those digits."""
    rows = [["9007199254740993", "1001", "2001"], [str(MAX_ID), "99", "100"], ["\t5 ", "1", "2"]]
    job.read(job.input(IDS, *rows))
    one, two = (None, 1001, 2001, 9007199254740993), (None, 99, 100, MAX_ID)
    assert job.called() == {one, two, (None, 1, 2, 5)}
    assert [line[:3] for line in job.results()[1:]] == rows
