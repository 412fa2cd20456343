"""CPU per row and rows a second, for this program and for what a user would write instead."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.contenders import CONTENDERS, PLAIN, TUNED, Contender, Work
from tests.benchmarks.measuring import Server, Spent, serving, spent_by, write_input

SMALL_SHARE = 4
"""The small run has one row in this many. The difference of the two is free of what a run costs
once: start, imports, connections."""


@dataclass(slots=True)
class Figures:
    """The rounds of one contender at one concurrency."""

    rows: int
    large: list[Spent] = field(default_factory=list)
    small: list[Spent] = field(default_factory=list)

    @property
    def small_rows(self) -> int:
        """How many rows the small runs have."""
        return self.rows // SMALL_SHARE

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of one row more."""
        cpu_s = median(one.cpu_s for one in self.large) - median(one.cpu_s for one in self.small)
        return cpu_s / (self.rows - self.small_rows) * 1e6

    @property
    def start_s(self) -> float:
        """CPU seconds of a run beyond its rows."""
        return median(one.cpu_s for one in self.small) - self.small_rows * self.cpu_us / 1e6

    @property
    def rows_per_s(self) -> float:
        """Rows a second of wall time, once started."""
        wall_s = median(one.wall_s for one in self.large) - median(one.wall_s for one in self.small)
        return (self.rows - self.small_rows) / wall_s

    @property
    def peak_mb(self) -> float:
        """The most memory held in any round."""
        return max(one.peak_mb for one in self.large)


Found = dict[tuple[int, str], Figures]
"""By concurrency and name of the contender."""


def measure(
    rows: int, rounds: int, concurrencies: Sequence[int], contenders: Sequence[Contender]
) -> Found:
    """Interleaved rounds, so that other load of the machine affects all of them equally."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as name, serving() as server:
        for _ in range(rounds):
            for concurrency in concurrencies:
                for contender in contenders:
                    number = min(rows, contender.most_rows or rows)
                    figures = found.setdefault((concurrency, contender.name), Figures(number))
                    _add_round(figures, Path(name), server, contender, concurrency)
    return found


def measure_sizes(
    sizes: Sequence[int], rounds: int, concurrency: int, contenders: Sequence[Contender]
) -> Found:
    """Interleaved rounds of several numbers of rows, by that number and name of the contender."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as name, serving() as server:
        for _ in range(rounds):
            for rows in sizes:
                for contender in contenders:
                    figures = found.setdefault((rows, contender.name), Figures(rows))
                    _add_round(figures, Path(name), server, contender, concurrency)
    return found


def _add_round(
    figures: Figures, parent: Path, server: Server, contender: Contender, concurrency: int
) -> None:
    for spent, size in ((figures.large, figures.rows), (figures.small, figures.small_rows)):
        spent.append(_spent(parent, server, contender, concurrency, size))


def _spent(
    parent: Path, server: Server, contender: Contender, concurrency: int, rows: int
) -> Spent:
    folder = parent / "work"
    folder.mkdir()
    try:
        input_ = write_input(folder / "input.csv", rows)
        work = Work(server.base_url, input_, folder, concurrency)
        spent = spent_by(contender.command(work), server.base_url)
    finally:
        shutil.rmtree(folder)
    calls = len(server.starts_s())
    if calls != rows:
        raise RuntimeError(f"{contender.name} made {calls} calls for {rows} rows")
    return spent


def installed() -> list[Contender]:
    """Those that can run here."""
    return [contender for contender in CONTENDERS if contender.missing is None]


def ratio(found: Found, concurrency: int, name: str, to: str) -> float | None:
    """CPU a row of one contender for that of another."""
    one, other = found.get((concurrency, name)), found.get((concurrency, to))
    return one.cpu_us / other.cpu_us if one and other else None


def table(found: Found) -> str:
    """As Markdown."""
    lines = [
        "| in flight | what | CPU a row | × plain | × tuned | rows/s | CPU to start | memory |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (concurrency, name), figures in sorted(found.items(), key=lambda entry: entry[0][0]):
        ratios = (ratio(found, concurrency, name, to) for to in (PLAIN, TUNED))
        shown = " | ".join("–" if value is None else f"{value:.2f}" for value in ratios)
        lines.append(
            f"| {concurrency} | {name} | {figures.cpu_us:,.0f} µs | {shown}"
            f" | {figures.rows_per_s:,.0f} | {figures.start_s:.2f} s | {figures.peak_mb:,.0f} MB |"
        )
    lines += [
        f"\nNot installed where this was measured, so not in it: {contender.missing}"
        for contender in CONTENDERS
        if contender.missing
    ]
    return "\n".join(lines) + "\n"


def scale_table(found: Found) -> str:
    """As Markdown: each size against the first one."""
    lines = [
        "| rows | what | CPU a row | × the first | rows/s | memory |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    first = {name: figures for (_, name), figures in reversed(found.items())}
    for (rows, name), figures in found.items():
        ratio = figures.cpu_us / first[name].cpu_us
        lines.append(
            f"| {rows:,} | {name} | {figures.cpu_us:,.0f} µs | {ratio:.2f}"
            f" | {figures.rows_per_s:,.0f} | {figures.peak_mb:,.0f} MB |"
        )
    return "\n".join(lines) + "\n"
