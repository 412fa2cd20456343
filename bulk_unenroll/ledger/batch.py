"""Input rows on their way into the ledger, many at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bulk_unenroll.model import Invalid, Key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = list[int] | NDArray[np.int64]


class Scope(NamedTuple):
    """All of a key but the customer. ``org`` 0 is SELF."""

    org: int
    group: int
    target: int


class InvalidRow(NamedTuple):
    """A row without a customer/target, and why."""

    row: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a source falls to a target, and the first row that does."""

    target: int
    items: int
    phone_like: int
    first_row: int


@dataclass(frozen=True, slots=True)
class StagedRow:
    """One input row on its way in: a key, or why there is none. ``cells`` is JSON."""

    row: int
    key: Key | None
    code: str | None
    message: str | None
    cells: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Customers/targets as a JSON object: a name is ``row * width + target``, a value the customer.

    SQLite reads two numbers from it at the price of one.
    """

    targets: Sequence[int]
    width: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """``row_count`` rows of a source that follow each other, from ``first_row`` on.

    ``rows``, ``customers`` and ``scope_numbers`` tell, one for one, the rows that have a
    customer/target: its number less ``first_row``, its customer, its place in ``scopes``; the other
    rows are ``invalid``. ``cells`` are the rows as they were, as packed by ``cells``, but for those
    that are ``apart``, as JSON, by row. ``guess`` is what ``keys`` will probably be asked for.
    """

    first_row: int
    row_count: int
    rows: Numbers
    customers: Numbers
    scope_numbers: Numbers
    scopes: Sequence[Scope]
    invalid: Sequence[InvalidRow]
    cells: bytes
    apart: dict[int, str] = field(default_factory=dict)
    guess: Keys | None = None

    def keys(self, targets: Sequence[int]) -> Keys:
        """The customers/targets for the ledger, where ``targets`` are the numbers of ``scopes``."""
        if self.guess is not None and self.guess.targets == targets:
            return self.guess
        width = max(targets, default=0) + 1
        names, customers = self._names(targets, width), self.customers
        pairs = zip(
            names, customers if isinstance(customers, list) else customers.tolist(), strict=True
        )
        text = orjson.dumps(dict(pairs), option=orjson.OPT_NON_STR_KEYS).decode()
        return Keys(targets, width, text)

    def _names(self, targets: Sequence[int], width: int) -> list[int]:
        if isinstance(self.rows, list):
            pairs = zip(self.rows, self.scope_numbers, strict=True)
            return [row * width + targets[number] for row, number in pairs]
        import numpy as np  # slow to import, and here already

        names: list[int] = (self.rows * width + np.asarray(targets)[self.scope_numbers]).tolist()
        return names


def staged_batch(staged: Sequence[StagedRow]) -> Batch:
    """A batch of rows that were read one by one."""
    first = staged[0].row
    scopes: dict[Scope, int] = {}
    rows, customers, scope_numbers, invalid = [], [], [], []
    for row in staged:
        if row.key is None:
            invalid.append(InvalidRow(row.row, row.code or "", row.message or ""))
            continue
        rows.append(row.row - first)
        customers.append(row.key.customer)
        scope_numbers.append(scopes.setdefault(scope_of(row.key), len(scopes)))
    cells = f"[{','.join(row.cells for row in staged)}]".encode()
    return Batch(first, len(staged), rows, customers, scope_numbers, list(scopes), invalid, cells)


def scope_of(key: Key) -> Scope:
    """The scope of a key."""
    return Scope(key.org or 0, key.group, key.target)


def staged_row(row: int, key: Key | Invalid, cells: Sequence[object]) -> StagedRow:
    """A row as it was read, with what was found in it."""
    kept = orjson.dumps(cells, default=str).decode()
    if isinstance(key, Invalid):
        return StagedRow(row, None, key.code, key.message, kept)
    return StagedRow(row, key, None, None, kept)
