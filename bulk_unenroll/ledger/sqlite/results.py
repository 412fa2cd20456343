"""Input rows with what became of them and as they were, a chunk at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

import orjson

from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.facts import ResultRow
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.sqlite.connection import Connection, Row
from bulk_unenroll.ledger.sqlite.failures import damaged
from bulk_unenroll.ledger.sqlite.places import end_of, source_of

_PLACE: Final = itemgetter(-1)


def result_pages(
    connection: Connection, sources: Iterable[int], selection: Selection
) -> Iterator[list[ResultRow]]:
    """The selected rows of ``sources``, a chunk at a time."""
    chosen = {"states": _listed(selection.states), "codes": _listed(selection.codes)}
    for source in sources:
        for first, end in _extents(connection, source):
            page = _page(connection, first, end, chosen)
            if page:
                yield page


def _listed(values: Sequence[str] | None) -> str | None:
    return None if values is None else json.dumps(list(values))


def _extents(connection: Connection, source: int) -> list[tuple[int, int]]:
    """The first place of each chunk of a source, and the first one after it."""
    places = [place for (place,) in connection.fetch_all("chunks", source=source)]
    return list(pairwise([*places, end_of(source)]))


def _page(
    connection: Connection, first: int, end: int, chosen: dict[str, str | None]
) -> list[ResultRow]:
    """The selected rows of a chunk."""
    found = connection.fetch_all("result_rows", first=first, last=end - 1, **chosen)
    others = connection.fetch_all("other_result_rows", first=first, last=end - 1, **chosen)
    if others:
        found = sorted(found + others, key=_PLACE)
    return _with_cells(found, _cells(connection, first, end), first) if found else []


def _with_cells(found: list[Row], cells: list[Sequence[Any]], first: int) -> list[ResultRow]:
    source, make = source_of(first), ResultRow._make
    try:
        # to add tuples takes half as long as to unpack them
        return [make(row[:-1] + (cells[row[-1] - first], source)) for row in found]  # noqa: RUF005
    except IndexError:
        raise damaged("cells of rows are missing") from None


def _cells(connection: Connection, first: int, end: int) -> list[Sequence[Any]]:
    (packed,) = connection.fetch_one("chunk_cells", place=first)
    try:
        cells = unpack(packed)
        for place, kept in connection.fetch_all("ragged_cells", first=first, last=end - 1):
            cells.insert(place - first, orjson.loads(kept))
    except ValueError:
        raise damaged("cells of rows cannot be read") from None
    return cells
