"""Counts how the customer ids of an input look, while it is read: what alarms are made from.

Where a part of an input was called before, alarms are about the rest: a wrong list must not hide
behind a good one. Then the ledger's rows that are left are counted, not the input once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bulk_unenroll.ledger.facts import IdFacts
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.model import State

Numbers = NDArray[Any]
Ids = Sequence[int] | Numbers

SAMPLE: Final = 1024
LOOKED_AT: Final = 100_000
_POWERS: Final = np.array([10**digits for digits in range(19)], dtype=np.int64)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HASHES: Final = float(1 << 64)
_MEDIAN_OF_GAPS: Final = 0.69
"""Of ids taken evenly from a range, the median gap is this part of the mean one."""
MOBILE_PREFIXES: Final = (916, 917, 918, 919, 639, 628, 447, 9715, 9665)
"""How mobile numbers of 12 digits begin, with the code of the country: India, the Philippines,
Indonesia, the United Kingdom, the Emirates, Saudi Arabia (ITU-T E.164)."""


class Tally:
    """The customer ids of one input, added in the order of the rows."""

    def __init__(self) -> None:
        self._digits = np.zeros(20, dtype=np.int64)
        self._thousands = self._cut = self._dates = self._mobile = 0
        self._steps = self._changes = 0
        self._last = -1
        self._shortest = (len(_POWERS) + 1, 0)
        self._sample = _Sample()

    def add(self, customers: Ids, rows: Ids, first_row: int = 0) -> None:
        """Count customers, and the rows in which they stand, counted from ``first_row``."""
        ids = np.asarray(customers, dtype=np.int64)
        if not len(ids):
            return
        digits = np.searchsorted(_POWERS, ids, side="right")
        self._digits += np.bincount(digits, minlength=20)
        self._thousands += int(np.count_nonzero(ids % 1000 == 0))
        by = np.abs(np.diff(ids, prepend=self._last))
        self._steps += int(np.count_nonzero(by == 1))
        self._changes += int(np.count_nonzero(by))
        self._last = int(ids[-1])
        place = int(np.argmin(digits))
        if digits[place] < self._shortest[0]:
            self._shortest = int(digits[place]), int(rows[place]) + first_row
        self._sample.add(ids)
        found = np.bincount(digits, minlength=20)
        if found[16:].any():
            self._cut += _cut(ids[digits > 15])
        if found[8]:
            self._dates += _dates(ids[digits == 8])
        if found[12]:
            self._mobile += _mobile(ids[digits == 12])

    def noticed(self) -> dict[str, Any]:
        """What was counted, as ``LedgerReader.noticed`` has it."""
        return {"ids": asdict(self.facts()), "sample": self.sample()}

    def facts(self) -> IdFacts:
        """How the ids look."""
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
            self._shortest[1],
            self._changes,
        )

    def sample(self) -> dict[str, Any]:
        """Some of the customers, as ``Customers`` in the history has them."""
        return self._sample.as_json()


def noticed_of_pending(
    reader: LedgerReader, sources: Sequence[int]
) -> dict[int, Mapping[str, Any]]:
    """How the customers of ``sources`` look who are left to call, as ``Tally.noticed``.

    Only the first ``LOOKED_AT`` are looked at, so that a plan of millions does not wait for it.
    """
    tallies = {source: Tally() for source in sources}
    seen = 0
    for page in reader.result_pages(Selection(sources, [State.PENDING])):
        tallies[page.source_id].add(page.columns["customer_id"], page.columns["row"])
        seen += len(page)
        if seen >= LOOKED_AT:
            break
    return {source: tally.noticed() for source, tally in tallies.items()}


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
        """How wide a range is from which ids of 10 to 12 digits would lie as far apart as these.

        Ids of one kind that lie in several clusters are taken together: what counts is the median.
        """
        ids = np.sort(self._ids)
        ids = ids[np.searchsorted(ids, _POWERS[9]) : np.searchsorted(ids, _POWERS[12])]
        if len(ids) < 2:
            return 0
        return int(np.median(np.diff(ids)) / _MEDIAN_OF_GAPS * len(ids))
