"""Counts how the customer ids of an input look, while it is read: what alarms are made from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.facts import IdFacts

Numbers = NDArray[Any]

SAMPLE: Final = 1024
_POWERS: Final = np.array([10**digits for digits in range(19)], dtype=np.int64)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HASHES: Final = float(1 << 64)
_MEDIAN_OF_GAPS: Final = 0.69
"""Of ids taken evenly from a range, the median gap is this part of the mean one."""
MOBILE_PREFIXES: Final = (916, 917, 918, 919, 639, 628, 447, 9715, 9665)
"""How mobile numbers of 12 digits begin, with the code of the country: India, the Philippines,
Indonesia, the United Kingdom, the Emirates, Saudi Arabia (ITU-T E.164)."""


class Tally:
    """The customer ids of one input; batches are added in the order of the rows."""

    def __init__(self) -> None:
        self._digits = np.zeros(20, dtype=np.int64)
        self._thousands = self._cut = self._steps = self._dates = self._mobile = 0
        self._last = -1
        self._sample = _Sample()

    def add(self, batch: Batch) -> None:
        """Count the rows of a batch that are valid."""
        ids = np.asarray(batch.customers, dtype=np.int64)
        if not len(ids):
            return
        digits = np.searchsorted(_POWERS, ids, side="right")
        self._digits += np.bincount(digits, minlength=20)
        self._thousands += int(np.count_nonzero(ids % 1000 == 0))
        self._steps += int(np.count_nonzero(np.diff(ids, prepend=self._last) == 1))
        self._last = int(ids[-1])
        self._sample.add(ids)
        found = np.bincount(digits, minlength=20)
        if found[16:].any():
            self._cut += _cut(ids[digits > 15])
        if found[8]:
            self._dates += _dates(ids[digits == 8])
        if found[12]:
            self._mobile += _mobile(ids[digits == 12])

    def facts(self) -> IdFacts:
        """What was counted."""
        return IdFacts(
            int(self._digits.sum()),
            tuple(self._digits.tolist()),
            self._thousands,
            self._cut,
            self._steps,
            self._dates,
            self._mobile,
            self._sample.distinct(),
            self._sample.width(),
        )

    def sample(self) -> dict[str, Any]:
        """Some of the customers, as ``Customers`` in the history has them."""
        return self._sample.as_json()


def _cut(ids: Numbers) -> int:
    text = ids.astype(str)
    return sum(not one[15:].strip("0") for one in text.tolist())


def _dates(ids: Numbers) -> int:
    years, months, days = ids // 10_000, ids // 100 % 100, ids % 100
    plausible = (years >= 1900) & (years < 2100) & (months >= 1) & (months <= 12)
    return int(np.count_nonzero(plausible & (days >= 1) & (days <= 31)))


def _mobile(ids: Numbers) -> int:
    return int(np.count_nonzero(np.isin(ids // 10**9, MOBILE_PREFIXES[:7]))) + int(
        np.count_nonzero(np.isin(ids // 10**8, MOBILE_PREFIXES[7:]))
    )


class _Sample:
    """The distinct ids with the smallest hashes: a fair sample, whatever their order.

    From the largest of these hashes follows how many distinct ids there are (Bar-Yossef et al.,
    "Counting distinct elements in a data stream", 2002).
    """

    def __init__(self) -> None:
        self._hashes = np.empty(0, dtype=np.uint64)
        self._ids = np.empty(0, dtype=np.int64)

    def add(self, ids: Numbers) -> None:
        hashes = ids.astype(np.uint64) * _MIX
        hashes ^= hashes >> np.uint64(32)
        if self._is_full:
            near = hashes < self._hashes[-1]
            hashes, ids = hashes[near], ids[near]
        if len(ids):
            both = np.concatenate([self._hashes, hashes])
            self._hashes, first = np.unique(both, return_index=True)
            self._ids = np.concatenate([self._ids, ids])[first][:SAMPLE]
            self._hashes = self._hashes[:SAMPLE]

    @property
    def _is_full(self) -> bool:
        return len(self._hashes) == SAMPLE

    def distinct(self) -> int:
        """How many distinct ids there are: up to ``SAMPLE`` exactly, beyond within some 6 %."""
        if not self._is_full:
            return len(self._ids)
        return round((SAMPLE - 1) * _HASHES / float(self._hashes[-1]))

    def as_json(self) -> dict[str, Any]:
        """The ids with the smallest hashes, these, and up to which hash they are all."""
        until = int(self._hashes[-1]) if self._is_full else (1 << 64) - 1
        return {"ids": self._ids.tolist(), "mixes": self._hashes.tolist(), "until": until}

    def width(self) -> int:
        """How wide a range is from which so many ids would lie as far apart as these do.

        Ids of one kind that lie in several clusters are taken together: what counts is the median.
        """
        if len(self._ids) < 2:
            return 0
        gaps = np.diff(np.sort(self._ids))
        return int(np.median(gaps) / _MEDIAN_OF_GAPS * len(self._ids))
