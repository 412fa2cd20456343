"""Files as people send them: encodings, quotes, ragged rows, compression, Parquet types."""

from __future__ import annotations

import bz2
import codecs
import csv
import datetime
import gzip
import hashlib
import io
import lzma
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq

from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused, UsageError
from bulk_unenroll.inputs.finding import InputFile, find_inputs
from bulk_unenroll.inputs.formats.text import LINE_LIMIT_CHARS, Lines, split_lines
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.model import MAX_ID, Enrollment, Invalid, Record, Target

HEADER = "customerId,targetGroupId,targetId,name\n"


def read(path: Path, **reading: Any) -> tuple[list[Record], list[Enrollment | Invalid]]:
    (file,) = find_inputs([str(path)])
    with open_source(file, ReadSettings(**reading), path.parent) as source:
        records = list(source.records())
        return records, [source.mapper.enrollment(record) for record in records]


def text(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestText:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_line_ends_and_encodings(self, tmp_path: Path, end: str, encoding: str) -> None:
        content = (HEADER + "7,1,2,Zoë\n\n8,1,2,\n").replace("\n", end)
        records, found = read(text(tmp_path, content.encode(encoding)))
        assert [record.row for record in records] == [1, 2]
        assert records[0].cells == ("7", "1", "2", "Zoë")
        assert found == [Enrollment(7, Target(None, 1, 2)), Enrollment(8, Target(None, 1, 2))]

    @pytest.mark.parametrize("order", ["le", "be"])
    def test_utf_16_of_either_order(self, tmp_path: Path, order: str) -> None:
        bom = {"le": b"\xff\xfe", "be": b"\xfe\xff"}[order]
        content = bom + (HEADER + "7,1,2,x\n").encode(f"utf-16-{order}")
        assert read(text(tmp_path, content))[1] == [Enrollment(7, Target(None, 1, 2))]

    def test_utf_16_without_a_bom_is_refused_with_a_hint(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefused, match="UTF-16"):
            read(text(tmp_path, HEADER.encode("utf-16-le")))

    def test_the_first_bad_byte_is_named_wherever_it_is(self, tmp_path: Path) -> None:
        good = HEADER.encode() + b"7,1,2,x\n" * 50_000
        with pytest.raises(InputRefused) as refused:
            read(text(tmp_path, good + b"8,1,2,\xe9\n"))
        assert f"byte {len(good) + 6} (0xe9) in line 50002" in refused.value.reason
        assert "--encoding" in refused.value.remedy

    @pytest.mark.parametrize(
        ("content", "reading", "words"),
        [
            (codecs.BOM_UTF8 + b"customerId\n7\xff\n", {}, "byte 15 (0xff) in line 2"),
            (b"customerId\r7\r\xc3", {}, "byte 13 (0xc3) in line 3"),
            (b"customerId\n7\xc3\n", {}, "byte 12 (0xc3) in line 2"),
            (
                "\ufeffcustomerId\n".encode("utf-16-le") + b"\0\xdc7\0",
                {},
                "byte 24 (0x00) in line 2",
            ),
            ("\ufeffcustomerId\n".encode("utf-16-be") + b"\0", {}, "byte 24 (0x00) in line 2"),
            (b"customerId\n\x81", {"encoding": "cp1252"}, "byte 11 (0x81) in line 2"),
            (b"customerId\n\x81", {"encoding": "shift_jis"}, "byte 11 (0x81) in line 2"),
        ],
    )
    def test_the_position_of_a_bad_byte_is_exact(
        self, tmp_path: Path, content: bytes, reading: dict[str, str], words: str
    ) -> None:
        with pytest.raises(InputRefused) as refused:
            read(text(tmp_path, content), **reading, target_group_id=1, target_id=2)
        assert words in refused.value.reason

    def test_an_encoding_by_name(self, tmp_path: Path) -> None:
        path = text(tmp_path, (HEADER + "7,1,2,Zoë\n").encode("cp1252"))
        assert read(path, encoding="cp1252")[0][0].cells[3] == "Zoë"
        for name in ("klingon", "rot13", "hex", "", "a\0b", "undefined"):
            with pytest.raises(InputRefused, match="not a valid encoding"):
                read(path, encoding=name)

    @pytest.mark.parametrize(
        ("encoding", "one"),
        [("utf-7", b"+ADE-"), ("unicode_escape", b"\\x31"), ("raw_unicode_escape", b"\\u0031")],
    )
    def test_an_encoding_that_can_escape_digits_is_refused(
        self, tmp_path: Path, encoding: str, one: bytes
    ) -> None:
        assert one.decode(encoding) == "1"
        path = text(tmp_path, HEADER.encode() + one + b",1,2,x\n")
        with pytest.raises(InputRefused, match="not an encoding for tables"):
            read(path, encoding=encoding)

    @pytest.mark.parametrize(
        ("written", "encoding", "word"),
        [
            ("utf-8-sig", "cp1252", "BOM of UTF-8"),
            ("utf-16", "utf-8", "BOM of UTF-16"),
            ("utf-16-le", "utf-16", "no BOM"),
            ("utf-32", None, "UTF-32"),
            ("utf-16-be", None, "without a BOM"),
        ],
    )
    def test_an_encoding_that_contradicts_the_bom_is_refused(
        self, tmp_path: Path, written: str, encoding: str | None, word: str
    ) -> None:
        with pytest.raises(InputRefused, match=word):
            read(text(tmp_path, HEADER.encode(written)), encoding=encoding)

    @pytest.mark.parametrize("bom", ["", "\ufeff"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
    def test_an_encoding_by_name_with_or_without_its_bom(
        self, tmp_path: Path, encoding: str, bom: str
    ) -> None:
        content = f'{bom}"customerId",targetGroupId,targetId\n7,1,2\n'
        (file,) = find_inputs([str(text(tmp_path, content.encode(encoding)))])
        with open_source(file, ReadSettings(encoding=encoding), tmp_path) as source:
            assert source.header[0] == "customerId"
            assert len(list(source.records())) == 1

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_detected_in_the_header(self, tmp_path: Path, delimiter: str) -> None:
        lines = [["customerId", "targetGroupId", "targetId", "a,b;c|d"], ["7", "1", "2", "x;y,z"]]
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows(lines)
        records, found = read(text(tmp_path, out.getvalue()))
        assert records[0].cells == tuple(lines[1])
        assert found == [Enrollment(7, Target(None, 1, 2))]

    def test_the_delimiter_is_detected_in_a_header_of_several_lines(self, tmp_path: Path) -> None:
        header = '"a, note,\nof two, lines";customerId;"targetGroupId";targetId\n'
        assert read(text(tmp_path, header + "x;7;1;2\n"))[1] == [Enrollment(7, Target(None, 1, 2))]

    @pytest.mark.parametrize("delimiter", ["", "::", "1", "a", '"', "\n", "\0"])
    def test_an_invalid_delimiter_is_refused(self, tmp_path: Path, delimiter: str) -> None:
        with pytest.raises(UsageError):
            read(text(tmp_path, HEADER), delimiter=delimiter)

    def test_a_record_with_a_newline_in_quotes_is_one_row(self, tmp_path: Path) -> None:
        records, found = read(text(tmp_path, HEADER + '7,1,2,"a\nb\r\nc"\n8,1,2,d\n'))
        assert [record.row for record in records] == [1, 2]
        assert records[0].cells[3] == "a\nb\r\nc"
        assert found[1] == Enrollment(8, Target(None, 1, 2))

    def test_lines_of_empty_cells_are_not_rows_but_lines_of_blanks_are(
        self, tmp_path: Path
    ) -> None:
        rows = '\n7,1,2,x\n\n,,,\n   \n"",,,\n ,,,\n,,,,,\n\n'
        records, found = read(text(tmp_path, "\n,,,\n" + HEADER + rows))
        assert [(record.row, record.line) for record in records] == [(1, 5), (2, 8), (3, 10)]
        codes = [one.code for one in found if isinstance(one, Invalid)]
        assert codes == ["missing_fields", "blank"]

    def test_a_file_with_a_header_only(self, tmp_path: Path) -> None:
        assert read(text(tmp_path, HEADER))[0] == []
        assert read(text(tmp_path, HEADER.rstrip()))[0] == []

    @pytest.mark.parametrize(
        ("rows", "word"),
        [
            ('7,1,2,"never\n' + "8,1,2,x\n" * 1000, "row 1"),
            ('7,1,2,x\n8,1,2,"y\n9,1,2,"z"\n', "row 2"),
            ('7,1,2,"' + "x" * 3_000_000 + "\n", "row 1"),
            ('7,1,2,x\n"8', "row 2"),
            # the cell that opens at the end of row 1 may go on, and then 9 is not a customer
            ('7,1,2,"a"b,"x\n9,1,2,y"\n', "row 1 (line 2)"),
            ("\n7,1,2," + "x" * 1_100_000 + "\n", "row 1 (line 3) has a cell of more than"),
        ],
    )
    def test_an_open_quote_refuses_the_file(self, tmp_path: Path, rows: str, word: str) -> None:
        with pytest.raises(InputRefused) as refused:
            read(text(tmp_path, HEADER + rows))
        assert word in refused.value.reason

    def test_a_damaged_quote_in_one_line_is_one_invalid_row(self, tmp_path: Path) -> None:
        records, found = read(text(tmp_path, HEADER + '"7"8,1,2,x\n9,1,2,y\n'))
        assert [record.row for record in records] == [1, 2]
        assert isinstance(found[0], Invalid)
        assert found[0].code == "malformed_quotes"
        assert records[0].cells == ('"7"8,1,2,x',)
        assert found[1] == Enrollment(9, Target(None, 1, 2))

    def test_a_line_with_damaged_quotes_is_kept_unchanged(self, tmp_path: Path) -> None:
        path = text(tmp_path, HEADER + '7,1,2,"5" disk"\r\n\r\n8,1,2,x"y\r\n"9"9"\r\n')
        records, found = read(path)
        assert [record.cells for record in records] == [
            ('7,1,2,"5" disk"',),
            ("8", "1", "2", 'x"y'),
            ('"9"9"',),
        ]
        assert found[1] == Enrollment(8, Target(None, 1, 2))

    def test_damaged_quotes_are_found_in_every_block(self, tmp_path: Path) -> None:
        rows = "".join(f'"{n}"{n},1,2,x\n{n},1,2,"y\nz"\n' for n in range(1, 20_000))
        records, found = read(text(tmp_path, HEADER + rows))
        for n in range(1, 20_000):
            assert records[2 * n - 2].cells == (f'"{n}"{n},1,2,x',)
            assert found[2 * n - 1] == Enrollment(n, Target(None, 1, 2))

    def test_a_row_with_a_nul_is_invalid(self, tmp_path: Path) -> None:
        found = read(text(tmp_path, HEADER.encode() + b"7\0,1,2,x\n8,1,2,\0\n9,1,2,x\n"))[1]
        assert [one.code for one in found[:2] if isinstance(one, Invalid)] == ["nul", "nul"]
        assert found[2] == Enrollment(9, Target(None, 1, 2))
        messages = [one.message for one in found[:2] if isinstance(one, Invalid)]
        assert messages == [
            'customerId: "7\\u0000" contains a NUL',
            'name: "\\u0000" contains a NUL',
        ]
        with pytest.raises(InputRefused, match="NUL"):
            read(text(tmp_path, HEADER.replace("name", "na\0me")))

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            ("", "empty"),
            ("\n\r\n", "empty"),
            (codecs.BOM_UTF8, "empty"),
            ('"customerId\n7\n', "header"),
            ('"customerId"x,targetId\n', "header"),
            ("customerId," + "x" * 1_100_000 + "\n", "header"),
            (b"PK\x03\x04" + bytes(range(256)), "Excel"),
            (gzip.compress(b"PAR1" + bytes(range(256))), "Parquet"),
        ],
        ids=lambda value: str(value)[:12],
    )
    def test_a_file_without_a_header_is_refused(
        self, tmp_path: Path, content: str | bytes, word: str
    ) -> None:
        with pytest.raises(InputRefused, match=word):
            read(text(tmp_path, content))

    def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
        self, tmp_path: Path
    ) -> None:
        blocks = lzma.compress((HEADER + "1," * LINE_LIMIT_CHARS).encode(), preset=0)
        with pytest.raises(InputRefused, match="line 2 has more than"):
            read(text(tmp_path, blocks, "a.csv.xz"))

    def test_the_limit_of_the_csv_module_is_restored(self, tmp_path: Path) -> None:
        before = csv.field_size_limit()
        read(text(tmp_path, HEADER + "7,1,2,x\n"))
        with pytest.raises(InputRefused):
            read(text(tmp_path, HEADER + '7,1,2,"x\n'))
        assert csv.field_size_limit() == before

    def test_ids_that_a_spreadsheet_damaged_are_invalid(self, tmp_path: Path) -> None:
        cells = ["4.2E+08", "423789336.0", '"423,789,336"', "0042", "'42", "-7", "٤٢", "#N/A", "7"]
        found = read(text(tmp_path, HEADER + "".join(f"{cell},1,2,x\n" for cell in cells)))[1]
        assert [one.code if isinstance(one, Invalid) else one.customer for one in found] == [
            "exponent", "decimal_point", "thousands", "leading_zero", "not_digits", "sign",
            "other_digits", "not_digits", 7,
        ]  # fmt: skip

    def test_failed_csv_can_be_used_as_an_input(self, tmp_path: Path) -> None:
        header = "unenroll_row," + HEADER.strip() + ",unenroll_status\n"
        (file,) = find_inputs([str(text(tmp_path, header + "3,7,1,2,x,failed\n"))])
        with open_source(file, ReadSettings(), tmp_path) as source:
            (record,) = source.records()
            assert source.mapper.kept == tuple(HEADER.strip().split(","))
            assert source.mapper.kept_cells(record) == ("7", "1", "2", "x")
            assert source.mapper.enrollment(record) == Enrollment(7, Target(None, 1, 2))

    def test_a_header_that_occurs_twice(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefused, match="two columns"):
            read(text(tmp_path, "customerId,customer_id,targetGroupId,targetId\n7,7,1,2\n"))
        assert read(text(tmp_path, HEADER.strip() + ",name\n7,1,2,x,y\n"))[1] == [
            Enrollment(7, Target(None, 1, 2))
        ]

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
    def test_compressed_files(self, tmp_path: Path, pack: Any) -> None:
        packed = pack((HEADER + "7,1,2,x\n" * 1000).encode())
        ending = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
        path = text(tmp_path, packed, f"a.csv.{ending}")
        assert len(read(path)[0]) == 1000
        with pytest.raises(InputRefused, match="decompressed"):
            read(text(tmp_path, packed[: len(packed) // 2], f"b.csv.{ending}"))

    @pytest.mark.parametrize(("pack", "ending"), [(bz2.compress, "bz2"), (lzma.compress, "xz")])
    def test_data_after_a_compressed_member_is_never_ignored(
        self, tmp_path: Path, pack: Any, ending: str
    ) -> None:
        parts = pack(HEADER.encode()) + pack(b"") + pack(b"7,1,2,x\n")
        for padding in (b"", bytes(4), bytes(300_000)):
            assert len(read(text(tmp_path, parts + padding, f"a.csv.{ending}"))[0]) == 1
        for after in (b"x", bytes(4) + b"x", pack(b"8,1,2,y\n")[1:], pack(b"8,1,2,y\n")[:-1]):
            with pytest.raises(InputRefused, match="decompressed"):
                read(text(tmp_path, parts + after, f"b.csv.{ending}"))

    def test_a_file_that_was_compressed_twice(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefused, match="compressed twice"):
            read(text(tmp_path, gzip.compress(gzip.compress(HEADER.encode())), "a.csv.gz"))

    def test_a_file_that_changes_while_it_is_read_is_refused(self, tmp_path: Path) -> None:
        path = text(tmp_path, HEADER + "7,1,2,x\n" * 10)
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(), tmp_path) as source:
            records = source.records()
            next(records)
            with path.open("a") as more:
                more.write("8,1,2,x\n")
            with pytest.raises(InputRefused, match="changed"):
                list(records)

    @pytest.mark.parametrize("content", [b"", b"\n", b'"x\ny,', b"a,b,c,d\n7,1,2,x\n"])
    def test_a_file_that_changes_before_it_is_read_is_refused(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = text(tmp_path, HEADER + "7,1,2,x\n")
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(), tmp_path) as source:
            path.write_bytes(content)
            with pytest.raises(InputRefused):
                list(source.records())

    def test_a_file_must_be_compressed_as_its_name_says(self, tmp_path: Path) -> None:
        for content in ("", HEADER):
            with pytest.raises(InputRefused, match="not compressed"):
                read(text(tmp_path, content, "a.csv.gz"))

    def test_compressed_files_are_recognised_by_their_content(self, tmp_path: Path) -> None:
        two = gzip.compress(HEADER.encode()) + gzip.compress(b"7,1,2,x\n")
        assert len(read(text(tmp_path, two, "a.csv"))[0]) == 1

    def test_hash_and_size_are_those_of_the_compressed_file(self, tmp_path: Path) -> None:
        path = text(tmp_path, gzip.compress((HEADER + "7,1,2,x\n").encode()), "a.csv.gz")
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(), tmp_path) as source:
            assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            assert source.size_bytes == path.stat().st_size
            assert source.header == tuple(HEADER.strip().split(","))

    def test_a_pipe_is_copied_and_the_copy_is_removed(self, tmp_path: Path) -> None:
        end, start = os.pipe()
        os.write(start, (HEADER + "7,1,2,x\n").encode())
        os.close(start)
        before = set(tmp_path.iterdir())
        (file,) = find_inputs([f"/dev/fd/{end}"])
        with open_source(file, ReadSettings(), tmp_path) as source:
            assert len(list(source.records())) == 1
        os.close(end)
        assert set(tmp_path.iterdir()) == before

    def test_standard_input(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = (HEADER + "7,1,2,x\n").encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        (file,) = find_inputs(["-", "-"])
        with open_source(file, ReadSettings(), tmp_path) as source:
            assert source.sha256 == hashlib.sha256(content).hexdigest()
            assert len(list(source.records())) == 1
        with pytest.raises(FolderUnusable), open_source(file, ReadSettings(), tmp_path / "nowhere"):
            pass
        monkeypatch.setattr("sys.stdin", None)
        with pytest.raises(InputMissing), open_source(file, ReadSettings(), tmp_path):
            pass

    def test_a_device_is_refused_before_it_fills_the_disk(self, tmp_path: Path) -> None:
        (file,) = find_inputs(["/dev/zero"])
        with (
            pytest.raises(InputRefused, match="/dev/zero is a device"),
            open_source(file, ReadSettings(), tmp_path),
        ):
            pass

    def test_a_file_that_no_longer_exists(self, tmp_path: Path) -> None:
        file = InputFile(str(tmp_path / "gone.csv"), "gone.csv")
        with (
            pytest.raises(InputMissing, match=r"gone\.csv"),
            open_source(file, ReadSettings(), tmp_path),
        ):
            pass


TABLE = st.lists(
    st.lists(st.text(' ",;\r\n\t1é€', max_size=6), min_size=1, max_size=5), max_size=12
)


class TestFraming:
    @given(
        content=st.text('1,"\r\n é€\u2028\x0b😀', max_size=60),
        encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "gb18030"]),
        size_bytes=st.integers(1, 9),
    )
    def test_lines_do_not_depend_on_the_blocks_they_are_read_in(
        self, content: str, encoding: str, size_bytes: int
    ) -> None:
        data = content.encode(encoding)
        cut = (data[at : at + size_bytes] for at in range(0, len(data), size_bytes))
        lines = Lines(cut, encoding, 0)
        found = [line for chunk in lines for line in split_lines(chunk)]
        assert found == re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", content)

    @given(
        table=TABLE, end=st.sampled_from(["\n", "\r\n", "\r"]), delimiter=st.sampled_from(",;\t")
    )
    def test_rows_are_numbered_and_kept_as_they_were_written(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        table: list[list[str]],
        end: str,
        delimiter: str,
    ) -> None:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(["customerId", "targetGroupId", "targetId"])
        for cells in table:
            out.write(end)
            writer.writerow(cells)
        folder = tmp_path_factory.mktemp("framing")
        records, _ = read(text(folder, out.getvalue()), delimiter=delimiter)
        assert [(r.row, r.cells) for r in records] == [
            (row, tuple(cells)) for row, cells in enumerate(filter(any, table), 1)
        ]


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
    def test_ids_are_exact_in_every_type_that_can_hold_ids(
        self, tmp_path: Path, ids: pa.Array
    ) -> None:
        found = read(self.write(tmp_path, ids))[1]
        assert [one.customer for one in found if isinstance(one, Enrollment)] == [
            7,
            9007199254740993,
        ]

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

    def test_invalid_cells_in_a_valid_column(self, tmp_path: Path) -> None:
        ids = pa.array([7, None, 0, -1], pa.int64())
        found = read(self.write(tmp_path, ids))[1]
        assert [one.code for one in found if isinstance(one, Invalid)] == ["null", "zero", "sign"]
        ids = pa.array([Decimal("7.5")], pa.decimal128(5, 1))
        assert isinstance(read(self.write(tmp_path, ids))[1][0], Invalid)

    def test_whole_decimals_are_integers(self, tmp_path: Path) -> None:
        values = [Decimal("7.00"), Decimal("7.50"), None, Decimal(10) ** 30, Decimal(MAX_ID) + 1]
        records, found = read(self.write(tmp_path, pa.array(values, pa.decimal128(38, 2))))
        assert [one.code if isinstance(one, Invalid) else one.customer for one in found] == [
            7, "decimal_point", "null", "too_large", "too_large",
        ]  # fmt: skip
        assert all(orjson.dumps(record.cells) for record in records)
        # as in results.csv, which can be read again
        assert [record.cells[0] for record in records[:3]] == [7, "7.50", None]

    def test_strange_cells_in_columns_without_ids_are_kept_as_text(self, tmp_path: Path) -> None:
        broken = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        )
        path = self.write(
            tmp_path,
            pa.array([7]),
            late=pa.array([2**62], pa.timestamp("us")),
            day=pa.array([10**8], pa.date32()),
            long=pa.array([2**62], pa.duration("s")),
            zone=pa.array([5], pa.timestamp("s", "Mars/X")),
            fine=pa.array([123456789012345678], pa.timestamp("ns", "UTC")),
            broken=broken,
            nested=pa.array([{"a": b"\xff", "b": [datetime.date(2026, 1, 2), None]}]),
            map=pa.array([[("k", Decimal(1))]], pa.map_(pa.string(), pa.decimal128(3))),
            big=pa.array([2**64 - 1], pa.uint64()),
            flag=pa.array([True]),
            nan=pa.array([float("nan")]),
            price=pa.array([Decimal("7.10")]),
        )
        (file,) = find_inputs([str(path)])
        with open_source(file, ReadSettings(), tmp_path) as source:
            (record,) = source.records()
            kept = dict(zip(source.mapper.kept, source.mapper.kept_cells(record), strict=True))
        assert orjson.loads(orjson.dumps(kept)) == kept
        assert "4611686018427387904" in str(kept["late"])
        assert kept["fine"] == "1973-11-29T21:33:09.012345678+00:00"
        assert kept["broken"] == "fffe"
        assert kept["nested"] == '{"a":"ff","b":["2026-01-02",null]}'
        assert kept["map"] == '[["k","1"]]'
        assert (kept["big"], kept["flag"]) == (2**64 - 1, True)
        assert (kept["nan"], kept["price"]) == ("nan", "7.10")
        with pytest.raises(InputRefused, match=r'"customerId".*cannot be read'):
            read(self.write(tmp_path, broken))

    def test_rows_are_numbered_across_batches(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, pa.array(range(1, 30_001)))
        records, found = read(path)
        assert [record.row for record in records] == list(range(1, 30_001))
        assert [one.customer for one in found if isinstance(one, Enrollment)] == list(
            range(1, 30_001)
        )

    def test_an_id_column_that_occurs_twice(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        names = ["customerId", "targetGroupId", "targetId", "targetId"]
        pq.write_table(pa.table([pa.array([1])] * 4, names=names), path)
        with pytest.raises(InputRefused, match="two columns"):
            read(path)

    def test_parquet_is_recognised_by_its_content(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, pa.array([7]))
        assert read(path.rename(tmp_path / "a.csv"))[1] == [Enrollment(7, Target(None, 1, 1))]
        with pytest.raises(InputRefused, match="Parquet"):
            read(text(tmp_path, HEADER, "b.parquet"))

    def test_pyarrow_is_imported_only_for_parquet(self) -> None:
        code = "import sys, bulk_unenroll.inputs.source; sys.exit('pyarrow' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

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


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """With mutated bytes, every id that is read is in the file, and row numbers have no gaps."""
    seed = 20261123
    rng = random.Random(seed)
    base = (HEADER + "".join(f'{n},10{n % 7},2001,"a ""{n}"""\n' for n in range(400, 440))).encode()
    for turn in range(1500):
        content = bytearray(base)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randint(0, 2)] = rng.choice(
                [b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"\xc3\xa9", b"0", b"E+", b" ", b""]
            )
        path = text(tmp_path, bytes(content))
        try:
            records, found = read(path)
        except InputRefused:
            continue
        assert [record.row for record in records] == list(range(1, len(records) + 1)), (seed, turn)
        for one in found:
            if isinstance(one, Enrollment):
                assert str(one.customer).encode() in content, (seed, turn)


