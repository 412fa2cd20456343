"""``python -m tests.benchmarks WHAT``.

sending, scale, pace, loading, parts, senders, since, watching.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.benchmarks import chart, loading, pace, parts, senders, sending, since, watching
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


@benchmarks.command("senders")
@click.option("--rows", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_senders(rows: int, rounds: int, write: bool) -> None:
    """What a row costs in each kind of ledger, and what several senders get done."""
    shown = senders.table(senders.measure(rows, rounds), rows)
    click.echo(shown)
    if write:
        command = f"python -m tests.benchmarks senders --rows {rows} --rounds {rounds} --write"
        source = f"Medians of {rounds} rounds on {circumstances()}, the server on the same cores"
        write_section(PAGE, "senders", f"{source}: `{command}`.\n\n{shown}")


@benchmarks.command("parts")
@click.option("--rows", type=click.IntRange(100), default=4_000_000, show_default=True)
@click.option("--parts", "number", type=click.IntRange(2), default=8, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to make the files.")
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_parts(rows: int, number: int, rounds: int, folder: Path | None, write: bool) -> None:
    """The plan of several parts, by one loader and by two."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        shown = parts.table(rows, parts.measure(rows, number, rounds, Path(place)))
    click.echo(shown)
    if write:
        command = f"python -m tests.benchmarks parts --rows {rows} --parts {number}"
        source = f"{rows:,} rows in {number} Parquet parts, medians of {rounds} rounds on"
        words = f"{source} {circumstances()}: `{command} --rounds {rounds} --write`"
        write_section(PAGE, "parts", f"{words}.\n\n{shown}")


@benchmarks.command("since")
@click.argument("revision")
@click.option("--rows", type=click.IntRange(400), default=1_000_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_since(revision: str, rows: int, rounds: int, write: bool) -> None:
    """What loading and sending cost now, and at an earlier revision."""
    shown = since.table(since.measure(revision, rows, rounds), revision)
    click.echo(shown)
    if write:
        command = f"python -m tests.benchmarks since {revision} --rows {rows} --rounds {rounds}"
        source = f"CPU a row, medians of {rounds} rounds on {circumstances()}"
        write_section(PAGE, "since", f"{source}: `{command} --write`.\n\n{shown}")


@benchmarks.command("watching")
@click.option("--rows", type=click.IntRange(1000), default=10_000_000, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=200, show_default=True)
@click.option("--write", is_flag=True, help="Into docs/.")
def measure_watching(rows: int, jobs: int, write: bool) -> None:
    """How long people wait for the page."""
    shown = watching.table(*watching.measure(rows, jobs))
    click.echo(shown)
    if write:
        command = f"python -m tests.benchmarks watching --rows {rows} --jobs {jobs} --write"
        source = f"A file of {rows:,} rows, on {circumstances()}: `{command}`"
        write_section(PAGE, "watching", f"{source}.\n\n{shown}")


if __name__ == "__main__":
    benchmarks()
