"""Input rows with what became of them and as they were, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

import orjson

from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.facts import ResultPage, ResultRow
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.places import end_of, source_of
from bulk_unenroll.ledger.statements import Row, StatementConnection

SHOWN: Final = ResultRow._fields[: ResultRow._fields.index("cells")]
"""What the statements for rows have, in this order, and the place after it."""
_PLACE: Final = itemgetter(-1)

Chosen = dict[str, list[str] | None]


def result_pages(
    connection: StatementConnection, sources: Iterable[int], selection: Selection
) -> Iterator[ResultPage]:
    """The selected rows of ``sources``, a chunk at a time."""
    chosen = chosen_by(selection)
    for source in sources:
        for first, end in _extents(connection, source):
            found = _rows(connection, first, end, chosen)
            if found:
                yield _page(connection, found, first, end)


def chosen_by(selection: Selection) -> Chosen:
    """The values of a statement that takes a selection; None takes all."""
    return {
        "states": _listed(selection.states),
        "codes": _listed(selection.codes),
        "targets": _listed(selection.targets),
    }


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _extents(connection: StatementConnection, source: int) -> list[tuple[int, int]]:
    """The first place of each chunk of a source, and the first one after it."""
    places = [place for (place,) in connection.fetch_all("chunks", source=source)]
    return list(pairwise([*places, end_of(source)]))


def _rows(connection: StatementConnection, first: int, end: int, chosen: Chosen) -> list[Row]:
    """The selected rows of a chunk, each with its place."""
    found = connection.fetch_all("result_rows", first=first, last=end - 1, **chosen)
    others = connection.fetch_all("other_result_rows", first=first, last=end - 1, **chosen)
    return _in_order(found, others)


def _page(connection: StatementConnection, found: list[Row], first: int, end: int) -> ResultPage:
    (packed,) = connection.fetch_one("chunk_cells", place=first)
    ragged = connection.fetch_all("ragged_cells", first=first, last=end - 1)
    try:
        return _page_of(found, _cells_of(packed, ragged, first), first)
    except ValueError as error:
        raise connection.damaged(str(error)) from None


def _in_order(found: list[Row], others: list[Row]) -> list[Row]:
    """First rows and other rows of a chunk, in the order of their places."""
    return sorted(found + others, key=_PLACE) if others else found


def _page_of(found: Sequence[Row], cells: Sequence[Sequence[Any]], first: int) -> ResultPage:
    """Rows of the chunk that begins at ``first``. Raises ``ValueError`` where cells are missing."""
    # column by column: zip(*found) would make an iterator for each row
    columns = {name: list(map(itemgetter(at), found)) for at, name in enumerate(SHOWN)}
    try:
        columns["cells"] = [cells[place - first] for place in map(_PLACE, found)]
    except IndexError:
        raise ValueError("cells of rows are missing") from None
    source = source_of(first)
    columns["source_id"] = [source] * len(found)
    return ResultPage(source, columns)


def _cells_of(packed: bytes, ragged: Iterable[tuple[int, str]], first: int) -> list[Sequence[Any]]:
    """The cells of the chunk that begins at ``first``; those ``ragged`` stand by their places.

    Raises ``ValueError`` where they cannot be read.
    """
    try:
        cells = unpack(packed)
        for place, kept in ragged:
            cells.insert(place - first, orjson.loads(kept))
    except ValueError:
        raise ValueError("cells of rows cannot be read") from None
    return cells
