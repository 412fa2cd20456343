"""Counts the rows of a sheet that a filter hides. The library that reads workbooks does not tell.

ECMA-376, part 1: ``hidden`` of ``row`` (18.3.1.73), ``sheet`` (18.2.19) and its relationship.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from posixpath import join, normpath
from typing import IO, BinaryIO, Final
from zipfile import ZipFile

BLOCK_BYTES: Final = 1 << 20
_TAG: Final = re.compile(
    r"<(?:[\w.-]+:)?(\w+)((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>"
)
_ATTRIBUTE: Final = re.compile(r"([\w.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ROW: Final = re.compile(rb"<(?:[\w.-]+:)?row\s[^>]*>")
_HIDDEN: Final = re.compile(rb"""\shidden\s*=\s*["'](?:1|true)["']""")
_NUMBER: Final = re.compile(rb"""\sr\s*=\s*["'](\d+)["']""")


def count_hidden_rows(handle: BinaryIO, sheet: str, header_row: int) -> int:
    """How many rows after the header are hidden in a sheet of a workbook that was checked."""
    with ZipFile(handle) as archive:
        part = _part_of(archive, sheet)
        if part not in archive.namelist():
            return 0
        with archive.open(part) as content:
            return sum(
                number is None or int(number[1]) > header_row
                for number in map(_NUMBER.search, _hidden_tags(content))
            )


def _part_of(archive: ZipFile, sheet: str) -> str:
    """The name of the part that holds a sheet; "" if it is not to be found."""
    relations = {
        tag["Id"]: tag["Target"]
        for tag in _tags(archive, "xl/_rels/workbook.xml.rels", "Relationship")
        if {"Id", "Target"} <= tag.keys()
    }
    for tag in _tags(archive, "xl/workbook.xml", "sheet"):
        target = relations.get(tag.get("id", ""), "")
        if tag.get("name") == sheet and target:
            return target[1:] if target.startswith("/") else normpath(join("xl", target))
    return ""


def _tags(archive: ZipFile, part: str, name: str) -> Iterator[dict[str, str]]:
    """The attributes of each tag of this name, without their prefixes."""
    if part not in archive.namelist():
        return
    text = archive.read(part).decode("utf-8", "replace")
    for found, attributes in _TAG.findall(text):
        if found == name:
            yield {
                key: unescape(double or single)
                for key, double, single in _ATTRIBUTE.findall(attributes)
            }


def _hidden_tags(content: IO[bytes]) -> Iterator[bytes]:
    tail = b""
    while block := content.read(BLOCK_BYTES):
        text = tail + block
        end = text.rfind(b"<")
        tail = text[end:] if end >= 0 else b""
        yield from filter(_HIDDEN.search, _ROW.findall(text[: max(end, 0)]))
