"""Many records at once: the ids of whole columns, read by the rule of ``ids``.

Only what is plainly an id is read here. Whatever else stands in an id column goes through
``Mapper.key`` by itself, so that there is one authority on what is valid and why not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.ledger.batch import Batch, InvalidRow, Scope, scope_of
from bulk_unenroll.ledger.cells import pack_columns
from bulk_unenroll.model import Invalid, Record

PLAIN_ID: Final = "^[1-9][0-9]{0,17}$"
"""What is surely at most ``MAX_ID``."""

Numbers = NDArray[Any]

pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps much more than it needs


@dataclass(frozen=True, slots=True)
class Table:
    """Records that follow each other, from ``first_row`` on.

    ``columns`` hold the cells of those that are as wide as the header, in order; the others, and
    those with a flaw, stand ``apart``.
    """

    first_row: int
    columns: Sequence[pa.Array]
    apart: Sequence[Record] = ()

    @property
    def row_count(self) -> int:
        """How many records."""
        return len(self.columns[0]) + len(self.apart)


def table_batch(table: Table, mapper: Mapper) -> Batch:
    """A batch of the records of a table."""
    keys = _Keys(table, mapper)
    apart = {record.row: _json(mapper.kept_cells(record)) for record in table.apart}
    return Batch(
        first_row=table.first_row,
        row_count=table.row_count,
        rows=keys.rows,
        customers=keys.customers,
        scope_numbers=keys.scope_numbers,
        scopes=list(keys.scopes),
        invalid=keys.invalid,
        cells=pack_columns([table.columns[place] for place in mapper.own]),
        apart=apart,
    )


class _Keys:
    """The customers/targets of a table; see ``Batch``."""

    def __init__(self, table: Table, mapper: Mapper) -> None:
        self._table = table
        self._mapper = mapper
        self.scopes: dict[Scope, int] = {}
        self.invalid: list[InvalidRow] = []
        self._rows = _rows_of(table)
        plain, customers = _plain_ids(table.columns[mapper.places["customerId"]])
        numbers = self._scope_numbers(plain)
        plain &= numbers >= 0
        self.customers = customers
        self.scope_numbers = numbers
        self._read_singly(plain)
        for record in table.apart:
            key = mapper.key(record)
            if not isinstance(key, Invalid):  # it would be lost
                raise TypeError(f"row {record.row} stands apart, and is valid")
            self._refuse(record.row, key)
        self.rows = self._rows[plain]
        self.customers = self.customers[plain]
        self.scope_numbers = self.scope_numbers[plain]

    def _scope_numbers(self, plain: Numbers) -> Numbers:
        """For each row the number of its scope, or -1 where it must be read singly."""
        codes = self._scope_codes()
        numbers = np.full(len(codes), -1, dtype=np.int64)
        distinct, first, inverse = _distinct(codes[plain])
        known = np.full(len(distinct), -1, dtype=np.int64)
        places = np.flatnonzero(plain)[first]
        for number, record in enumerate(self._records(places)):
            key = self._mapper.key(record)
            if not isinstance(key, Invalid):
                known[number] = self.scopes.setdefault(scope_of(key), len(self.scopes))
        numbers[plain] = known[inverse]
        return numbers

    def _scope_codes(self) -> Numbers:
        """A number for each row; equal ones have equal cells in the columns of the scope."""
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
        """Read the ids of what is not yet ``read``, and mark what has a customer/target."""
        places = np.flatnonzero(~read)
        for place, record in zip(places.tolist(), self._records(places), strict=True):
            key = self._mapper.key(record)
            if isinstance(key, Invalid):
                self._refuse(record.row, key)
                continue
            self.customers[place] = key.customer
            self.scope_numbers[place] = self.scopes.setdefault(scope_of(key), len(self.scopes))
            read[place] = True

    def _records(self, places: Numbers) -> Iterator[Record]:
        columns = [column.take(pa.array(places)).to_pylist() for column in self._table.columns]
        rows = (self._rows[places] + self._table.first_row).tolist()
        for row, cells in zip(rows, zip(*columns, strict=True), strict=True):
            yield Record(row, cells)

    def _refuse(self, row: int, why: Invalid) -> None:
        self.invalid.append(InvalidRow(row, why.code, why.message))


def _rows_of(table: Table) -> Numbers:
    """The rows in the columns, less the first row."""
    apart = [record.row - table.first_row for record in table.apart]
    return np.delete(np.arange(table.row_count, dtype=np.int64), apart)


def _plain_ids(column: pa.Array) -> tuple[Numbers, Numbers]:
    """Where a plain id stands, and the ids, 0 elsewhere."""
    if pa.types.is_integer(column.type):
        none = pa.scalar(0, column.type)  # a Python 0 would make int64 of uint64
        fits = pc.and_kleene(pc.greater(column, none), pc.less_equal(column, _most(column.type)))
        plain = pc.fill_null(fits, fill_value=False)
        ids = pc.if_else(plain, column, none).cast(pa.int64())
    else:
        plain = pc.fill_null(pc.match_substring_regex(column, PLAIN_ID), fill_value=False)
        ids = pc.if_else(plain, column, pa.scalar("0", column.type)).cast(pa.int64())
    return plain.to_numpy(zero_copy_only=False), ids.to_numpy().copy()


def _most(kind: Any) -> pa.Scalar:
    return pa.scalar(min(2**63, 2 ** (kind.bit_width - pa.types.is_signed_integer(kind))) - 1, kind)


def _distinct(codes: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """The distinct codes, where each stands first, and for each row its place among them."""
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
