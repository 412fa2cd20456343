"""Reading by columns gives the same as reading row by row, whatever the file contains."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.columns import Table, table_batch
from bulk_unenroll.inputs.formats import csv_reader, parquet_reader, text
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.formats.parquet_reader import ParquetRecords
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.ledger.batch import Batch, staged_batch, staged_row
from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.model import MAX_ID, Enrollment, Record

Row = tuple[int, int | None, object, object]
"""Number, line, enrollment or why the row is invalid, cells."""
CONSTANT = ReadSettings(target_group_id=1, target_id=2)
Make = Callable[[], CsvRecords | ParquetRecords]

IDS = st.one_of(
    st.integers(1, 40).map(str),
    st.sampled_from(["999999999999999999", "1000000000000000000", str(MAX_ID), str(MAX_ID + 1)]),
    st.sampled_from(["0", "007", " 7", "7\t", "+7", "-7", "7.0", "7e2", "1_000", "", " ", "SELF"]),
    st.sampled_from(["٤٢", "４２", "²", "\u00a07", "7\u200b", "\ufeff7", "7\x1a", "7\x0b", "NULL"]),
    st.text("0123456789 +-._eE", max_size=21),
)
OTHER = st.one_of(
    st.sampled_from(["", "Zoë", "a b", "'", "NULL", "NA", "\x1a", "\x0b", "\x85", "\u2028", "\\"]),
    st.text(st.characters(codec="utf-8", exclude_characters='"\r\n\0'), max_size=5),
)
RARE = st.sampled_from(['"', '""', '"x,y"', "\0", "\r", "\n", "\n\n", ",", "\ufeff"])
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "\r\n\r\n", "\r"])
HEADERS = st.sampled_from(
    [
        ("customerId", "targetGroupId", "targetId"),
        ("name", "customerId", "targetGroupId", "targetId", "note"),
        ("targetId", "customerId", "unenroll_code", "targetGroupId", "unenroll_at"),
        ("orgId", "customerId", "targetGroupId", "targetId"),
        ("customerId",),
    ]
)


def reading_of(header: tuple[str, ...]) -> ReadSettings:
    return ReadSettings() if "targetId" in header else CONSTANT


@st.composite
def texts(draw: st.DrawFn) -> tuple[ReadSettings, bytes]:
    """A CSV file, sometimes with cells that a table cannot hold."""
    header = draw(HEADERS)
    delimiter = draw(st.sampled_from([",", ",", ";", "\t"]))
    end = draw(LINE_ENDS)
    lines = [delimiter.join(header)]
    for _ in range(draw(st.integers(0, 25))):
        cells = [draw(OTHER if name in ("name", "note") else IDS) for name in header]
        shape = draw(st.integers(0, 30))
        if shape == 0:
            cells.append(draw(OTHER))
        elif shape == 1:
            cells.pop()
        elif shape == 2:
            cells[draw(st.integers(0, len(cells) - 1))] += draw(RARE)
        elif shape == 3:
            cells = [""] * draw(st.integers(1, 6))
        elif shape == 4:
            cells = list(draw(st.sampled_from([*[header] * 9, header[::-1]])))
        lines.append(delimiter.join(cells))
    content = end.join(lines) + draw(st.sampled_from(["", end]))
    return reading_of(header), content.encode()


TYPES = st.sampled_from(
    [
        *(pa.int8(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64()),
        *(pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())),
        *(pa.decimal128(20, 0), pa.decimal128(20, 2)),
    ]
)
NUMBERS = st.one_of(
    st.integers(-2, 100), st.sampled_from([2**31, MAX_ID, MAX_ID + 1, 2**64 - 1, 10**18])
)


@st.composite
def parquets(draw: st.DrawFn) -> tuple[ReadSettings, bytes]:
    """A Parquet file with columns of any type that ids may have, and of others."""
    header = draw(HEADERS)
    number = draw(st.integers(0, 25))
    columns = [draw(columns_of(number)) for _ in header]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=list(header)), sink, row_group_size=10)
    return reading_of(header), sink.getvalue()


@st.composite
def columns_of(draw: st.DrawFn, number: int) -> pa.Array:
    kind = draw(TYPES)
    values = draw(st.lists(_values(kind) | st.none(), min_size=number, max_size=number))
    return pa.array(values, kind)


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_integer(kind):
        signed = pa.types.is_signed_integer(kind)
        most = 2 ** (kind.bit_width - signed) - 1
        return NUMBERS.filter(lambda n: (n >= 0 or signed) and n <= most)
    if pa.types.is_decimal(kind):
        return st.decimals(-3, 10**17, places=kind.scale)
    return IDS


def by_row(content: CsvRecords | ParquetRecords, reading: ReadSettings) -> Iterator[Row]:
    mapper = Mapper(content.header, reading)
    content.check(mapper)
    for record in content.records():
        found = mapper.enrollment(record)
        why = found if isinstance(found, Enrollment) else (found.code, found.message)
        yield record.row, record.line, why, _as_json(mapper.kept_cells(record))


def by_columns(content: CsvRecords | ParquetRecords, reading: ReadSettings) -> Iterator[Row]:
    mapper = Mapper(content.header, reading)
    content.check(mapper)
    for piece in content.pieces(mapper):
        yield from _rows(table_batch(piece, mapper) if isinstance(piece, Table) else
                         staged_batch([_staged(record, mapper) for record in piece]))  # fmt: skip


def _staged(record: Record, mapper: Mapper) -> Any:
    found = mapper.enrollment(record)
    return staged_row(record.row, found, mapper.kept_cells(record), record.line)


def _rows(batch: Batch) -> Iterator[Row]:
    cells = list(map(_as_json, unpack(batch.cells)))
    for row, kept in sorted(batch.ragged.items()):
        cells.insert(row - batch.first_row, orjson.loads(kept))
    found: dict[int, object] = {row: (code, message) for row, code, message in batch.invalid}
    keys = zip(batch.rows, batch.customers, batch.target_places, strict=True)
    for row, customer, number in keys:
        found[batch.first_row + int(row)] = Enrollment(int(customer), batch.targets[number])
    assert len(found) == len(cells) == batch.row_count
    line: int | None = None
    for row, kept_cells in enumerate(cells, batch.first_row):
        line = batch.lines.get(row, None if line is None else line + 1)
        yield row, line, found[row], kept_cells


def _as_json(cells: Any) -> object:
    return orjson.loads(orjson.dumps(list(cells), default=str))


def outcome(read: Callable[..., Iterator[Row]], make: Make, reading: ReadSettings) -> object:
    """The rows, or the refusal."""
    try:
        return list(read(make(), reading))
    except InputRefused as refused:
        return str(refused)


def check(make: Make, reading: ReadSettings) -> None:
    assert outcome(by_columns, make, reading) == outcome(by_row, make, reading)


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Read small texts by columns too, and in small chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "TABLE_FROM_CHARS", 0)
        patch.setattr(text, "BLOCK_BYTES", 97)
        yield


def check_text(drawn: tuple[ReadSettings, bytes]) -> None:
    reading, content = drawn
    check(lambda: CsvRecords(io.BytesIO(content), "a.csv", reading), reading)


def check_parquet(drawn: tuple[ReadSettings, bytes]) -> None:
    reading, content = drawn
    check(lambda: ParquetRecords(io.BytesIO(content)), reading)


class TestSameByColumns:
    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    @given(texts())
    def test_text(self, drawn: tuple[ReadSettings, bytes]) -> None:
        check_text(drawn)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(parquets())
    def test_parquet(self, drawn: tuple[ReadSettings, bytes]) -> None:
        check_parquet(drawn)

    def test_plain_text_is_read_by_columns(self) -> None:
        content = b"customerId\n" + b"7\n" * 100
        records = CsvRecords(io.BytesIO(content), "a.csv", CONSTANT)
        mapper = Mapper(records.header, CONSTANT)
        pieces = list(records.pieces(mapper))
        assert pieces
        assert all(isinstance(piece, Table) for piece in pieces)


def _ends_anywhere(chunk: str) -> str | None:
    return chunk.replace("\r", "\n").replace("\n\n", "\n").removeprefix("\n") or None


# an ArrowInvalid is a ValueError
DETECTED = (AssertionError, LookupError, TypeError, ValueError, pa.ArrowException)


class TestControls:
    """These tests detect a reader by columns with a broken rule."""

    @pytest.mark.parametrize(
        ("module", "name", "broken"),
        [
            ("columns", "PLAIN_ID", "^[0-9]{1,18}$"),
            ("columns", "PLAIN_ID", "^[1-9][0-9]{0,18}$"),
            ("formats.csv_columns", "_plain", _ends_anywhere),
            ("formats.csv_columns", "_cells", lambda line, delimiter: line.split(delimiter)[:1]),
        ],
    )
    @pytest.mark.thorough
    def test_a_broken_rule_for_text(
        self, monkeypatch: pytest.MonkeyPatch, module: str, name: str, broken: Any
    ) -> None:
        monkeypatch.setattr(f"bulk_unenroll.inputs.{module}.{name}", broken)
        search = settings(max_examples=5000, phases=(Phase.generate,))
        with pytest.raises(DETECTED):
            search(given(texts())(check_text))()

    def test_a_broken_rule_for_parquet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet_reader, "_reads_as_table", lambda _: True)
        search = settings(max_examples=500, phases=(Phase.generate,))
        with pytest.raises(DETECTED):
            search(given(parquets())(check_parquet))()
