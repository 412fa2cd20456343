"""Refuses a workbook that would take too much memory, before it is opened. Memory stays small here.

The library that reads workbooks keeps every text and every cell, and an area as large as the rows
and columns that cells name, also where it is empty. A few kilobytes of a harmful file can ask for
terabytes. So each part is unpacked once, block by block: what the directory of the archive says
about its size is not believed.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from bulk_unenroll.errors import InputRefused

UNPACKED_BYTES: Final = 10**9
TIMES_PACKED: Final = 200
MEMORY_BYTES: Final = 7 * 10**8
BLOCK_BYTES: Final = 1 << 20
TAG_BYTES: Final = 32
"""A cell has two tags, as has a shared text; they take up to 100 bytes with what is in them."""
EMPTY_BYTES: Final = 32
"""What a cell of the area takes that is not in the file."""

_LOCAL_HEADER: Final = struct.Struct("<26xHH")
_ENCRYPTED: Final = 1
_OTHER_KINDS: Final = ("content.xml", "workbook.bin")
"""Parts by which the library takes a file for a workbook of another kind."""
_PLACE: Final = re.compile(rb"""r\s*=\s*["']([A-Za-z]*)(\d+)""")
"""The attribute of a row, such as 12, or of a cell, such as AB12."""
_CELL_WITHOUT: Final = re.compile(rb"<(?:[^\s<>/:]+:)?c(?:[/>]|\s+(?!r\s*=))")
_ROW_WITHOUT: Final = re.compile(rb"<(?:[^\s<>/:]+:)?row(?:[/>]|\s+(?!r\s*=))")
_ROW: Final = re.compile(rb"<(?:[^\s<>/:]+:)?row[\s/>]")
_LONG_TAG_BYTES: Final = 1 << 16
_PLACE_BYTES: Final = 64


def check_workbook(handle: BinaryIO) -> None:
    """Raise ``InputRefused`` (65) if a workbook must not be opened, or is no ZIP archive."""
    packed_bytes = handle.seek(0, 2)
    most_bytes = min(UNPACKED_BYTES, TIMES_PACKED * packed_bytes)
    unpacked_bytes, memory_bytes = 0, packed_bytes
    for part in _parts(handle):
        content = _Content()
        for block in _blocks(handle, part):
            unpacked_bytes += len(block)
            if unpacked_bytes > most_bytes:
                raise _too_large(f"unpacks to more than {most_bytes:,} bytes")
            content.add(block)
            if memory_bytes + content.memory_bytes > MEMORY_BYTES:
                raise _too_large("needs too much memory")
        memory_bytes += content.memory_bytes


class _Content:
    """The most that reading a part takes, whether it is a sheet or not."""

    def __init__(self) -> None:
        self._bytes = self._tags = 0
        self._rows = self._columns = 0
        self._rows_without = self._cells_without = self._most_cells_without = 0
        self._tail = b""

    @property
    def memory_bytes(self) -> int:
        """The memory that what was added so far will take."""
        rows = self._rows + self._rows_without
        area = rows * (self._columns + self._most_cells_without)
        empty = max(0, area - self._tags // 2)
        return self._bytes + TAG_BYTES * self._tags + EMPTY_BYTES * empty

    def add(self, block: bytes) -> None:
        """Add the next bytes; nothing at the end."""
        self._bytes += len(block)
        text = self._tail + block
        begin = text.rfind(b"<") if block else len(text)
        if len(text) - begin > _LONG_TAG_BYTES:  # most of it is blank, or is no tag
            begin = len(text)
            self._tail = b" ".join(text.split())[-_PLACE_BYTES:].replace(b"<", b"")
        else:
            self._tail = text[begin:]
        self._look_at(text[:begin])

    def _look_at(self, text: bytes) -> None:
        self._tags += text.count(b"<") - text.count(b"</")
        places = _PLACE.findall(text)
        self._rows = max(self._rows, *map(int, {row for _, row in places}), 0)
        self._columns = max(self._columns, *map(_number, {column for column, _ in places}), 0)
        if not _is_usual(text):
            self._rows_without += len(_ROW_WITHOUT.findall(text))
            self._count_cells_without(text)

    def _count_cells_without(self, text: bytes) -> None:
        """Cells without a place come after each other in their row."""
        first, *others = (len(_CELL_WITHOUT.findall(row)) for row in _ROW.split(text))
        counts = [self._cells_without + first, *others]
        self._most_cells_without = max(self._most_cells_without, *counts)
        self._cells_without = counts[-1]


def _is_usual(text: bytes) -> bool:
    """Whether every row and cell has its place at once, as spreadsheets write it: quick to see."""
    return (
        text.count(b"<c") == text.count(b"<c r=")
        and text.count(b"<row") == text.count(b"<row r=")
        and b":c" not in text
        and b":row" not in text
    )


def _number(column: bytes) -> int:
    """26 for Z, 27 for AA; 0 for nothing."""
    number = 0
    for letter in column.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


def _parts(handle: BinaryIO) -> list[ZipInfo]:
    try:
        with ZipFile(handle) as archive:
            parts = archive.infolist()
    except (BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise _unreadable(str(error)) from None
    for part in parts:
        if part.filename.lower().endswith(_OTHER_KINDS):
            raise _unreadable("it is of another kind than its name says")
        if part.flag_bits & _ENCRYPTED or part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise _unreadable("it is encrypted, or packed in an unusual way")
    return parts


def _blocks(handle: BinaryIO, part: ZipInfo) -> Iterator[bytes]:
    """The content of a part, of limited size each, and then nothing once."""
    handle.seek(part.header_offset)
    header = handle.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise _unreadable("it is cut short")
    handle.seek(sum(_LOCAL_HEADER.unpack(header)), 1)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    left = part.compress_size
    try:
        while left > 0 and (packed := handle.read(min(left, BLOCK_BYTES))):
            left -= len(packed)
            if part.compress_type == ZIP_STORED:
                yield packed
                continue
            while packed:
                yield unpacking.decompress(packed, BLOCK_BYTES)
                packed = unpacking.unconsumed_tail
    except zlib.error as error:
        raise _unreadable(str(error)) from None
    yield unpacking.flush()
    yield b""


def _unreadable(why: str) -> InputRefused:
    return InputRefused(f"not a readable workbook: {why}", "save it again")


def _too_large(why: str) -> InputRefused:
    return InputRefused(f"the workbook {why}", "save the sheet as CSV, and give that")
