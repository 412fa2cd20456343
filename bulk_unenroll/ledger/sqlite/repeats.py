"""Finds the rows of a large source that repeat an earlier one: exact, about 20 bytes a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bulk_unenroll.ledger.batch import Batch

PARTS: Final = 32

Numbers = NDArray[Any]
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class TargetCount:
    """How much of a source falls to a target, and the first row that does."""

    target: int
    items: int
    first_row: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Arrays of equal length: customer ids, the ledger's target ids, row numbers."""

    customers: Numbers
    targets: Numbers
    rows: Numbers

    def pick(self, which: Numbers | slice) -> _Rows:
        return _Rows(self.customers[which], self.targets[which], self.rows[which])

    def hashes(self) -> Numbers:
        """A hash for each row: equal for equal enrollments, seldom equal for others."""
        wide = self.customers.astype(np.uint64)
        wide ^= self.targets.astype(np.uint64) << np.uint64(44)
        wide *= _MIX
        return wide


class RepeatFinder:
    """Collects the enrollments of one source in row order, and finds the repeated ones.

    They are divided into ``PARTS`` by their hash, so that each part can be searched separately.
    """

    def __init__(self) -> None:
        self._parts: list[list[_Rows]] = [[] for _ in range(PARTS)]
        self._first_rows: dict[int, int] = {}
        self._counts: dict[int, int] = {}

    def add(self, batch: Batch, targets: Sequence[int]) -> None:
        """Add the next rows; ``targets`` are the ledger's ids of the batch's targets."""
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
        part = (rows.hashes() >> np.uint64(40)).astype(np.uint8) % PARTS
        order = np.argsort(part, kind="stable")
        divided = rows.pick(order)
        ends = np.searchsorted(part[order], np.arange(PARTS + 1)).tolist()
        for number, (start, end) in enumerate(pairwise(ends)):
            self._parts[number].append(divided.pick(slice(start, end)))

    def repeats(self) -> Iterator[tuple[int, int]]:
        """Yield each row that repeats an earlier one, and the first row with that enrollment.

        Can be iterated only once. ``target_counts`` is complete afterwards.
        """
        while self._parts:
            pieces = self._parts.pop()
            part = _Rows(
                np.concatenate([piece.customers for piece in pieces]),
                np.concatenate([piece.targets for piece in pieces]),
                np.concatenate([piece.rows for piece in pieces]),
            )
            again, first = _repeats(part)
            _count(part, self._counts, 1)
            _count(again, self._counts, -1)
            yield from zip(again.rows.tolist(), first.tolist(), strict=True)

    def target_counts(self) -> Iterator[TargetCount]:
        """Yield the number of enrollments of each target, each counted once."""
        for target, row in self._first_rows.items():
            yield TargetCount(target, self._counts[target], row)


def _count(rows: _Rows, counts: dict[int, int], sign: int) -> None:
    for target, number in enumerate(np.bincount(rows.targets).tolist()):
        if number:
            counts[target] = counts.get(target, 0) + sign * number


def _repeats(part: _Rows) -> tuple[_Rows, Numbers]:
    """The rows that repeat an earlier one, and for each the first row that it repeats."""
    suspects = part.pick(_suspects(part.hashes()))
    found = suspects.pick(np.lexsort((suspects.rows, suspects.targets, suspects.customers)))
    again = np.zeros(len(found.rows), dtype=bool)
    again[1:] = (found.customers[1:] == found.customers[:-1]) & (
        found.targets[1:] == found.targets[:-1]
    )
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))
    return found.pick(again), found.rows[first][again]


def _suspects(hashes: Numbers) -> Numbers:
    """The places of the hashes that occur more than once."""
    order = np.argsort(hashes)
    sorted_ = hashes[order]
    is_equal = sorted_[1:] == sorted_[:-1]
    return np.union1d(order[1:][is_equal], order[:-1][is_equal])
