"""CPU a row as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks.contenders import PLAIN, TUNED
from tests.benchmarks.sending import Found

NAMES: Final = {TUNED: "tuned pool, no ledger", PLAIN: "plain pool, no ledger"}
OURS, OTHERS = "#1f6feb", "#b6bcc4"


def draw(found: Found, concurrency: int, path: Path) -> None:
    """Write the bars of one concurrency as SVG. Needs matplotlib."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    bars = [(name, one.cpu_us) for (at, name), one in found.items() if at == concurrency]
    bars.sort(key=lambda bar: -bar[1])
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bulk-unenroll"}):
        figure = Figure(figsize=(8, 0.9 + 0.38 * len(bars)), layout="constrained")
        axes = figure.subplots()
        names = [NAMES.get(name, name) for name, _ in bars]
        colours = [OURS if "bulk-unenroll" in name else OTHERS for name, _ in bars]
        drawn = axes.barh(names, [cpu_us for _, cpu_us in bars], color=colours)
        axes.bar_label(drawn, fmt="{:,.0f} µs", padding=4)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_xlabel(f"CPU a row, {concurrency} calls in flight (logarithmic; less is better)")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})
