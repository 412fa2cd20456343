"""Pages of rows, of what any kind of ledger keeps of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

import orjson

from bulk_unenroll.ledger.cells import unpack
from bulk_unenroll.ledger.facts import ResultPage, ResultRow
from bulk_unenroll.ledger.named import Row
from bulk_unenroll.ledger.places import source_of

SHOWN: Final = ResultRow._fields[: ResultRow._fields.index("cells")]
"""What the statements for rows have, in this order, and the place after it."""
PAGE_ROWS: Final = 10_000
_PLACE: Final = itemgetter(-1)


def in_order(found: list[Row], others: list[Row]) -> list[Row]:
    """First rows and other rows of a chunk, in the order of their places."""
    return sorted(found + others, key=_PLACE) if others else found


def page_of(found: Sequence[Row], cells: Sequence[Sequence[Any]], first: int) -> ResultPage:
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


def cells_of(packed: bytes, ragged: Iterable[tuple[int, str]], first: int) -> list[Sequence[Any]]:
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
