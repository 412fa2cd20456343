"""Parquet: types that hold ids and types that do not, damaged files, folders of parts."""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet as pq

from tests.proof.file_cases.case import (
    GROUP,
    SCOPE,
    TARGET,
    A,
    B,
    C,
    Case,
    Make,
    Refused,
    Rows,
    Words,
    table,
)

FILE: Final = "input.parquet"
MAGIC: Final = b"PAR1"
NAMES: Final = ("customerId", "targetGroupId", "targetId")
UNREADABLE: Final = Refused(("Parquet",))


def parquet(*customers: Any, kind: Any = None, **how: Any) -> bytes:
    """A file of these customers."""
    ids = pa.array(list(customers), kind or pa.int64())
    scope = ([GROUP] * len(ids), [TARGET] * len(ids))
    return written(pa.table([ids, *map(pa.array, scope)], names=NAMES), **how)


def written(content: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(content, out, **how)
    return out.getvalue()


def case(name: str, content: bytes, verdict: Rows | Refused, options: Words = ()) -> Case:
    return Case(f"Parquet, {name}", content, verdict, FILE, options)


# ── types ────────────────────────────────────────────────────────────────────────────────────────


def kinds_of_ids() -> Iterator[Case]:
    for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16()):
        yield case(f"{kind}", parquet(7, 100, kind=kind), Rows((7, 100)))
    big = 2**53 + 1
    for kind in (pa.int32(), pa.uint32()):
        yield case(f"{kind}", parquet(A, B, kind=kind), Rows((A, B)))
    for kind in (pa.int64(), pa.uint64()):
        yield case(f"{kind}", parquet(A, big, kind=kind), Rows((A, big)))
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        yield case(f"{kind}", parquet(str(A), str(big), kind=kind), Rows((A, big)))
    for kind in (pa.decimal128(20), pa.decimal128(38, 2), pa.decimal256(50, 3)):
        yield case(f"{kind}", parquet(Decimal(A), Decimal(big), kind=kind), Rows((A, big)))


def kinds_of_no_ids() -> Iterator[Case]:
    moment = datetime.datetime(2026, 1, 2)
    for kind, cell in (
        (pa.float32(), 7.0),
        (pa.float64(), float(A)),
        (pa.bool_(), True),
        (pa.timestamp("us"), moment),
        (pa.date32(), moment.date()),
        (pa.time64("us"), moment.time()),
        (pa.duration("s"), datetime.timedelta(1)),
        (pa.binary(), b"7"),
        (pa.binary(9), str(A).encode()),
        (pa.list_(pa.int64()), [A]),
        (pa.struct([("id", pa.int64())]), {"id": A}),
        (pa.map_(pa.string(), pa.int64()), [("id", A)]),
        (pa.dictionary(pa.int32(), pa.binary()), b"7"),
        (pa.null(), None),
    ):
        content = parquet(cell, kind=kind)
        yield case(f"ids as {kind}", content, Refused(("customerId", "int64")))
    groups = pa.table([pa.array([A]), pa.array([1001.0]), pa.array([TARGET])], names=NAMES)
    yield case("group as double", written(groups), Refused(("targetGroupId", "double")))


