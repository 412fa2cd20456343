"""Records on their way to the ledger: a piece of an input as a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.ledger.batch import Batch, StagedRow, staged_batch, staged_row
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece


def batch_of(piece: Piece, mapper: Mapper) -> Batch:
    """The records of a piece as a batch for the ledger."""
    if isinstance(piece, list):
        return staged_batch([_stage(record, mapper) for record in piece])
    from bulk_unenroll.inputs.columns import table_batch  # pyarrow is slow to import

    return table_batch(piece, mapper)


def _stage(record: Record, mapper: Mapper) -> StagedRow:
    found = mapper.enrollment(record)
    return staged_row(record.row, found, mapper.kept_cells(record), record.line)
