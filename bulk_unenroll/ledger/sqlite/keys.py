"""Many enrollments in one parameter of a statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from bulk_unenroll.ledger.batch import Batch


class Keys(NamedTuple):
    """Enrollments as a JSON object: a name is ``row * width + target``, a value the customer.

    SQLite reads two numbers from it at the price of one.
    """

    target_ids: Sequence[int]
    width: int
    text: str


def keys_of(batch: Batch, target_ids: Sequence[int]) -> Keys:
    """The enrollments of a batch; ``target_ids`` are the ledger's numbers of its targets."""
    width = max(target_ids, default=0) + 1
    names, customers = _names(batch, target_ids, width), batch.customers
    pairs = zip(
        names, customers if isinstance(customers, list) else customers.tolist(), strict=True
    )
    text = orjson.dumps(dict(pairs), option=orjson.OPT_NON_STR_KEYS).decode()
    return Keys(target_ids, width, text)


def _names(batch: Batch, target_ids: Sequence[int], width: int) -> list[int]:
    if isinstance(batch.rows, list):
        pairs = zip(batch.rows, batch.target_places, strict=True)
        return [row * width + target_ids[place] for row, place in pairs]
    import numpy as np  # slow to import, and here already

    numbers = np.asarray(target_ids)[batch.target_places]
    names: list[int] = (batch.rows * width + numbers).tolist()
    return names
