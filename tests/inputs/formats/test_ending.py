"""A last record that was probably cut off is noticed, in both ways of reading; so is a writer."""

from __future__ import annotations

import gzip
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs import source as source_module
from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.formats import csv_reader
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.inputs.source import open_source

GROUPS_FIRST = "targetGroupId,targetId,customerId\n"
NAMES_LAST = "customerId,targetGroupId,targetId,name\n"


def noticed(content: bytes, **reading: Any) -> dict[str, object]:
    settings = ReadSettings(**reading)
    records = CsvRecords(io.BytesIO(content), "a.csv", settings)
    for _ in records.pieces(Mapper(records.header, settings)):
        pass
    return records.noticed


@pytest.fixture(params=["by row", "by columns"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size, a text is read in one of the two ways."""
    least = 0 if request.param == "by columns" else 1 << 40
    monkeypatch.setattr(csv_reader, "TABLE_FROM_CHARS", least)


class TestCutOff:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_the_row_and_its_line(self, encoding: str, end: str) -> None:
        rows = "1001,2001,423789336\n,,\n1001,2001,423789337\n1001,2001,4237"
        text = (GROUPS_FIRST + rows).replace("\n", end)
        found = noticed(text.encode(encoding))
        assert (found["cut_off"], found["cut_off_line"]) == (3, 5)

    def test_an_id_at_the_end_counts_whatever_is_before_it(self) -> None:
        rows = "Zoë,1001,2001,423789336\nBartholomew Longname,1001,2001,4237"
        assert noticed(f"name,{GROUPS_FIRST}{rows}".encode())["cut_off"] == 2

    def test_a_record_with_a_column_missing(self) -> None:
        assert noticed(f"{GROUPS_FIRST}1001,2001,423789336\n1001,20".encode())["cut_off"] == 2

    @pytest.mark.parametrize(
        "text",
        [
            GROUPS_FIRST + "1001,2001,423789336\n1001,2001,4237\n",  # its line has an end
            GROUPS_FIRST + "1001,2001,423789336\n1001,2001,423789337",
            GROUPS_FIRST + "1001,2001,4237\n1001,2001,4238",
            GROUPS_FIRST + "1001,2001,423789336\n1001,2001,4237\n,,",  # the last line is no record
            GROUPS_FIRST + "1001,2001,4237",  # there are no others
            GROUPS_FIRST.strip(),
            NAMES_LAST + "423789336,1001,2001,Al\n423789337,1001,2001,Bo",
        ],
    )
    def test_files_that_look_whole(self, text: str) -> None:
        assert "cut_off" not in noticed(text.encode())

    def test_far_down_in_a_packed_file(self) -> None:
        rows = "".join(f"1001,2001,{423_000_000 + n}\n" for n in range(60_000))
        found = noticed(gzip.compress(f"{GROUPS_FIRST}{rows}1001,2001,4".encode()))
        assert (found["cut_off"], found["cut_off_line"]) == (60_001, 60_002)


class TestFacts:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_how_the_text_was_written(self, end: str, delimiter: str, encoding: str) -> None:
        text = f"{GROUPS_FIRST}1,2,3\n".replace(",", delimiter).replace("\n", end)
        facts = {"delimiter": delimiter, "bom": encoding != "utf-8", "line_end": end}
        assert noticed(text.encode(encoding)) == facts

    def test_a_line_for_excel_says_the_delimiter(self) -> None:
        found = noticed(b"sep=;\r\ncustomerId;targetGroupId;targetId;a,b,c,d,e\r\n1;2;3;x\r\n")
        assert (found["delimiter"], found["line_end"]) == (";", "\r\n")


class TestStillBeingWritten:
    """The clock is ours: nothing waits."""

    def read(self, path: Path) -> int:
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(), path.parent) as source:
            return sum(1 for _ in source.pieces())

    @pytest.fixture
    def waited(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        naps: list[float] = []
        monkeypatch.setattr(time, "sleep", naps.append)
        return naps

    def test_a_file_that_goes_on_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_text(GROUPS_FIRST + "1001,2001,4237")

        def go_on(_: float) -> None:
            path.write_text(path.read_text() + "89336\n")

        monkeypatch.setattr(time, "sleep", go_on)
        with pytest.raises(InputRefused, match="changed while it was being read"):
            self.read(path)

    def test_a_file_that_has_just_changed_is_looked_at_again(
        self, tmp_path: Path, waited: list[float]
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_text(GROUPS_FIRST + "1001,2001,4237")
        assert self.read(path) == 1
        assert len(waited) == 1
        assert 0 < waited[0] <= source_module.SETTLED_AFTER_S

    @pytest.mark.parametrize(("rows", "age_s"), [("1001,2001,4237\n", 0), ("1001,2001,4237", 3)])
    def test_no_time_is_lost_otherwise(
        self, tmp_path: Path, waited: list[float], rows: str, age_s: float
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_text(GROUPS_FIRST + rows)
        then = time.time() - age_s
        os.utime(path, (then, then))
        self.read(path)
        assert waited == []
