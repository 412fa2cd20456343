"""How much of the allowed rate is used while there is work, and the most in any window.

Measured where it counts: at the server.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contenders import PYTHON
from tests.benchmarks.measuring import Server, serving, spent_by, write_input
from tests.sending.test_rate_limit import most_within


@dataclass(frozen=True, slots=True)
class Kept:
    """What the server saw of one rate, in calls a second."""

    rate_per_s: int
    calls: int
    used: float
    most_in_window: int


def measure(rates_per_s: Sequence[int], seconds: float, concurrency: int) -> list[Kept]:
    """A run of about ``seconds`` at each rate."""
    with serving() as server:
        return [_measure(server, rate, seconds, concurrency) for rate in rates_per_s]


def _measure(server: Server, rate_per_s: int, seconds: float, concurrency: int) -> Kept:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        input_ = write_input(folder / "input.csv", int(rate_per_s * seconds))
        command = (
            *(PYTHON, "-m", "bulk_unenroll", "run", str(input_), "--out", str(folder / "out")),
            *(
                "--base-url",
                server.base_url,
                "--yes",
                "--no-export",
                "--canary",
                "0",
                "--history",
                "off",
            ),
            *("--rate", f"{rate_per_s}/s", "--concurrency", str(concurrency)),
        )
        spent_by(command, server.base_url)
    starts_s = sorted(server.starts_s())
    used = (len(starts_s) - 1) / (starts_s[-1] - starts_s[0]) / rate_per_s
    return Kept(rate_per_s, len(starts_s), used, most_within(starts_s, 1.0))


def table(kept: Sequence[Kept]) -> str:
    """As Markdown."""
    lines = [
        "| allowed | calls | used while there was work | most in any second |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.rate_per_s:,}/s | {one.calls:,} | {one.used:.1%} | {one.most_in_window:,} |"
        for one in kept
    ]
    return "\n".join(lines) + "\n"