def parquet_bytes() -> bytes:
    out = io.BytesIO()
    columns = {
        "customerId": [str(n) for n in range(400)],
        "targetGroupId": [1] * 400,
        "targetId": pa.array([2] * 400, pa.uint16()),
        "when": pa.array(range(400), pa.timestamp("us")),
        "list": [[n] for n in range(400)],
    }
    pq.write_table(pa.table(columns), out, row_group_size=150)
    return out.getvalue()


def mutated(base: bytes, rng: random.Random) -> bytes:
    content = bytearray(base)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content))
        content[at] = rng.randrange(256)
        if rng.random() < 0.2:
            del content[at : at + rng.randint(1, 40)]
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.csv.gz", lambda: gzip.compress((HEADER + "7,1,2,x\n" * 99).encode(), mtime=0)),
        ("a.csv.bz2", lambda: bz2.compress((HEADER + "7,1,2,x\n" * 99).encode())),
        ("a.csv.xz", lambda: lzma.compress((HEADER + "7,1,2,x\n" * 99).encode())),
        ("a.csv", lambda: (HEADER + "7,1,2,x\n" * 99).encode("utf-16")),
        ("a.parquet", parquet_bytes),
    ],
)
def test_damaged_compressed_and_parquet_files_are_read_or_refused(
    tmp_path: Path, name: str, made: Callable[[], bytes]
) -> None:
    seed = 20261124
    rng = random.Random(seed)
    base = made()
    reasons: set[str] = set()
    for turn in range(500):
        try:
            records, _ = read(text(tmp_path, mutated(base, rng), name))
        except InputRefused as refused:
            reasons.add(refused.reason)
            continue
        assert [record.row for record in records] == list(range(1, len(records) + 1)), (seed, turn)
    assert reasons
    assert not any("\n" in reason for reason in reasons)


