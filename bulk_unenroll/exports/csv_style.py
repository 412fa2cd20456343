"""How a CSV file is written: as the input was, so that a spreadsheet opens it in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CsvStyle:
    """The character between fields, the line end, and whether a BOM stands at the beginning."""

    delimiter: str = ","
    line_end: str = "\r\n"
    bom: bool = False


def style_of(noticed: Iterable[Mapping[str, Any]]) -> CsvStyle:
    """The style of the first text file among the inputs, or that of RFC 4180."""
    for facts in noticed:
        if "delimiter" in facts:
            # the csv module quotes a lone CR only where it ends lines with CRLF
            line_end = "\n" if facts.get("line_end") == "\n" else "\r\n"
            return CsvStyle(facts["delimiter"], line_end, bool(facts.get("bom")))
    return CsvStyle()
