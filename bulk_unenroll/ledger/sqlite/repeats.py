"""Which rows of a large source repeat an earlier one. Exact; about 20 bytes of memory a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bulk_unenroll.ledger.batch import Batch

PARTS: Final = 32
PHONE_FROM: Final = 10**9
PHONE_BELOW: Final = 10**12

Numbers = NDArray[Any]
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class TargetCount:
    """How much of a source falls to a target, and the first row that does."""

    target: int
    items: int
    phone_like: int
    first_row: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows: customers, numbers of targets, rows."""

    customers: Numbers
    targets: Numbers
    rows: Numbers

    def pick(self, which: Numbers | slice) -> _Rows:
        return _Rows(self.customers[which], self.targets[which], self.rows[which])

    def mixed(self) -> Numbers:
        """A number for each; equal customers/targets have equal ones, others seldom do."""
        wide = self.customers.astype(np.uint64)
        wide ^= self.targets.astype(np.uint64) << np.uint64(44)
        wide *= _MIX
        return wide

    def phone_like(self) -> _Rows:
        return self.pick((self.customers >= PHONE_FROM) & (self.customers < PHONE_BELOW))


class RepeatFinder:
    """The customers/targets of one source, in the order of its rows.

    They are kept in ``PARTS`` by what they are, so that repeats are looked for in one at a time.
    """

    def __init__(self) -> None:
        self._parts: list[list[_Rows]] = [[] for _ in range(PARTS)]
        self._first_rows: dict[int, int] = {}
        self._items: dict[int, int] = {}
        self._phone_like: dict[int, int] = {}

    def add(self, batch: Batch, targets: Sequence[int]) -> None:
        """The next rows; ``targets`` are the ledger's numbers of the batch's targets."""
        of_row = np.asarray(batch.target_places, dtype=np.intp)
        rows = np.asarray(batch.rows, dtype=np.uint32) + np.uint32(batch.first_row)
        first = np.zeros(len(targets), dtype=np.int64)
        first[of_row[::-1]] = rows[::-1]
        for target, row in zip(targets, first.tolist(), strict=True):
            if row:
                self._first_rows.setdefault(target, row)
        customers = np.asarray(batch.customers, dtype=np.int64)
        self._divide(_Rows(customers, np.asarray(targets, np.int32)[of_row], rows))

    def _divide(self, rows: _Rows) -> None:
        part = (rows.mixed() >> np.uint64(40)).astype(np.uint8) % PARTS
        order = np.argsort(part, kind="stable")
        divided = rows.pick(order)
        ends = np.searchsorted(part[order], np.arange(PARTS + 1)).tolist()
        for number, (start, end) in enumerate(pairwise(ends)):
            self._parts[number].append(divided.pick(slice(start, end)))

    def repeats(self) -> Iterator[tuple[int, int]]:
        """Each row that repeats an earlier one, and the first row that it repeats.

        To be asked once: what was looked at is forgotten. ``shares`` is complete after it.
        """
        while self._parts:
            pieces = self._parts.pop()
            part = _Rows(
                np.concatenate([piece.customers for piece in pieces]),
                np.concatenate([piece.targets for piece in pieces]),
                np.concatenate([piece.rows for piece in pieces]),
            )
            again, first = _repeats(part)
            _count(part, self._items, 1)
            _count(again, self._items, -1)
            _count(part.phone_like(), self._phone_like, 1)
            _count(again.phone_like(), self._phone_like, -1)
            yield from zip(again.rows.tolist(), first.tolist(), strict=True)

    def shares(self) -> Iterator[TargetCount]:
        """How many customers/targets, each counted once, fall to each target."""
        for target, row in self._first_rows.items():
            yield TargetCount(target, self._items[target], self._phone_like.get(target, 0), row)


def _count(rows: _Rows, numbers: dict[int, int], sign: int) -> None:
    for target, number in enumerate(np.bincount(rows.targets).tolist()):
        if number:
            numbers[target] = numbers.get(target, 0) + sign * number


def _repeats(part: _Rows) -> tuple[_Rows, Numbers]:
    """What repeats an earlier row, and the first rows that they repeat."""
    suspects = part.pick(_suspects(part.mixed()))
    found = suspects.pick(np.lexsort((suspects.rows, suspects.targets, suspects.customers)))
    again = np.zeros(len(found.rows), dtype=bool)
    again[1:] = (found.customers[1:] == found.customers[:-1]) & (
        found.targets[1:] == found.targets[:-1]
    )
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))
    return found.pick(again), found.rows[first][again]


def _suspects(mixed: Numbers) -> Numbers:
    """The places of numbers that occur more than once."""
    order = np.argsort(mixed)
    sorted_ = mixed[order]
    alike = sorted_[1:] == sorted_[:-1]
    return np.union1d(order[1:][alike], order[:-1][alike])