class TestLinks:
    """A file of a Hive folder means the same by whatever name it is reached."""

    @pytest.fixture
    def part(self, tmp_path: Path) -> Path:
        folder = tmp_path / "day=1" / "targetId=7"
        folder.mkdir(parents=True)
        return text(folder, "customerId,targetGroupId\n423000007,1001\n")

    @pytest.mark.parametrize("name", ["latest/a.csv", "other.csv"])
    def test_the_target_of_the_folder_that_a_link_leads_to(
        self, tmp_path: Path, part: Path, name: str
    ) -> None:
        if name == "other.csv":
            (tmp_path / name).symlink_to(part)
        else:
            (tmp_path / "latest").symlink_to(part.parent)
        (record,), found = read(tmp_path / name)
        assert record.cells == ("7", "423000007", "1001")
        assert found == [Enrollment(423000007, Target(None, 1001, 7))]
        with pytest.raises(InputRefused, match="--target-id"):
            read(tmp_path / name, target_id=8)

    def test_a_link_that_contradicts_is_refused(self, tmp_path: Path, part: Path) -> None:
        (tmp_path / "targetId=8").symlink_to(part.parent)
        with pytest.raises(InputRefused, match=r'"targetId=8" leads by a link to "targetId=7"'):
            read(tmp_path / "targetId=8" / "a.csv")
