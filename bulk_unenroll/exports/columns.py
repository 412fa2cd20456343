"""The columns of result files: those of the input, and those that are added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from bulk_unenroll.ledger.facts import ResultRow, Source

RAGGED: Final = frozenset({"missing_fields", "extra_fields"})
ADDED: Final = (
    "unenroll_source",
    "unenroll_row",
    "unenroll_status",
    "unenroll_code",
    "unenroll_message",
    "unenroll_http_status",
    "unenroll_attempts",
    "unenroll_at",
    "unenroll_request_id",
)

added: Final = attrgetter(
    "source",
    "row",
    "status",
    "code",
    "message",
    "http_status",
    "attempts",
    "updated_at",
    "request_id",
)
"""A row's cells under ``ADDED``."""

SHOWN: Final = ResultRow._fields[: ResultRow._fields.index("request_id")]
"""The columns of the view ``results``, with which a row begins."""


class Columns:
    """The columns of the input; for several inputs, their union in order of appearance."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.names: list[str] = []
        self._places: dict[int, list[int]] = {}
        self._headers: dict[int, list[str]] = {}
        known: dict[tuple[str, int], int] = {}
        for source in sources:
            self._add(source, known)
        self._all = list(range(len(self.names)))

    def _add(self, source: Source, known: dict[tuple[str, int], int]) -> None:
        seen: dict[str, int] = {}
        places = []
        for name in source.header:
            seen[name] = seen.get(name, 0) + 1  # a header may repeat a name
            key = (name, seen[name])
            if key not in known:
                known[key] = len(self.names)
                self.names.append(name)
            places.append(known[key])
        self._places[source.id] = places
        self._headers[source.id] = _distinct(source.header)

    def cells(self, row: ResultRow) -> Sequence[object]:
        """The row's own cells under ``names``.

        A ragged row is written whole into the first column: spread over the columns it might pass
        for a good row when the file is read again.
        """
        cells: Sequence[object] = row.cells
        places = self._places[row.source_id]
        if len(cells) != len(places) or (row.status == "invalid" and row.code in RAGGED):
            cells = [f"{','.join(map(as_text, cells))} ({row.code})"]
        elif places == self._all:
            return cells
        out: list[object] = [""] * len(self.names)
        for place, cell in zip(places, cells, strict=False):
            out[place] = cell
        return out

    def named(self, row: ResultRow) -> dict[str, Any]:
        """The row as it was, by column name; cells beyond the header count from ``extra_1``."""
        header = self._headers[row.source_id]
        cells = row.cells
        if len(cells) > len(header):
            beyond = len(cells) - len(header)
            header = _distinct([*header, *(f"extra_{n}" for n in range(1, beyond + 1))])
        return dict(zip(header, cells, strict=False))


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, with a number added to each repeated one: ``note``, ``note_2``."""
    distinct: list[str] = []
    for name in names:
        again = 1
        shown = name
        while shown in distinct:
            again += 1
            shown = f"{name}_{again}"
        distinct.append(shown)
    return distinct


def as_text(cell: object) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else str(cell)