def cells_that_are_no_ids() -> Iterator[Case]:
    yield case(
        "integers",
        parquet(A, None, 0, -1, B, A),
        Rows(
            (A, B),
            {2: ("null", "customerId"), 3: ("zero", "customerId"), 4: ("sign", "customerId", "-1")},
            (6,),
        ),
    )
    above = {1: ("too_large", "9223372036854775808"), 2: ("too_large", "18446744073709551615")}
    yield case("above 2^63", parquet(2**63, 2**64 - 1, kind=pa.uint64()), Rows((), above))
    nulls = dict.fromkeys((1, 2), ("null", "customerId"))
    yield case("all null", parquet(None, None), Rows((), nulls))
    texts = parquet(f" {A}\t", "0042", "4.2E+08", "٤٢", None, "", "7\0", kind=pa.string())
    codes = ("leading_zero", "exponent", "other_digits", "null", "blank", "not_digits")
    reasons = {n: (code, "customerId") for n, code in enumerate(codes, 2)}
    yield case("texts", texts, Rows((A,), reasons))
    parts = [Decimal("7.00"), Decimal("7.50"), Decimal("-7"), Decimal(10) ** 30, None]
    damages = ("decimal_point", "sign", "too_large", "null")
    reasons = {n: (code, "customerId") for n, code in enumerate(damages, 2)}
    decimals = parquet(*parts, kind=pa.decimal128(38, 2))
    yield case("decimals", decimals, Rows((7,), reasons))


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def shapes() -> Iterator[Case]:
    columns = {"customerId": [A], "targetGroupId": [GROUP], "targetId": [TARGET]}
    empty = pa.table({name: pa.array([], pa.int64()) for name in NAMES})
    yield case("no rows", written(empty), Rows(()))
    out = io.BytesIO()
    pq.ParquetWriter(out, empty.schema).close()
    yield case("no row groups", out.getvalue(), Rows(()))
    groups = parquet(*range(1, 30), row_group_size=7)
    yield case("many row groups", groups, Rows(tuple(range(1, 30))))
    for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        yield case(f"packed with {codec}", parquet(A, B, compression=codec), Rows((A, B)))
    twice = pa.table([[A], [GROUP], [TARGET], [TARGET]], names=[*NAMES, "targetId"])
    yield case("id column twice", written(twice), Refused(("two columns", "targetId")))
    twice = pa.table([[A], [GROUP], [TARGET], ["x"], [7]], names=[*NAMES, "name", "name"])
    yield case("another column twice", written(twice), Rows((A,)))
    odd = {**columns, "list": [[1, None]], "unenroll_row": [9], "": [None], "f": [float("nan")]}
    job = ("--out", "job.unenroll")  # the folder whose results it is
    yield case("other columns of any type", written(pa.table(odd)), Rows((A,)), job)
    yield case("one column", written(pa.table({"user_id": [A]})), Rows((A,)), SCOPE)
    yield case("no id column", written(pa.table({"a": [A]})), Refused(("customerId", '"a"')))
    yield Case("Parquet named .csv", parquet(A), Rows((A,)), "input.csv")
    yield Case("CSV named .parquet", table(A), UNREADABLE, FILE)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def damaged() -> Iterator[Case]:
    whole = parquet(*range(1, 5004), write_page_checksum=True)
    footer = len(whole) - 8 - struct.unpack("<I", whole[-8:-4])[0]
    yield case("cut in the middle", whole[: len(whole) // 2], UNREADABLE)
    yield case("last byte missing", whole[:-1], UNREADABLE)
    yield case("magic only", MAGIC, UNREADABLE)
    yield case("two magics only", MAGIC * 2, UNREADABLE)
    yield case("another magic at the end", whole[:-4] + b"XXXX", UNREADABLE)
    yield case("encrypted footer", b"PARE" + whole[4:-4] + b"PARE", UNREADABLE)
    yield case("empty", b"", UNREADABLE)
    yield case(
        "footer of zeros", whole[:footer] + bytes(len(whole) - footer - 8) + whole[-8:], UNREADABLE
    )
    yield case("footer of 4 GB", whole[:-8] + b"\xff\xff\xff\xff" + MAGIC, UNREADABLE)
    page = bytearray(whole)
    page[footer // 2] ^= 1
    yield case("a bit in a page", bytes(page), UNREADABLE)
    for name, rows in (("a trillion", 10**12), ("more", 6000), ("fewer", 4000), ("negative", -1)):
        lying = claiming(whole, 5003, rows)
        yield case(f"row group claims {name} rows", lying, UNREADABLE)
    hidden = claiming(whole, 5003, 6000, groups=False)
    yield case("footer claims more rows than its groups", hidden, Refused(("6000", "5003")))


def claiming(whole: bytes, rows: int, claimed: int, *, groups: bool = True) -> bytes:
    """The file, its footer claiming other rows: in the last row group, or in all."""
    length = struct.unpack("<I", whole[-8:-4])[0]
    start = len(whole) - 8 - length
    footer, old, new = whole[start:-8], _field(rows), _field(claimed)
    at = footer.rindex(old) if groups else footer.index(old)
    footer = footer[:at] + new + footer[at + len(old) :]
    return whole[:start] + footer + struct.pack("<I", len(footer)) + MAGIC


def _field(number: int) -> bytes:
    """A 64-bit field that follows its neighbour, in Thrift's compact protocol."""
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray(b"\x16")
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes(encoded) + bytes([rest])


# ── folders ──────────────────────────────────────────────────────────────────────────────────────


def parts(**files: bytes) -> Make:
    """A folder of files, their names without their dots."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_bytes(content)

    return make


def beside(*files: tuple[str, bytes]) -> Make:
    """Files in the folder where the command is given."""

    def make(path: Path) -> None:
        for name, content in files:
            (path.parent / name).write_bytes(content)

    return make


def folders() -> Iterator[Case]:
    def folder(name: str, make: Make, verdict: Rows | Refused) -> Case:
        return Case(f"folder, {name}", make, verdict, "parts")

    yield folder("two parts", parts(a_parquet=parquet(A), b_parquet=parquet(B)), Rows((A, B)))
    corrupt = parts(a_parquet=parquet(A), b_parquet=parquet(B)[:-1])
    yield folder("one part corrupt", corrupt, Refused(("parts/b.parquet",), planned=(A,)))
    other = parts(a_parquet=parquet(A), notes_csv=table(B), _SUCCESS=b"", c_crc=b"x")
    yield folder("other files in the folder", other, Rows((A,)))
    yield folder("empty", parts(), Refused(("Parquet", "parts"), 66))
    yield folder("CSV only", parts(a_csv=table(A)), Refused(("Parquet", "parts"), 66))
    kinds = parts(a_parquet=parquet(A), b_parquet=parquet(str(B), kind=pa.string()))
    yield folder("parts of two types", kinds, Rows((A, B)))
    strange = parts(a_parquet=parquet(A), b_parquet=written(pa.table({"x": [1]})))
    yield folder(
        "a part without ids", strange, Refused(("parts/b.parquet", "customerId"), planned=(A,))
    )
    many = beside(("p1.parquet", parquet(A)), ("p2.csv", table(B)), ("q.csv", table(C)))
    yield Case("glob of two", many, Rows((A, B)), "p*")
    yield Case("glob of none", many, Refused(("r*",), 66), "r*")
    bad = beside(("p1.csv", table(A)), ("p2.csv", table(B) + b'"'))
    yield Case("glob, one refused", bad, Refused(("p2.csv", "row 2"), planned=(A,)), "p*.csv")


CASES: Final = (
    *kinds_of_ids(),
    *kinds_of_no_ids(),
    *cells_that_are_no_ids(),
    *shapes(),
    *damaged(),
    *folders(),
)
