"""What a reader of any format offers: records one by one, or many at a time as a piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table

    Piece: TypeAlias = Table | list[Record]

PIECE_ROWS: Final = 20_000
PIECE_CHARS: Final = 1 << 22


def grouped(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield the records in lists of limited size."""
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


def no_header_row() -> InputRefused:
    """The refusal of ``--header-row`` for a format that keeps the names of its columns apart."""
    return InputRefused("the file has no row with the header", "remove --header-row")


class Records(Protocol):
    """The content of a source. ``header`` is read at once; the records are streamed."""

    header: tuple[str, ...]

    @property
    def traits(self) -> Mapping[str, str]:
        """How it is read: ``delimiter`` and ``encoding`` of a text, ``sheet`` of a workbook."""

    @property
    def noticed(self) -> Mapping[str, object]:
        """What was noticed while the pieces were read, as in ``LedgerReader.noticed``."""

    @property
    def may_grow(self) -> bool:
        """Whether the pieces ended in a way in which a file ends that is still being written."""

    def header_at(self, number: int) -> tuple[str, ...]:
        """What the header would be with this ``--header-row``; raises ``InputRefused`` (65)."""

    def records(self) -> Iterator[Record]:
        """Yield every record, numbered from 1."""

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """Yield the same records, many at a time."""

    def check(self, mapper: Mapper) -> None:
        """Raise ``InputRefused`` (65) if the column of an id cannot hold ids."""


def changed() -> InputRefused:
    """The refusal of a file that changed while it was being read."""
    return InputRefused(
        "the file changed while it was being read", "run again when it no longer changes"
    )
