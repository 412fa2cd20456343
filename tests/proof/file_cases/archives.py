"""Packed files, whole and damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from tests.proof.file_cases.case import HEADER, ROW_A, ROW_B, A, B, Case, Refused, Rows, table

PLAIN: Final = (HEADER + ROW_A + ROW_B).encode()
BOTH: Final = Rows((A, B))
PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
NOT_DECOMPRESSED: Final = Refused(("cannot be decompressed",))


def of_each_kind() -> Iterator[Case]:
    for ending, pack in PACKERS.items():
        file = f"input.csv.{ending}"
        packed = pack(table(*range(1, 2000)))
        parts = pack(PLAIN[:40]) + pack(b"") + pack(PLAIN[40:])
        damaged = bytearray(pack(HEADER.encode()) + pack(ROW_A.encode()))
        damaged[len(pack(HEADER.encode())) + 1] ^= 1
        checksum = bytearray(packed)
        checksum[-6] ^= 1
        yield Case(f"{ending}", pack(PLAIN), BOTH, file)
        yield Case(f"{ending}, in parts", parts, BOTH, file)
        yield Case(f"{ending}, zeros after it", pack(PLAIN) + bytes(512), BOTH, file)
        yield Case(f"{ending}, UTF-16", pack(PLAIN.decode().encode("utf-16")), BOTH, file)
        yield Case(f"{ending}, named .csv", pack(PLAIN), BOTH)
        yield Case(
            f"{ending}, cut in the middle", packed[: len(packed) // 2], NOT_DECOMPRESSED, file
        )
        yield Case(f"{ending}, last byte missing", packed[:-1], NOT_DECOMPRESSED, file)
        yield Case(f"{ending}, wrong checksum", bytes(checksum), NOT_DECOMPRESSED, file)
        yield Case(f"{ending}, garbage after it", pack(PLAIN) + b"garbage", NOT_DECOMPRESSED, file)
        yield Case(f"{ending}, second part damaged", bytes(damaged), NOT_DECOMPRESSED, file)
        yield Case(f"{ending}, only its name", PLAIN, Refused(("not compressed",)), file)
        yield Case(f"{ending} of nothing", pack(b""), Refused(("empty", "header")), file)


def others() -> Iterator[Case]:
    twice = Refused(("compressed twice", "CSV"))
    yield Case("gz in gz", gzip.compress(gzip.compress(PLAIN)), twice, "input.csv.gz")
    yield Case("gz named .bz2", gzip.compress(PLAIN), BOTH, "input.csv.bz2")
    yield Case("empty file named .gz", b"", Refused(("not compressed",)), "input.csv.gz")
    for name, magic in (("workbook", b"PK\x03\x04"), ("old workbook", b"\xd0\xcf\x11\xe0")):
        yield Case(f"Excel {name}", magic + bytes(range(256)), Refused(("Excel", "CSV")))
    packed = gzip.compress(b"PAR1" + bytes(100))
    yield Case("packed Parquet", packed, Refused(("Parquet",)), "input.parquet.gz")
    greedy = Refused(("cannot be decompressed", "emory"))
    yield Case("xz that wants 4 GB of memory", _wanting_all(lzma.compress(PLAIN)), greedy)


def _wanting_all(packed: bytes) -> bytes:
    """The xz file with the largest dictionary there is. Its block header is 12 bytes at byte 12."""
    head = bytearray(packed[12:20])
    head[4] = 40
    return packed[:12] + bytes(head) + zlib.crc32(head).to_bytes(4, "little") + packed[24:]


CASES: Final = (*of_each_kind(), *others())
