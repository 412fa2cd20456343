"""A place: an input row as one number, the source's id above and the row's number below."""

from __future__ import annotations

from typing import Final

PLACE_BITS: Final = 40
LAST_ROW: Final = (1 << PLACE_BITS) - 1


def place_of(source: int, row: int) -> int:
    """The place of a source's row."""
    return source << PLACE_BITS | row


def source_of(place: int) -> int:
    """The id of the source in which a place is."""
    return place >> PLACE_BITS


def end_of(source: int) -> int:
    """The first place after all places of a source."""
    return place_of(source, LAST_ROW) + 1
