"""Input rows on their way into the ledger, many at a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bulk_unenroll.model import Enrollment, Invalid, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = list[int] | NDArray[np.int64]


class InvalidRow(NamedTuple):
    """A row without a customer/target, and why."""

    row: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StagedRow:
    """One input row on its way in: an enrollment, or why there is none. ``cells`` is JSON.

    ``line`` as in ``Record``.
    """

    row: int
    enrollment: Enrollment | None
    code: str | None
    message: str | None
    cells: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """``row_count`` rows of a source that follow each other, from ``first_row`` on.

    ``rows``, ``customers`` and ``target_places`` hold, one for one, the rows that have an
    enrollment: the row's number less ``first_row``, its customer, its target's place in
    ``targets``; the other rows are ``invalid``. ``cells`` are the rows as they were, packed by the
    module ``cells``, but for the ``ragged`` ones, as JSON, by row. ``lines`` are the lines in which
    rows begin, as in ``Record``, by row: that of the first row, and wherever a row is not in the
    line after that of the row before.
    """

    first_row: int
    row_count: int
    rows: Numbers
    customers: Numbers
    target_places: Numbers
    targets: Sequence[Target]
    invalid: Sequence[InvalidRow]
    cells: bytes
    ragged: dict[int, str] = field(default_factory=dict)
    lines: Mapping[int, int] = field(default_factory=dict)


def refuse(batch: Batch, rows: Sequence[InvalidRow]) -> Batch:
    """``batch`` with some of its rows that have an enrollment as invalid ones."""
    if not rows:
        return batch
    import numpy as np

    found = np.asarray(batch.rows)
    kept = ~np.isin(found, [row.row - batch.first_row for row in rows])
    return replace(
        batch,
        rows=found[kept],
        customers=np.asarray(batch.customers)[kept],
        target_places=np.asarray(batch.target_places)[kept],
        invalid=[*batch.invalid, *rows],
    )


def staged_batch(staged: Sequence[StagedRow]) -> Batch:
    """A batch of rows that were read one by one."""
    first = staged[0].row
    targets: dict[Target, int] = {}
    rows, customers, target_places, invalid = [], [], [], []
    for row in staged:
        if row.enrollment is None:
            invalid.append(InvalidRow(row.row, row.code or "", row.message or ""))
            continue
        rows.append(row.row - first)
        customer, target = row.enrollment
        customers.append(customer)
        target_places.append(targets.setdefault(target, len(targets)))
    cells = f"[{','.join(row.cells for row in staged)}]".encode()
    return Batch(
        first,
        len(staged),
        rows,
        customers,
        target_places,
        list(targets),
        invalid,
        cells,
        lines=_lines(staged),
    )


def _lines(staged: Sequence[StagedRow]) -> dict[int, int]:
    lines: dict[int, int] = {}
    ahead: int | None = None
    for row in staged:
        if row.line is not None and row.line - row.row != ahead:
            ahead = row.line - row.row
            lines[row.row] = row.line
    return lines


def staged_row(
    row: int, found: Enrollment | Invalid, cells: Sequence[object], line: int | None = None
) -> StagedRow:
    """A row as it was read, with what was found in it."""
    kept = orjson.dumps(cells, default=str).decode()
    if isinstance(found, Invalid):
        return StagedRow(row, None, found.code, found.message, kept, line)
    return StagedRow(row, found, None, None, kept, line)
