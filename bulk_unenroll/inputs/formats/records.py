"""Records on their way from a file, many at a time: a table, or a list where each is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table

    Piece = Table | list[Record]

PIECE_ROWS: Final = 20_000
PIECE_CHARS: Final = 1 << 22


def grouped(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Records in lists of limited size."""
    piece: list[Record] = []
    chars = 0
    for record in records:
        piece.append(record)
        chars += sum(len(cell) for cell in record.cells if isinstance(cell, str))
        if len(piece) == PIECE_ROWS or chars >= PIECE_CHARS:
            yield piece
            piece, chars = [], 0
    if piece:
        yield piece


class Records(Protocol):
    """The content of a source. ``header`` is known at once; ``records`` streams."""

    header: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """Every record, numbered from 1."""

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """The same records, many at a time."""

    def check(self, mapper: Mapper) -> None:
        """Raise ``InputRefused`` where a whole column cannot hold ids."""
