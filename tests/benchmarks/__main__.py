"""``python -m tests.benchmarks sending``, ``scale``, ``pace`` and ``loading``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.benchmarks import chart, loading, pace, sending
from tests.benchmarks.contenders import OURS
from tests.benchmarks.page import PAGE, README, circumstances, write_section
from tests.kit.command import REPO

CHARTED = 64


@click.group()
def benchmarks() -> None:
    """Measure what the program and its alternatives cost on this machine. Asserts nothing."""


@benchmarks.command("sending")
@click.option("--rows", type=click.IntRange(4), default=40_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--concurrency", "concurrencies", multiple=True, type=click.IntRange(1), default=(16, 64, 256)
)
@click.option("--only", multiple=True, help="Contenders with this in their name.")
@click.option("--write", is_flag=True, help="Into docs/ and the README.")
def measure_sending(
    rows: int, rounds: int, concurrencies: Sequence[int], only: Sequence[str], write: bool
) -> None:
    """CPU a row and rows a second: this program, and what a user would write instead."""
    contenders = [
        one for one in sending.installed() if not only or any(word in one.name for word in only)
    ]
    found = sending.measure(rows, rounds, concurrencies, contenders)
    click.echo(sending.table(found))
    if not write:
        return
    command = f"python -m tests.benchmarks sending --rows {rows} --rounds {rounds} --write"
    source = f"Medians of {rounds} rounds of {rows:,} rows on {circumstances()}: `{command}`.\n\n"
    write_section(PAGE, "sending", f"{source}{sending.table(found)}")
    if CHARTED in concurrencies:
        chart.draw(found, CHARTED, REPO / "docs" / "benchmark-sending.svg")
        at_charted = {key: one for key, one in found.items() if key[0] == CHARTED}
        write_section(README, "sending", f"{source}{sending.table(at_charted)}")


@benchmarks.command("scale")
@click.option("--rows", "sizes", multiple=True, type=click.IntRange(4), default=(10_000, 1_000_000))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_scale(sizes: Sequence[int], rounds: int, write: bool) -> None:
    """Whether a row costs the same, and memory stays, however many there are."""
    shown = sending.scale_table(sending.measure_sizes(sizes, rounds, CHARTED, OURS))
    click.echo(shown)
    if write:
        words = " ".join(f"--rows {size}" for size in sizes)
        command = f"python -m tests.benchmarks scale {words} --rounds {rounds} --write"
        source = f"Medians of {rounds} rounds, {CHARTED} calls in flight, on {circumstances()}"
        write_section(PAGE, "scale", f"{source}: `{command}`.\n\n{shown}")


@benchmarks.command("pace")
@click.option("--rate", "rates", multiple=True, type=int, default=(50, 500, 3000))
@click.option("--seconds", type=float, default=20.0, show_default=True, help="At each rate.")
@click.option("--concurrency", type=click.IntRange(1), default=256, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_pace(rates: Sequence[int], seconds: float, concurrency: int, write: bool) -> None:
    """The share of the allowed rate that is used, and the most calls in any second."""
    shown = pace.table(pace.measure(rates, seconds, concurrency))
    click.echo(shown)
    if write:
        command = f"python -m tests.benchmarks pace --seconds {seconds:g} --write"
        source = f"{seconds:g} s at each rate, {concurrency} calls in flight at most"
        write_section(PAGE, "pace", f"{source}, on {circumstances()}: `{command}`.\n\n{shown}")


@benchmarks.command("loading")
@click.option("--rows", "sizes", multiple=True, type=int, default=(100_000, 1_000_000))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to make the files.")
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_loading(sizes: Sequence[int], rounds: int, folder: Path | None, write: bool) -> None:
    """Plan, resume and export of large inputs: seconds of wall time, peak memory."""
    shown = loading.HEADER
    click.echo(shown, nl=False)
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            lines = loading.table(size, loading.measure(size, rounds, Path(place)))
        click.echo(lines, nl=False)
        shown += lines
    if write:
        words = " ".join(f"--rows {size}" for size in sizes)
        command = f"python -m tests.benchmarks loading {words} --rounds {rounds} --write"
        source = f"Medians of {rounds} rounds on {circumstances()}"
        write_section(PAGE, "loading", f"{source}: `{command}`.\n\n{shown}")


if __name__ == "__main__":
    benchmarks()
