"""What a file of results says became of its rows: looked at when it is an input again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bulk_unenroll.inputs.mapping import STATUS_COLUMN
from bulk_unenroll.ledger.batch import Batch, InvalidRow, refuse
from bulk_unenroll.model import State

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

TO_DECIDE: Final = frozenset({State.REVIEW.value, State.IN_DOUBT.value})
UNDECIDED: Final = "undecided"


class OwnStatus:
    """Follows the status column of an input, if it has one; pieces come with their batches.

    ``at_home``: the run folder has a past, so its ledger knows who was called. In a new one a row
    whose call was left to a person is invalid, for nothing else would keep it from being made.
    """

    def __init__(self, header: Sequence[str], *, at_home: bool) -> None:
        self._place = header.index(STATUS_COLUMN) if STATUS_COLUMN in header else None
        self._at_home = at_home
        self.done = 0
        """Valid rows whose status is ``succeeded``."""

    def decide(self, piece: Piece, batch: Batch) -> Batch:
        """``batch`` without the rows that are for a person to decide."""
        if self._place is None:
            return batch
        statuses = dict(_statuses(piece, self._place))
        undecided: list[InvalidRow] = []
        for place in batch.rows:
            row = int(place) + batch.first_row
            status = statuses.get(row)
            self.done += status == State.SUCCEEDED
            if status in TO_DECIDE and not self._at_home:
                undecided.append(InvalidRow(row, UNDECIDED, f"{STATUS_COLUMN} is {status}"))
        return refuse(batch, undecided)


def _statuses(piece: Piece, place: int) -> Iterator[tuple[int, object]]:
    """The status of each row that has one."""
    if isinstance(piece, list):
        for record in piece:
            if place < len(record.cells):
                yield record.row, record.cells[place]
        return
    ragged = {record.row for record in piece.ragged}
    rows = (row for row in range(piece.first_row, piece.last_row + 1) if row not in ragged)
    yield from zip(rows, piece.columns[place].to_pylist(), strict=True)
