"""The columns of result files: the input's own, and those that are added."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import orjson

from bulk_unenroll.ledger.sqlite.reader import Row, ask

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


_added: Final = itemgetter(0, 1, *range(6, 13))
"""A row's cells under ``ADDED``."""


SHOWN: Final = (
    "source",
    "row",
    "org_id",
    "target_group_id",
    "target_id",
    "customer_id",
    "status",
    "code",
    "message",
    "http_status",
    "attempts",
    "updated_at",
)
"""A row's first cells, as the view ``results`` has them."""


class Columns:
    """The input's own columns: of several inputs the union in order of appearance."""

    def __init__(self, connection: sqlite3.Connection, sources: Sequence[int] | None) -> None:
        self.names: list[str] = []
        self._places: dict[int, list[int]] = {}
        self._headers: dict[int, list[str]] = {}
        known: dict[tuple[str, int], int] = {}
        for source, header in ask(connection, "headers"):
            if sources is None or source in sources:
                self._add(source, orjson.loads(header), known)
        self._all = list(range(len(self.names)))

    def _add(self, source: int, header: list[str], known: dict[tuple[str, int], int]) -> None:
        seen: dict[str, int] = {}
        places = []
        for name in header:
            seen[name] = seen.get(name, 0) + 1  # a header may stand twice
            key = (name, seen[name])
            if key not in known:
                known[key] = len(self.names)
                self.names.append(name)
            places.append(known[key])
        self._places[source] = places
        self._headers[source] = _distinct(header)

    def cells(self, row: Row) -> Sequence[object]:
        """The row's own cells under ``names``.

        A ragged row stands whole in the first column: spread over the columns it might pass for a
        good row when the file is read again.
        """
        cells: Sequence[object] = row[13]
        places = self._places[row[14]]
        if len(cells) != len(places) or (row[6] == "invalid" and row[7] in RAGGED):
            cells = [f"{','.join(map(_text, cells))} ({row[7]})"]
        elif places == self._all:
            return cells
        out: list[object] = [""] * len(self.names)
        for place, cell in zip(places, cells, strict=False):
            out[place] = cell
        return out

    def named(self, row: Row) -> dict[str, Any]:
        """The row as it was, by column name; cells beyond the header count from ``extra_1``."""
        header = self._headers[row[14]]
        cells = row[13]
        if len(cells) > len(header):
            beyond = len(cells) - len(header)
            header = _distinct([*header, *(f"extra_{n}" for n in range(1, beyond + 1))])
        return dict(zip(header, cells, strict=False))


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, where one that stands again gets a number: ``note``, ``note_2``."""
    distinct: list[str] = []
    for name in names:
        again = 1
        shown = name
        while shown in distinct:
            again += 1
            shown = f"{name}_{again}"
        distinct.append(shown)
    return distinct


def _text(cell: object) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else str(cell)
