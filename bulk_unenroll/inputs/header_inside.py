"""Knows a header that stands again among the rows: two exports were joined. Pure.

The rows after it may have their ids in other columns, and then the wrong customers would be called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bulk_unenroll.inputs.mapping import name_of, normalized

LONGEST_CHARS: Final = 200
"""A longer cell is no header."""
ENOUGH: Final = 2
"""Headers that a row must name, if none of them is a word of the API."""


class HeaderInside:
    """Compares rows that are no enrollments with ``header``; ``places`` as in ``Mapper``."""

    def __init__(self, header: Sequence[str], places: Mapping[str, int]) -> None:
        self._header = _words(header)
        self._known = set(self._header) - {""}
        self._ids = {normalized(header[place]) for place in places.values()}

    def is_header(self, cells: Sequence[object]) -> bool:
        """Whether ``cells`` name columns that hold ids, here or under the names of the API.

        Where only one word names an id, the row may still be one of values: then no other cell is a
        number, and the word is one of the API, or stands alone, or beside another header.
        """
        words = set(_words(cells)) - {""}
        named = {word for word in words if word in self._ids or name_of(word) is not None}
        if len(named) > 1 or not named:
            return bool(named)
        if any(word.isdigit() for word in words - self._known):
            return False
        is_of_the_api = any(name_of(word) is not None for word in named)
        return is_of_the_api or len(words) == 1 or len(words & self._known) >= ENOUGH

    def is_same(self, cells: Sequence[object]) -> bool:
        """Whether ``cells`` are the header of the file, but for case, spaces and such."""
        return _words(cells) == self._header


def _words(cells: Sequence[object]) -> list[str]:
    """The headers as they are compared, without empty ones at the end."""
    words = [_word(cell) for cell in cells]
    while words and not words[-1]:
        words.pop()
    return words


def _word(cell: object) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return str(cell)
    if len(cell) > LONGEST_CHARS:
        return cell
    # a BOM in front of a quote, where a file was joined to another, makes the quotes part of a cell
    return normalized(cell).strip('"')
