"""Files as they really come: encodings, quotes, ragged rows, archives, Parquet types."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import hashlib
import io
import lzma
import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from bulk_unenroll.errors import InputMissing, InputRefused
from bulk_unenroll.model import Invalid, Key, Record
from bulk_unenroll.rows import Reading
from bulk_unenroll.sources import default_folder, find_inputs, open_source

HEADER = "customerId,targetGroupId,targetId,name\n"


def read(path: Path, **reading: Any) -> tuple[list[Record], list[Key | Invalid]]:
    (file,) = find_inputs([str(path)])
    with open_source(file, Reading(**reading), path.parent) as source:
        records = list(source.records())
        return records, [source.mapper.key(record) for record in records]


def text(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestText:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_line_ends_and_encodings(self, tmp_path: Path, end: str, encoding: str) -> None:
        content = (HEADER + "7,1,2,Zoë\n\n8,1,2,\n").replace("\n", end)
        records, keys = read(text(tmp_path, content.encode(encoding)))
        assert [record.row for record in records] == [1, 2]
        assert records[0].cells == ("7", "1", "2", "Zoë")
        assert keys == [Key(None, 1, 2, 7), Key(None, 1, 2, 8)]

    @pytest.mark.parametrize("order", ["le", "be"])
    def test_utf_16_of_either_order(self, tmp_path: Path, order: str) -> None:
        bom = {"le": b"\xff\xfe", "be": b"\xfe\xff"}[order]
        content = bom + (HEADER + "7,1,2,x\n").encode(f"utf-16-{order}")
        assert read(text(tmp_path, content))[1] == [Key(None, 1, 2, 7)]

    def test_utf_16_without_a_bom_is_refused_with_a_hint(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefused, match="UTF-16"):
            read(text(tmp_path, HEADER.encode("utf-16-le")))

    def test_the_first_bad_byte_is_named_wherever_it_stands(self, tmp_path: Path) -> None:
        good = HEADER.encode() + b"7,1,2,x\n" * 50_000
        with pytest.raises(InputRefused) as refused:
            read(text(tmp_path, good + b"8,1,2,\xe9\n"))
        assert f"byte {len(good) + 6} (0xe9)" in refused.value.reason
        assert "--encoding" in refused.value.remedy

    def test_another_encoding_by_name(self, tmp_path: Path) -> None:
        path = text(tmp_path, (HEADER + "7,1,2,Zoë\n").encode("cp1252"))
        assert read(path, encoding="cp1252")[0][0].cells[3] == "Zoë"
        with pytest.raises(InputRefused, match="no encoding"):
            read(path, encoding="klingon")

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_told_from_the_header(self, tmp_path: Path, delimiter: str) -> None:
        lines = [["customerId", "targetGroupId", "targetId", "a,b;c|d"], ["7", "1", "2", "x;y,z"]]
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows(lines)
        records, keys = read(text(tmp_path, out.getvalue()))
        assert records[0].cells == tuple(lines[1])
        assert keys == [Key(None, 1, 2, 7)]

    def test_a_record_with_a_newline_in_quotes_is_one_row(self, tmp_path: Path) -> None:
        records, keys = read(text(tmp_path, HEADER + '7,1,2,"a\nb\r\nc"\n8,1,2,d\n'))
        assert [record.row for record in records] == [1, 2]
        assert records[0].cells[3] == "a\nb\r\nc"
        assert keys[1] == Key(None, 1, 2, 8)

    def test_empty_lines_are_no_rows_and_blank_cells_are(self, tmp_path: Path) -> None:
        records, keys = read(text(tmp_path, "\n\n" + HEADER + "\n7,1,2,x\n\n   \n,,,\n\n"))
        assert [record.row for record in records] == [1, 2, 3]
        codes = [key.code for key in keys if isinstance(key, Invalid)]
        assert codes == ["missing_fields", "blank"]

    def test_a_header_alone(self, tmp_path: Path) -> None:
        assert read(text(tmp_path, HEADER))[0] == []
        assert read(text(tmp_path, HEADER.rstrip()))[0] == []

    @pytest.mark.parametrize(
        ("rows", "word"),
        [
            ('7,1,2,"never\n' + "8,1,2,x\n" * 1000, "row 1"),
            ('7,1,2,x\n8,1,2,"y\n9,1,2,"z"\n', "row 2"),
            ('7,1,2,"' + "x" * 3_000_000 + "\n", "row 1"),
            ('7,1,2,x\n"8', "row 2"),
        ],
    )
    def test_an_open_quote_refuses_the_file(self, tmp_path: Path, rows: str, word: str) -> None:
        with pytest.raises(InputRefused) as refused:
            read(text(tmp_path, HEADER + rows))
        assert word in refused.value.reason

    def test_a_damaged_quote_in_one_line_is_one_invalid_row(self, tmp_path: Path) -> None:
        records, keys = read(text(tmp_path, HEADER + '"7"8,1,2,x\n9,1,2,y\n'))
        assert [record.row for record in records] == [1, 2]
        assert isinstance(keys[0], Invalid)
        assert keys[0].code == "malformed_quotes"
        assert records[0].cells == ('"7"8,1,2,x',)
        assert keys[1] == Key(None, 1, 2, 9)

    def test_nul_bytes_make_no_id(self, tmp_path: Path) -> None:
        keys = read(text(tmp_path, HEADER.encode() + b"7\0,1,2,x\n8,1,2,\0\n"))[1]
        assert isinstance(keys[0], Invalid)
        assert keys[1] == Key(None, 1, 2, 8)

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
    def test_archives(self, tmp_path: Path, pack: Any) -> None:
        packed = pack((HEADER + "7,1,2,x\n" * 1000).encode())
        ending = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
        path = text(tmp_path, packed, f"a.csv.{ending}")
        assert len(read(path)[0]) == 1000
        with pytest.raises(InputRefused, match="unpacked"):
            read(text(tmp_path, packed[: len(packed) // 2], f"b.csv.{ending}"))

    def test_a_file_that_changes_while_it_is_read_is_refused(self, tmp_path: Path) -> None:
        path = text(tmp_path, HEADER + "7,1,2,x\n" * 10)
        (file,) = find_inputs([str(path)])
        with open_source(file, Reading(), tmp_path) as source:
            records = source.records()
            next(records)
            with path.open("a") as more:
                more.write("8,1,2,x\n")
            with pytest.raises(InputRefused, match="changed"):
                list(records)

    def test_the_fingerprint_is_of_the_bytes(self, tmp_path: Path) -> None:
        path = text(tmp_path, gzip.compress((HEADER + "7,1,2,x\n").encode()), "a.csv.gz")
        (file,) = find_inputs([str(path)])
        with open_source(file, Reading(), tmp_path) as source:
            assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_a_pipe_is_spooled_and_leaves_nothing(self, tmp_path: Path) -> None:
        end, start = os.pipe()
        os.write(start, (HEADER + "7,1,2,x\n").encode())
        os.close(start)
        before = set(tmp_path.iterdir())
        (file,) = find_inputs([f"/dev/fd/{end}"])
        with open_source(file, Reading(), tmp_path) as source:
            assert len(list(source.records())) == 1
        os.close(end)
        assert set(tmp_path.iterdir()) == before


class TestParquet:
    def write(self, folder: Path, ids: pa.Array, **more: pa.Array) -> Path:
        path = folder / "a.parquet"
        ones = pa.array([1] * len(ids))
        table = pa.table({"customerId": ids, "targetGroupId": ones, "targetId": ones, **more})
        pq.write_table(table, path)
        return path

    @pytest.mark.parametrize(
        "ids",
        [
            pa.array([7, 9007199254740993], pa.int64()),
            pa.array([7, 9007199254740993], pa.uint64()),
            pa.array(["7", "9007199254740993"]),
            pa.array(["7", "9007199254740993"], pa.large_string()),
            pa.array(["7", "9007199254740993"]).dictionary_encode(),
            pa.array([Decimal(7), Decimal(9007199254740993)], pa.decimal128(20, 2)),
        ],
        ids=str,
    )
    def test_ids_are_exact_in_every_type_that_can_hold_them(
        self, tmp_path: Path, ids: pa.Array
    ) -> None:
        keys = read(self.write(tmp_path, ids))[1]
        assert [key.customer for key in keys if isinstance(key, Key)] == [7, 9007199254740993]

    @pytest.mark.parametrize(
        "ids",
        [
            pa.array([7.0]),
            pa.array([True]),
            pa.array([datetime.datetime(2026, 1, 1)]),
            pa.array([datetime.date(2026, 1, 1)]),
            pa.array([[7]]),
            pa.array([{"a": 7}]),
            pa.array([b"7"]),
            pa.nulls(1),
        ],
        ids=lambda ids: str(ids.type),
    )
    def test_a_column_that_cannot_hold_ids_refuses_the_file(
        self, tmp_path: Path, ids: pa.Array
    ) -> None:
        with pytest.raises(InputRefused, match="customerId"):
            read(self.write(tmp_path, ids))

    def test_single_cells_are_invalid(self, tmp_path: Path) -> None:
        ids = pa.array([7, None, 0, -1], pa.int64())
        keys = read(self.write(tmp_path, ids))[1]
        assert [key.code for key in keys if isinstance(key, Invalid)] == ["null", "zero", "sign"]
        ids = pa.array([Decimal("7.5")], pa.decimal128(5, 1))
        assert isinstance(read(self.write(tmp_path, ids))[1][0], Invalid)

    def test_other_columns_are_kept_as_text(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            pa.array([7]),
            when=pa.array([datetime.datetime(2026, 1, 2, 3, 4)]),
            list=pa.array([[1, 2]]),
            raw=pa.array([b"\xff"]),
            number=pa.array([1.5]),
            nothing=pa.nulls(1),
        )
        cells = read(path)[0][0].cells
        assert cells[3:] == ("2026-01-02T03:04:00", "[1,2]", "ff", "1.5", None)

    def test_a_damaged_file_is_refused_in_one_line(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, pa.array(range(1, 1000)))
        whole = path.read_bytes()
        for cut in (4, 8, len(whole) // 2, len(whole) - 9):
            path.write_bytes(whole[:cut])
            with pytest.raises(InputRefused):
                read(path)


class TestFinding:
    def test_each_file_once_under_its_real_path(self, tmp_path: Path) -> None:
        path = text(tmp_path, HEADER)
        (tmp_path / "link.csv").symlink_to(path)
        found = find_inputs([str(path), str(tmp_path / "*.csv"), str(tmp_path / "link.csv")])
        assert [file.path for file in found] == [str(path)]

    def test_a_name_with_brackets_is_a_name_before_it_is_a_glob(self, tmp_path: Path) -> None:
        text(tmp_path, HEADER, "a[1].csv")
        text(tmp_path, HEADER, "a1.csv")
        (found,) = find_inputs([str(tmp_path / "a[1].csv")])
        assert found.path.endswith("a[1].csv")

    def test_hidden_parts_are_no_parts(self, tmp_path: Path) -> None:
        folder = tmp_path / "parts"
        (folder / "_temporary").mkdir(parents=True)
        for name in ("b.parquet", "a.parquet", "_c.parquet", ".d.parquet", "_temporary/e.parquet"):
            (folder / name).touch()
        assert [Path(f.path).name for f in find_inputs([str(folder)])] == ["a.parquet", "b.parquet"]

    @pytest.mark.parametrize("name", ["nothing.csv", "*.nothing", "empty"])
    def test_nothing_there(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputMissing):
            find_inputs([str(tmp_path / name)])

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("cleanup.csv", "cleanup.unenroll"),
            ("in/cleanup.csv.gz", "cleanup.unenroll"),
            ("a.b.parquet", "a.b.unenroll"),
            ("list", "list.unenroll"),
            ("list.dat", "list.unenroll"),
            ("-", "stdin.unenroll"),
        ],
    )
    def test_the_run_folder_s_name(self, name: str, folder: str) -> None:
        assert default_folder([name]) == Path(folder)


def test_damaged_files_are_refused_or_read_but_never_break_the_program(tmp_path: Path) -> None:
    """Mutated bytes: every id that comes out stands in the file; row numbers have no holes."""
    seed = 20261123
    dice = random.Random(seed)
    base = (HEADER + "".join(f'{n},10{n % 7},2001,"a ""{n}"""\n' for n in range(400, 440))).encode()
    for turn in range(1500):
        content = bytearray(base)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(content))
            content[at : at + dice.randint(0, 2)] = dice.choice(
                [b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"\xc3\xa9", b"0", b"E+", b" ", b""]
            )
        path = text(tmp_path, bytes(content))
        try:
            records, keys = read(path)
        except InputRefused:
            continue
        assert [record.row for record in records] == list(range(1, len(records) + 1)), (seed, turn)
        for key in keys:
            if isinstance(key, Key):
                assert str(key.customer).encode() in content, (seed, turn)
