"""Reads the ids of whole columns at once, by the same rule as ``ids``.

Only plain ids are read here. A record with anything else in an id column goes through
``Mapper.enrollment``, so that one place decides what is valid and why not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.ledger.batch import Batch, InvalidRow
from bulk_unenroll.ledger.cells import pack_columns
from bulk_unenroll.model import Invalid, Record, Target

PLAIN_ID: Final = "^[1-9][0-9]{0,17}$"
"""18 digits at most, so never above ``MAX_ID``."""

Numbers = NDArray[Any]

pa.set_memory_pool(pa.system_memory_pool())  # the default pool keeps far more memory than it uses


@dataclass(frozen=True, slots=True)
class Table:
    """Consecutive records, from ``first_row`` on.

    ``columns`` hold the cells of the records that are as wide as the header, in order. ``ragged``
    are the other records, and those with a flaw. ``lines`` has, by row, the line of the first
    record, and of each one that is not in the line after the record before.
    """

    first_row: int
    columns: Sequence[pa.Array]
    ragged: Sequence[Record] = ()
    lines: Mapping[int, int] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        """The number of records."""
        return len(self.columns[0]) + len(self.ragged)

    @property
    def last_row(self) -> int:
        """The row of the last record."""
        return self.first_row + self.row_count - 1

    def lines_of(self, rows: Numbers) -> Sequence[int | None]:
        """The lines in which the records of some rows begin, as in ``Record``."""
        if not self.lines:
            return [None] * len(rows)
        known = np.array(list(self.lines.items()), dtype=np.int64)
        at = np.searchsorted(known[:, 0], rows, side="right") - 1
        lines: list[int | None] = (known[at, 1] + rows - known[at, 0]).tolist()
        return lines


def table_batch(table: Table, mapper: Mapper) -> Batch:
    """Return the records of ``table`` as a batch for the ledger."""
    found = _Enrollments(table, mapper)
    ragged = {record.row: _json(mapper.kept_cells(record)) for record in table.ragged}
    return Batch(
        first_row=table.first_row,
        row_count=table.row_count,
        rows=found.rows,
        customers=found.customers,
        target_places=found.target_places,
        targets=list(found.targets),
        invalid=found.invalid,
        cells=pack_columns([table.columns[place] for place in mapper.own]),
        ragged=ragged,
        lines=table.lines,
    )


class _Enrollments:
    """The enrollments of a table; see ``Batch``."""

    def __init__(self, table: Table, mapper: Mapper) -> None:
        self._table = table
        self._mapper = mapper
        self.targets: dict[Target, int] = {}
        self.invalid: list[InvalidRow] = []
        self._rows = _rows_of(table)
        plain, customers = _plain_ids(table.columns[mapper.places["customerId"]])
        numbers = self._target_places(plain)
        plain &= numbers >= 0
        self.customers = customers
        self.target_places = numbers
        self._read_singly(plain)
        for record in table.ragged:
            one = mapper.enrollment(record)
            if not isinstance(one, Invalid):  # its cells would be lost
                raise TypeError(f"row {record.row} is ragged but valid")
            self._refuse(record.row, one)
        self.rows = self._rows[plain]
        self.customers = self.customers[plain]
        self.target_places = self.target_places[plain]

    def _target_places(self, plain: Numbers) -> Numbers:
        """For each row the place of its target, or -1 if the row must be read singly."""
        codes = self._target_codes()
        numbers = np.full(len(codes), -1, dtype=np.int64)
        distinct, first, inverse = _distinct(codes[plain])
        known = np.full(len(distinct), -1, dtype=np.int64)
        places = np.flatnonzero(plain)[first]
        for number, record in enumerate(self._records(places)):
            one = self._mapper.enrollment(record)
            if not isinstance(one, Invalid):
                known[number] = self._place_of(one.target)
        numbers[plain] = known[inverse]
        return numbers

    def _target_codes(self) -> Numbers:
        """A number for each row: equal for rows with equal cells in the columns of the target."""
        codes = np.zeros(len(self._table.columns[0]), dtype=np.int64)
        for name, place in self._mapper.places.items():
            if name != "customerId":
                column = self._table.columns[place]
                if not pa.types.is_dictionary(column.type):
                    column = column.dictionary_encode(null_encoding="encode")
                size = len(column.dictionary)
                codes = codes * size + column.indices.to_numpy(zero_copy_only=False)
                if size > 1 and codes.max(initial=0) > 1 << 31:
                    codes = _distinct(codes)[2]
        return codes

    def _read_singly(self, read: Numbers) -> None:
        """Read the rows that are not ``read`` yet, and mark those that have an enrollment."""
        places = np.flatnonzero(~read)
        for place, record in zip(places.tolist(), self._records(places), strict=True):
            one = self._mapper.enrollment(record)
            if isinstance(one, Invalid):
                self._refuse(record.row, one)
                continue
            self.customers[place] = one.customer
            self.target_places[place] = self._place_of(one.target)
            read[place] = True

    def _place_of(self, target: Target) -> int:
        return self.targets.setdefault(target, len(self.targets))

    def _records(self, places: Numbers) -> Iterator[Record]:
        columns = [column.take(pa.array(places)).to_pylist() for column in self._table.columns]
        rows = self._rows[places] + self._table.first_row
        lines = self._table.lines_of(rows)
        for row, line, cells in zip(rows.tolist(), lines, zip(*columns, strict=True), strict=True):
            yield Record(row, cells, line=line)

    def _refuse(self, row: int, why: Invalid) -> None:
        self.invalid.append(InvalidRow(row, why.code, why.message))


def _rows_of(table: Table) -> Numbers:
    """The row of each record in the columns, counted from 0 at ``first_row``."""
    ragged = [record.row - table.first_row for record in table.ragged]
    return np.delete(np.arange(table.row_count, dtype=np.int64), ragged)


def _plain_ids(column: pa.Array) -> tuple[Numbers, Numbers]:
    """Whether each cell is a plain id, and the ids, with 0 for the other cells."""
    if pa.types.is_integer(column.type):
        zero = pa.scalar(0, column.type)  # a Python 0 would make int64 of uint64
        fits = pc.and_kleene(pc.greater(column, zero), pc.less_equal(column, _max_id(column.type)))
        plain = pc.fill_null(fits, fill_value=False)
        ids = pc.if_else(plain, column, zero).cast(pa.int64())
    else:
        plain = pc.fill_null(pc.match_substring_regex(column, PLAIN_ID), fill_value=False)
        ids = pc.if_else(plain, column, pa.scalar("0", column.type)).cast(pa.int64())
    return plain.to_numpy(zero_copy_only=False), ids.to_numpy().copy()


def _max_id(dtype: Any) -> pa.Scalar:
    bits = dtype.bit_width - pa.types.is_signed_integer(dtype)
    return pa.scalar(min(2**63, 2**bits) - 1, dtype)


def _distinct(codes: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """The distinct codes, the first row of each, and for each row the place of its code."""
    size = int(codes.max(initial=-1)) + 1
    if size > 4 * len(codes) + 1024:
        return np.unique(codes, return_index=True, return_inverse=True)
    first = np.full(size, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    distinct = np.flatnonzero(first >= 0)
    place = np.zeros(size, dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, first[distinct], place[codes]


def _json(cells: Sequence[object]) -> str:
    return orjson.dumps(cells, default=str).decode()
