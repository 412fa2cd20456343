"""Files of mutated records from dice, and a reader of their bytes that knows nothing of ours."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import random
import re
from csv import reader as read_csv  # the one that a control arm does not break
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from pyarrow import parquet as pq

NAMES: Final = ("customerId", "targetGroupId", "targetId", "name")
DELIMITERS: Final = (",", ",", ",", ";", "\t", "|")
ENCODINGS: Final = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")
LINE_ENDS: Final = ("\n", "\n", "\r\n", "\r")
CELL_BITS: Final = (
    *("1", "42", "305", "8", "61", "9", "2", "77", "", ""),
    *("0", "00", "7", "-", "+", "_", ".", ".0", ",", " ", "\t", "'", "E+08", "e5", "0x", "=", "€"),
    *("٤", "४", "４", "𝟒", "²", "④", "\u00a0", "\u200b", "\u200f", "\ufeff", "\u2212", "é", "\x1a"),
    *("9" * 10, "9" * 19, "9223372036854775807", "9223372036854775808", "18446744073709551617"),
)
FRAME_BITS: Final = ('"', '""', '"x"', "\n", "\r", "\r\n", "\0", ",", ";", "\t", "|", "\n\n")
PLAIN_NAMES: Final = ("Zoë", "", "a b", "x1y")
QUOTED_NAMES: Final = ('5" disk', "", '"q, ""r"""', '"two\nlines"', '""')
BYTES: Final = (b"\xff", b"\xc0\xb7", b"\x80", b"\xed\xa0\x80", b"\0", b'"', b"\n", b"1", b"")
MAX_ID: Final = 2**63 - 1
Key = tuple[int, int, int]
Cells = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Mutated:
    """A file: its name, its bytes, how many mutated records it has, and its text.

    ``text`` is None for Parquet and for what is no text any more. ``intact``: only records were
    mutated, neither the header nor single bytes.
    """

    name: str
    data: bytes
    records: int
    text: str | None
    delimiter: str
    intact: bool
    cells: tuple[Cells, ...] = ()


def mutated_file(dice: random.Random, records: int) -> Mutated:
    """One file, of ``records`` records of which each is mutated."""
    if dice.random() < 0.06:
        return _parquet(dice, records)
    delimiter, encoding, end = map(dice.choice, (DELIMITERS, ENCODINGS, LINE_ENDS))
    quoted = dice.random() < 0.3
    bits = CELL_BITS * 20 + FRAME_BITS if dice.random() < 0.3 else CELL_BITS
    lines = [delimiter.join(NAMES)]
    lines += [_mutate(_record(dice, delimiter, quoted), dice, bits) for _ in range(records)]
    data = "".join(line + end for line in lines).encode(encoding)
    intact = dice.random() < 0.8
    if not intact:
        data = _damage(data, dice)
    text = _text(data)
    if dice.random() < 0.1:
        return Mutated("a.csv.gz", gzip.compress(data, 1), records, text, delimiter, intact)
    return Mutated("a.csv", data, records, text, delimiter, intact)


def _record(dice: random.Random, delimiter: str, quoted: bool) -> str:
    customer = dice.randrange(1, 10 ** dice.choice((3, 9, 9, 12)))
    cells = [str(customer), str(dice.choice((1001, 1002))), "2001"]
    if quoted and dice.random() < 0.1:
        cells[dice.randrange(3)] = f'"{dice.choice(cells)}"'
    names = QUOTED_NAMES if quoted else PLAIN_NAMES
    return delimiter.join([*cells, dice.choice(names)])


def _mutate(text: str, dice: random.Random, bits: tuple[str, ...]) -> str:
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        # mostly where the customer id is
        at = min(int(dice.expovariate(0.08)), len(text))
        cut = dice.choice((0, 0, 1, 1, 2))
        text = text[:at] + dice.choice(bits) + text[at + cut :]
    return text


def _damage(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(changed))
        match dice.randrange(3):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at : at + dice.randint(0, 2)] = dice.choice(BYTES)
            case _:
                del changed[at : at + dice.choice((1, 7, 50))]
    return bytes(changed)


def _parquet(dice: random.Random, records: int) -> Mutated:
    rows: list[Cells] = []
    for _ in range(records):
        cells = _record(dice, "\0", quoted=False).split("\0")
        place = dice.randrange(3)
        mutated = _mutate(cells[place], dice, CELL_BITS + FRAME_BITS)
        cells[place] = mutated
        rows.append(tuple(None if dice.random() < 0.02 else cell for cell in cells))
    columns = [pa.array(list(column), pa.string()) for column in zip(*rows, strict=True)]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, names=NAMES), out, write_page_checksum=True)
    data, intact = bytearray(out.getvalue()), dice.random() < 0.5
    if not intact:
        data[dice.randrange(4, len(data) * 2 // 3)] ^= 1 << dice.randrange(8)
    return Mutated("a.parquet", bytes(data), records, None, "", intact, tuple(rows))


# ── the independent reader ───────────────────────────────────────────────────────────────────────


def _text(data: bytes) -> str | None:
    boms = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"))
    bom, encoding = next((found for found in boms if data.startswith(found[0])), (b"", "utf-8"))
    try:
        return data[len(bom) :].decode(encoding)
    except UnicodeError:
        return None


def is_id(text: str | None) -> bool:
    """Whether a cell is an id, by the letter of the promise."""
    digits = (text or "").strip(" \t")
    return re.fullmatch("[1-9][0-9]{0,18}", digits) is not None and int(digits) <= MAX_ID


def ids_that_stand_there(file: Mutated) -> set[int]:
    """Every id that is in the file in exactly these digits, whatever is around it."""
    if file.text is None:
        return {int(cell) for row in file.cells for cell in row if cell and is_id(cell)}
    words = re.split(r'[,;\t| "\r\n]', file.text)
    return {int(word) for word in words if is_id(word)}


def expected(file: Mutated) -> list[Key | None] | None:
    """Row by row its key, or None where it has none; None as a whole if it is not well-formed."""
    rows = list(file.cells)
    if file.text is not None:
        try:
            rows = _records(file)
        except csv.Error:
            return None
        if not rows or rows.pop(0) != NAMES:
            return None
    return [_key(cells) for cells in rows]


def ends_in_quotes(file: Mutated) -> bool:
    """Whether a quote never closes, and nothing else was wrong before it."""
    try:
        _records(file)
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _records(file: Mutated) -> list[Cells]:
    lines = io.StringIO(file.text or "", newline="")
    records = read_csv(lines, delimiter=file.delimiter or ",", strict=True)
    return [tuple(cells) for cells in records if any(cells)]


def _key(cells: Cells) -> Key | None:
    if len(cells) != len(NAMES) or not all(map(is_id, cells[:3])):
        return None
    if any("\0" in (cell or "") for cell in cells):
        return None
    customer, group, target = (int(cell or "") for cell in cells[:3])
    return group, target, customer
