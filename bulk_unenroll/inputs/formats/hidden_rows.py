"""Counts the rows of a sheet that a filter hides. The library that reads workbooks does not tell.

ECMA-376, part 1: ``hidden`` of ``row`` (18.3.1.73).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, BinaryIO, Final
from zipfile import ZipFile

from bulk_unenroll.inputs.formats.workbook_parts import parts_of

BLOCK_BYTES: Final = 1 << 20
_ROW: Final = re.compile(rb"<(?:[\w.-]+:)?row\s[^>]*>")
_HIDDEN: Final = re.compile(rb"""\shidden\s*=\s*["'](?:1|true)["']""")
_NUMBER: Final = re.compile(rb"""\sr\s*=\s*["'](\d+)["']""")


def count_hidden_rows(handle: BinaryIO, sheet: str, header_row: int) -> int:
    """How many rows after the header are hidden in a sheet of a workbook that was checked."""
    with ZipFile(handle) as archive:
        part = parts_of(archive).get(sheet)
        if part is None:
            return 0
        with archive.open(part) as content:
            return sum(
                number is None or int(number[1]) > header_row
                for number in map(_NUMBER.search, _hidden_tags(content))
            )


def _hidden_tags(content: IO[bytes]) -> Iterator[bytes]:
    tail = b""
    while block := content.read(BLOCK_BYTES):
        text = tail + block
        end = text.rfind(b"<")
        tail = text[end:] if end >= 0 else b""
        yield from filter(_HIDDEN.search, _ROW.findall(text[: max(end, 0)]))
