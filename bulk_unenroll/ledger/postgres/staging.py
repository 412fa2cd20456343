"""Rows on their way into a table, as PostgreSQL's binary COPY has them.

See postgresql.org/docs/current/sql-copy, "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bulk_unenroll.ledger.batch import Batch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
FIELDS: Final = (("fields", "i2", 4), ("a", "i4", 2), ("division", "i2", 0), ("b", "i4", 8),
                 ("id", "i8", 0), ("c", "i4", 8), ("customer", "i8", 0), ("d", "i4", 4),
                 ("target", "i4", 0))  # fmt: skip
"""A line: the number of its values, and before each value its size in bytes."""
_LINE: Final = struct.Struct(">hihiqiqii")
DIVISIONS: Final = 16
"""So many divisions the customers of an order fall into, where several loaders sort them out."""
_SHIFT: Final = 64 - (DIVISIONS - 1).bit_length()
_MIX: Final = 0x9E3779B97F4A7C15
_64_BITS: Final = (1 << 64) - 1


def as_copy(batch: Batch, place: int, target_ids: Sequence[int], *, divided: bool = False) -> bytes:
    """The enrollments of a batch: division, place, customer and target of each.

    ``place`` is that of its first row, ``target_ids`` the ledger's numbers of its targets. Unless
    they are ``divided``, all are in division 0; else those of a customer are in the same one.
    """
    if isinstance(batch.rows, list):
        mix = _MIX if divided else 0
        lines = zip(batch.rows, batch.customers, batch.target_places, strict=True)
        packed = (
            _LINE.pack(
                *(4, 2, (customer * mix & _64_BITS) >> _SHIFT, 8, place + row),
                *(8, customer, 4, target_ids[at]),
            )
            for row, customer, at in lines
        )
        return b"".join((BEGIN, *packed, END))
    return b"".join((BEGIN, _packed(batch, place, target_ids, divided).tobytes(), END))


def _packed(batch: Batch, place: int, target_ids: Sequence[int], divided: bool) -> NDArray[Any]:
    import numpy as np  # slow to import, and here already

    lines: NDArray[np.void] = np.empty(
        len(batch.rows), dtype=[(name, f">{kind}") for name, kind, _ in FIELDS]
    )
    for name, _, value in FIELDS:
        lines[name] = value
    customers = np.asarray(batch.customers)
    if divided:  # the highest bits of a product: ids with a pattern are spread as others are
        lines["division"] = customers.astype(np.uint64) * np.uint64(_MIX) >> np.uint64(_SHIFT)
    lines["id"] = np.asarray(batch.rows, np.int64) + place
    lines["customer"] = customers
    lines["target"] = np.asarray(target_ids, np.int32)[np.asarray(batch.target_places, np.intp)]
    return lines
