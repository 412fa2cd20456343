"""Finds the sheets of a workbook in its archive, for what the library that reads it does not tell.

ECMA-376, part 1: ``sheet`` (18.2.19) and its relationship; ``dimension`` (18.3.1.35).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from posixpath import join, normpath
from typing import BinaryIO, Final
from zipfile import ZipFile

HEAD_BYTES: Final = 1 << 14
"""The area of a sheet stands before its first row, among the first tags."""
_TAG: Final = re.compile(
    r"<(?:[\w.-]+:)?(\w+)((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>"
)
_ATTRIBUTE: Final = re.compile(r"([\w.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_AREA: Final = re.compile(rb"""<(?:[\w.-]+:)?dimension\s+ref\s*=\s*["'][A-Z]+\d+:[A-Z]+(\d+)["']""")


def parts_of(archive: ZipFile) -> dict[str, str]:
    """The name of the part that holds each sheet, for those that can be found."""
    known = set(archive.namelist())
    relations = {
        tag["Id"]: tag["Target"]
        for tag in _tags(archive, "xl/_rels/workbook.xml.rels", "Relationship")
        if {"Id", "Target"} <= tag.keys()
    }
    parts = {
        tag["name"]: _place(relations.get(tag.get("id", ""), ""))
        for tag in _tags(archive, "xl/workbook.xml", "sheet")
        if "name" in tag
    }
    return {sheet: part for sheet, part in parts.items() if part in known}


def last_rows(handle: BinaryIO) -> dict[str, int]:
    """The number of the last row of each sheet of a workbook that was checked, as it says itself.

    Reads the head of each sheet alone. Not every program writes it, so sheets may be missing.
    """
    found = {}
    with ZipFile(handle) as archive:
        for sheet, part in parts_of(archive).items():
            with archive.open(part) as content:
                area = _AREA.search(content.read(HEAD_BYTES))
            if area:
                found[sheet] = int(area[1])
    return found


def _place(target: str) -> str:
    return target[1:] if target.startswith("/") else normpath(join("xl", target))


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
