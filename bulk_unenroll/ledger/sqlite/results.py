"""Input rows with what became of them and as they were, a chunk at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

import orjson

from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.facts import AttemptRow, ResultPage, ResultRow
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.sqlite.connection import Connection, Row
from bulk_unenroll.ledger.sqlite.failures import damaged
from bulk_unenroll.ledger.sqlite.places import end_of, source_of

SHOWN: Final = ResultRow._fields[: ResultRow._fields.index("cells")]
"""What the statements for rows have, in this order, and the place after it."""
_PLACE: Final = itemgetter(-1)
PAGE_ROWS: Final = 10_000


def result_pages(
    connection: Connection, sources: Iterable[int], selection: Selection
) -> Iterator[ResultPage]:
    """The selected rows of ``sources``, a chunk at a time."""
    chosen = _chosen(selection)
    for source in sources:
        for first, end in _extents(connection, source):
            found = _rows(connection, first, end, chosen)
            if found:
                yield _page(found, _cells(connection, first, end), first)


def attempt_pages(
    connection: Connection, sources: Sequence[int], selection: Selection
) -> Iterator[list[AttemptRow]]:
    """The attempts of the selected customers/targets of ``sources``, a page at a time."""
    chosen = {**_chosen(selection), "sources": json.dumps(list(sources))}
    after = 0
    while found := connection.fetch_all("attempt_rows", after=after, most=PAGE_ROWS, **chosen):
        after = found[-1][-1]
        yield [AttemptRow._make(row[:-1]) for row in found]
    if unanswered := connection.fetch_all("attempts_on_their_way", **chosen):
        yield [AttemptRow._make(row) for row in unanswered]


def _chosen(selection: Selection) -> dict[str, str | None]:
    return {
        "states": _listed(selection.states),
        "codes": _listed(selection.codes),
        "targets": _listed(selection.targets),
    }


def _listed(values: Sequence[str] | None) -> str | None:
    return None if values is None else json.dumps(list(values))


def _extents(connection: Connection, source: int) -> list[tuple[int, int]]:
    """The first place of each chunk of a source, and the first one after it."""
    places = [place for (place,) in connection.fetch_all("chunks", source=source)]
    return list(pairwise([*places, end_of(source)]))


def _rows(connection: Connection, first: int, end: int, chosen: dict[str, str | None]) -> list[Row]:
    """The selected rows of a chunk, each with its place."""
    found = connection.fetch_all("result_rows", first=first, last=end - 1, **chosen)
    others = connection.fetch_all("other_result_rows", first=first, last=end - 1, **chosen)
    return sorted(found + others, key=_PLACE) if others else found


def _page(found: list[Row], cells: list[Sequence[Any]], first: int) -> ResultPage:
    # column by column: zip(*found) would make an iterator for each row
    columns = {name: list(map(itemgetter(at), found)) for at, name in enumerate(SHOWN)}
    try:
        columns["cells"] = [cells[place - first] for place in map(_PLACE, found)]
    except IndexError:
        raise damaged("cells of rows are missing") from None
    source = source_of(first)
    columns["source_id"] = [source] * len(found)
    return ResultPage(source, columns)


def _cells(connection: Connection, first: int, end: int) -> list[Sequence[Any]]:
    (packed,) = connection.fetch_one("chunk_cells", place=first)
    try:
        cells = unpack(packed)
        for place, kept in connection.fetch_all("ragged_cells", first=first, last=end - 1):
            cells.insert(place - first, orjson.loads(kept))
    except ValueError:
        raise damaged("cells of rows cannot be read") from None
    return cells
