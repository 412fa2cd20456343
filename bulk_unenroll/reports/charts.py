"""A timeline as an SVG picture, to be put into a page. Needs the extra ``report``."""

from __future__ import annotations

import io
import math
import re
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bulk_unenroll.reports.timeline import KINDS, Timeline

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text, which is smaller and prints sharply
    "svg.hashsalt": "bulk-unenroll",  # the same calls make the same picture
    "hatch.linewidth": 0.6,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
LOOKS: Final = {
    "done": ("#9fc5a8", ""),
    "refused": ("#e3b505", "///"),
    "unanswered": ("#d98a94", "xxx"),
}
UNITS: Final = (("h", 3600.0, 7200.0), ("min", 60.0, 120.0), ("s", 1.0, 0.0))
NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}


def draw(line: Timeline) -> str:
    """Calls a minute and latency over time, as one ``<svg>`` without external references."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        rates, latencies = figure.subplots(2, 1, sharex=True)
        unit, unit_s = _unit(line.width_s * len(line.slots))
        starts = [(slot.begin_s - line.slots[0].begin_s) / unit_s for slot in line.slots]
        width = line.width_s / unit_s
        _draw_rates(rates, line, starts, width)
        _draw_latencies(latencies, line, [start + width / 2 for start in starts])
        latencies.set_xlabel(f"{unit} since the first call")
        latencies.set_xlim(0, width * len(line.slots))
        return _svg(figure)


def _unit(lasted_s: float) -> tuple[str, float]:
    return next((name, unit_s) for name, unit_s, least_s in UNITS if lasted_s >= least_s)


def _draw_rates(axes: Axes, line: Timeline, starts: list[float], width: float) -> None:
    below = [0.0] * len(starts)
    for kind, says in KINDS.items():
        rates = [line.per_min(slot, kind) for slot in line.slots]
        if any(rates):
            colour, hatch = LOOKS[kind]
            axes.bar(
                starts, rates, width, below, align="edge",
                label=says, color=colour, hatch=hatch, edgecolor="#333333", linewidth=0.4,
            )  # fmt: skip
        below = [under + rate for under, rate in zip(below, rates, strict=True)]
    axes.set_ylabel("calls a minute")
    axes.legend(loc="lower right", fontsize=8)


def _draw_latencies(axes: Axes, line: Timeline, middles: list[float]) -> None:
    for percent, says, look in ((50, "median", "o-"), (95, "95 %", "s--")):
        found = [slot.latencies.percentile_s(percent) for slot in line.slots]
        seconds = [math.nan if value is None else value for value in found]
        axes.plot(middles, seconds, look, label=says, color="#22577a", markersize=3, linewidth=1)
    axes.set_ylabel("seconds to the answer")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right", fontsize=8)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=NO_METADATA)
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(width|height)="[0-9.]+pt"', "", text, count=2)  # as wide as the page
    return text[text.index("<svg") :].replace(
        "<svg ", '<svg role="img" aria-labelledby="chart-says" ', 1
    )
