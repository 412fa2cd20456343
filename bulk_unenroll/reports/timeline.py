"""The calls of a ledger over time: rates and latencies, as histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bulk_unenroll.ledger.interface import LedgerReader

SLOTS_MOST: Final = 40
SLOTS_LEAST: Final = 3
"""With fewer there is nothing to draw."""
DAY_S: Final = 86_400
WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200)

Kind = str
KINDS: Final[Mapping[Kind, str]] = {
    "done": "taken out, or nothing to take out",
    "refused": "other answers",
    "unanswered": "no answer",
}
Unit = Literal["second", "minute"]
UNITS_S: Final[Mapping[Unit, int]] = {"second": 1, "minute": 60}


@dataclass(slots=True)
class Latencies:
    """Latencies as a histogram: how many calls by the lower bound of their bin.

    The bins of ``AttemptBin`` are 2 ms wide below 0.1 s, 20 ms below 1 s, 0.2 s below 10 s, and
    2 s beyond, so a percentile is off by at most a tenth, or a millisecond.
    """

    bins: Counter[int] = field(default_factory=Counter)

    def add(self, bin_ms: int | None, number: int) -> None:
        """Add ``number`` calls to a bin; None is for calls without an answer, and adds nothing."""
        if bin_ms is not None:
            self.bins[bin_ms] += number

    def percentile_s(self, percent: float) -> float | None:
        """The latency that ``percent`` of the answered calls did not exceed; None without any."""
        wanted = self.bins.total() * percent / 100
        seen = 0
        for bin_ms in sorted(self.bins):
            seen += self.bins[bin_ms]
            if seen >= wanted:
                return (bin_ms + _bin_width_ms(bin_ms) / 2) / 1000
        return None


def _bin_width_ms(bin_ms: int) -> int:
    return 2 if bin_ms < 100 else 20 if bin_ms < 1000 else 200 if bin_ms < 10_000 else 2000


@dataclass(slots=True)
class Calls:
    """The calls of one run. Times are Unix seconds."""

    number: int
    first_s: float
    last_s: float
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def per_min(self) -> float | None:
        """The mean rate from the first start to the last; None if they are the same moment."""
        lasted_s = self.last_s - self.first_s
        return (self.number - 1) / lasted_s * 60 if lasted_s > 0 else None


@dataclass(slots=True)
class Slot:
    """A span of time: how many calls started in it, by kind, and how long they took."""

    begin_s: float
    end_s: float
    kinds: Counter[Kind] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def middle_s(self) -> float:
        """The moment in the middle."""
        return (self.begin_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run divided into slots, including those in which no call started.

    All slots but the last are ``width_s`` wide. The last one ends with the run, and is between half
    as wide and half as wide again: a rate over a scrap of time would be chance.
    """

    run_id: str
    width_s: int
    slots: list[Slot]

    @property
    def brief(self) -> bool:
        """Whether the run was too short to draw."""
        return len(self.slots) < SLOTS_LEAST

    @property
    def unit(self) -> Unit:
        """What rates are counted by: no unit is longer than what was observed."""
        return "minute" if self.width_s >= UNITS_S["minute"] else "second"

    def rate(self, slot: Slot, kind: Kind | None = None) -> float:
        """Starts a ``unit`` in ``slot``, of one kind or of all."""
        number = slot.kinds[kind] if kind else slot.kinds.total()
        return number * UNITS_S[self.unit] / (slot.end_s - slot.begin_s)


def calls_over_time(reader: LedgerReader) -> tuple[dict[str, Calls], Timeline | None]:
    """The calls of every run that made any, by run id; and the timeline of the largest run."""
    runs = {
        calls.run_id: Calls(calls.number, calls.first_s, calls.last_s)
        for calls in reader.run_calls()
    }
    if not runs:
        return {}, None
    busiest = max(runs, key=lambda run_id: runs[run_id].number)
    line = empty_timeline(busiest, runs[busiest])
    for found in reader.attempt_bins(busiest, runs[busiest].first_s, line.width_s):
        runs[found.run_id].latencies.add(found.bin_ms, found.number)
        if found.slot is not None:
            slot = line.slots[min(found.slot, len(line.slots) - 1)]
            slot.kinds[found.kind] += found.number
            slot.latencies.add(found.bin_ms, found.number)
    return runs, line


def empty_timeline(run_id: str, calls: Calls) -> Timeline:
    """The slots of a run, without its calls."""
    # the last call takes its share of time as each other did, or the last slot would look faster
    gap_s = (calls.last_s - calls.first_s) / max(calls.number - 1, 1)
    lasted_s = max(calls.last_s - calls.first_s + gap_s, 1.0)
    width_s = slot_width_s(lasted_s)
    number = max(int(lasted_s / width_s + 0.5), 1)
    ends = [*range(width_s, number * width_s, width_s), lasted_s]
    begins = range(0, number * width_s, width_s)
    slots = [
        Slot(calls.first_s + begin, calls.first_s + end)
        for begin, end in zip(begins, ends, strict=True)
    ]
    return Timeline(run_id, width_s, slots)


def slot_width_s(lasted_s: float) -> int:
    """The smallest round width that divides ``lasted_s`` into at most ``SLOTS_MOST`` slots."""
    for width_s in WIDTHS_S:
        if lasted_s < width_s * SLOTS_MOST:
            return width_s
    return DAY_S * (int(lasted_s / (DAY_S * SLOTS_MOST)) + 1)
