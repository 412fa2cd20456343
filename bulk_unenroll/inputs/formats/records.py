"""Records on their way from a file, many at a time: a table, or a list where each is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

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
