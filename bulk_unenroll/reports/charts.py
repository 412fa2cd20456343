"""A timeline as charts: places on a plot in per cent, which a template draws as SVG. Pure.

Lines and bars are stretched to the width of the page; their labels are text of the page, and stay
as large as its other text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from bulk_unenroll.reports.timeline import DAY_S, KINDS, WIDTHS_S, Kind, Slot, Timeline

X_TICKS_MOST: Final = 5
Y_TICKS_MOST: Final = 5
PERCENTILES: Final = {50: "half of the answers came within", 95: "95 % came within"}


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at an axis: how far from its beginning, in per cent."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: from the left and from the top, in per cent of the plot."""

    kind: Kind
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The percentile of the latencies over time, as the ``d`` of an SVG path."""

    percent: int
    path: str


@dataclass(frozen=True, slots=True)
class Charts:
    """The rates and the latencies of one run, over the same time."""

    bars: list[Bar]
    curves: list[Curve]
    kinds: list[Kind]
    times: list[Tick]
    rates: list[Tick]
    seconds: list[Tick]


def charts_of(line: Timeline) -> Charts:
    """The charts of a run."""
    rates = [line.rate(slot) for slot in line.slots]
    top_rate, rate_ticks = scale(max(rates))
    found = {percent: _percentiles(line, percent) for percent in PERCENTILES}
    latest_s = max(
        (seconds for points in found.values() for _, seconds in points if seconds), default=0
    )
    top_s, second_ticks = scale(latest_s)
    return Charts(
        bars=list(_bars(line, top_rate)),
        curves=[Curve(percent, _path(line, points, top_s)) for percent, points in found.items()],
        kinds=[kind for kind in KINDS if any(slot.kinds[kind] for slot in line.slots)],
        times=_times(line.slots[0].begin_s, line.slots[-1].end_s),
        rates=rate_ticks,
        seconds=second_ticks,
    )


# ── bars and curves ──────────────────────────────────────────────────────────────────────────────


def _bars(line: Timeline, top: float) -> Iterator[Bar]:
    for slot in line.slots:
        left, right = _across(line, slot.begin_s), _across(line, slot.end_s)
        below = 0.0
        for kind in KINDS:
            height = line.rate(slot, kind) / top * 100
            if height:
                below += height
                yield Bar(kind, left, 100 - below, right - left, height)


Point = tuple[Slot, float | None]


def _percentiles(line: Timeline, percent: int) -> list[Point]:
    return [(slot, slot.latencies.percentile_s(percent)) for slot in line.slots]


def _path(line: Timeline, points: Sequence[Point], top_s: float) -> str:
    """Through all points that are there; a slot without an answer interrupts the line."""
    parts = []
    for there, group in groupby(points, key=lambda point: point[1] is not None):
        if there:
            places = [
                f"{_across(line, slot.middle_s):.2f} {100 - (seconds or 0) / top_s * 100:.2f}"
                for slot, seconds in group
            ]
            # a line to where it is makes a dot of a single point
            parts.append("M" + "L".join(places if len(places) > 1 else places * 2))
    return "".join(parts)


def _across(line: Timeline, at_s: float) -> float:
    begin_s, end_s = line.slots[0].begin_s, line.slots[-1].end_s
    return (at_s - begin_s) / (end_s - begin_s) * 100


# ── axes ─────────────────────────────────────────────────────────────────────────────────────────


def scale(most: float) -> tuple[float, list[Tick]]:
    """The end of an axis that holds ``most``, and its ticks from 0 in round steps."""
    if most <= 0:
        return 1.0, [Tick(0, "0")]
    power = 10.0 ** math.floor(math.log10(most / Y_TICKS_MOST))
    step = next(step * power for step in (1, 2, 5, 10) if step * power * Y_TICKS_MOST >= most)
    number = math.ceil(most / step - 1e-9)
    digits = max(-math.floor(math.log10(step)), 0)
    return number * step, [
        Tick(place / number * 100, f"{place * step:,.{digits}f}") for place in range(number + 1)
    ]


def _times(begin_s: float, end_s: float) -> list[Tick]:
    """Round times of the day, in UTC; days where there are several."""
    lasted_s = end_s - begin_s
    steps = (*WIDTHS_S, *(DAY_S * days for days in (1, 2, 7, 14, 28)))
    least_s = lasted_s / X_TICKS_MOST
    step_s = next((step for step in steps if step >= least_s), math.ceil(least_s / DAY_S) * DAY_S)
    first_s = math.ceil(begin_s / step_s) * step_s
    return [
        Tick((at_s - begin_s) / lasted_s * 100, _time(at_s, step_s))
        for at_s in range(first_s, math.floor(end_s) + 1, step_s)
    ]


def _time(at_s: int, step_s: int) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    if at_s % DAY_S == 0:
        return at.strftime("%-d %b")
    return at.strftime("%H:%M:%S" if step_s % 60 else "%H:%M")
