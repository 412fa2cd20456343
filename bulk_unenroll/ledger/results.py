"""Input rows with what became of them and as they were, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from bulk_unenroll.ledger.facts import ResultPage
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.named import Asked, Row
from bulk_unenroll.ledger.paging import cells_of, in_order, page_of
from bulk_unenroll.ledger.places import end_of

Chosen = dict[str, list[str] | None]


def result_pages(
    connection: Asked, sources: Iterable[int], selection: Selection
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


def _extents(connection: Asked, source: int) -> list[tuple[int, int]]:
    """The first place of each chunk of a source, and the first one after it."""
    places = [place for (place,) in connection.fetch_all("chunks", source=source)]
    return list(pairwise([*places, end_of(source)]))


def _rows(connection: Asked, first: int, end: int, chosen: Chosen) -> list[Row]:
    """The selected rows of a chunk, each with its place."""
    found = connection.fetch_all("result_rows", first=first, last=end - 1, **chosen)
    others = connection.fetch_all("other_result_rows", first=first, last=end - 1, **chosen)
    return in_order(found, others)


def _page(connection: Asked, found: list[Row], first: int, end: int) -> ResultPage:
    (packed,) = connection.fetch_one("chunk_cells", place=first)
    ragged = connection.fetch_all("ragged_cells", first=first, last=end - 1)
    try:
        return page_of(found, cells_of(packed, ragged, first), first)
    except ValueError as error:
        raise connection.damaged(str(error)) from None
