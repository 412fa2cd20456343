"""How fast large inputs are planned, resumed and exported.

For each number of rows it makes a CSV and a Parquet file with the same ids: shuffled customers, 12
targets, 2 % duplicates, 1 % invalid. ``walk`` is Python's own ``csv.reader`` going over the CSV
file, ``loop`` a bare loop over the ledger's view ``results``: what the other figures are held
against, in rounds that take turns. Seconds are wall time, memory is the peak of the process.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as pa_csv
from pyarrow import parquet as pq

PROGRAM = (sys.executable, "-m", "bulk_unenroll")
ENVIRONMENT = {
    **os.environ,
    "BULK_UNENROLL_USERNAME": "bench@example.com",
    "BULK_UNENROLL_PASSWORD": "bench",
}
TARGETS = 12
DUPLICATE_SHARE = 0.02
INVALID_SHARE = 0.01
FIRST_CUSTOMER = 400_000_000


@dataclass
class Figures:
    """Seconds of each round, and the highest peak memory, by what was measured."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, seconds: float, peak_mb: float = 0.0) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        self.peak_mb[name] = max(peak_mb, self.peak_mb.get(name, 0.0))

    def median_s(self, name: str) -> float:
        return statistics.median(self.seconds[name])


# ── input ────────────────────────────────────────────────────────────────────────────────────────


def make_inputs(folder: Path, rows: int) -> tuple[Path, Path]:
    """A CSV and a Parquet file of ``rows`` rows; the same ones each time.

    In a separate process: the peak memory of a child counts what its parent had before ``exec``.
    """
    text, parquet = folder / f"{rows}.csv", folder / f"{rows}.parquet"
    maker = multiprocessing.get_context("spawn").Process(target=_make, args=(rows, text, parquet))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit(f"the input files could not be made: exit {maker.exitcode}")
    return text, parquet


def _make(rows: int, text: Path, parquet: Path) -> None:
    dice = np.random.default_rng(1)
    customers = dice.permutation(rows) + FIRST_CUSTOMER
    targets = dice.integers(0, TARGETS, rows)
    again = np.flatnonzero(dice.random(rows) < DUPLICATE_SHARE)
    first = (dice.random(len(again)) * again).astype(np.int64)
    customers[again], targets[again] = customers[first], targets[first]
    texts = customers.astype(str).astype(object)
    texts[dice.random(rows) < INVALID_SHARE] = "no id"
    table = pa.table(
        {
            "customerId": pa.array(texts, pa.string()),
            "targetGroupId": pa.array(30001 + targets // 4),
            "targetId": pa.array(70001 + targets),
        }
    )
    pa_csv.write_csv(table, text, pa_csv.WriteOptions(quoting_style="none"))
    pq.write_table(table, parquet)


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


def measured(figures: Figures, name: str, *arguments: str | Path) -> None:
    """Run a command to its end."""
    began_s = time.monotonic()
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        told = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{name} ended with {process.returncode}: {told}")
    figures.add(name, time.monotonic() - began_s, usage.ru_maxrss / 1024)


def walk(figures: Figures, path: Path) -> None:
    began_s = time.monotonic()
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            pass
    figures.add("walk", time.monotonic() - began_s)


def loop(figures: Figures, folder: Path) -> None:
    began_s = time.monotonic()
    connection = sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)
    for _ in connection.execute("SELECT * FROM results"):
        pass
    connection.close()
    figures.add("loop", time.monotonic() - began_s)


@contextmanager
def busy_api() -> Iterator[tuple[int, Callable[[], float]]]:
    """An API that answers every call with 429: its port, and when the next call comes."""
    came = threading.Semaphore(0)

    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                came.release()
                connection.sendall(
                    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )

    def next_call_s() -> float:
        if not came.acquire(timeout=600):
            raise SystemExit("no call came within ten minutes")
        return time.monotonic()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        yield server.getsockname()[1], next_call_s
        server.shutdown(socket.SHUT_RDWR)


def first_request(figures: Figures, name: str, *arguments: str | Path) -> None:
    """From the start of a command to its first request; it is stopped then."""
    with busy_api() as (port, next_call_s):
        options = ("--base-url", f"http://127.0.0.1:{port}/v3.1", "--no-export")
        began_s = time.monotonic()
        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments), *options],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        figures.add(name, next_call_s() - began_s)
        process.terminate()
        process.wait()


def measure(rows: int, rounds: int, folder: Path) -> Figures:
    """All figures for one number of rows."""
    figures = Figures()
    text, parquet = make_inputs(folder, rows)
    out = folder / "out"
    for _ in range(rounds):
        walk(figures, text)
        for name, path in (("plan parquet", parquet), ("plan csv", text)):
            shutil.rmtree(out, ignore_errors=True)
            measured(figures, name, "plan", path, "--out", out)
    first_request(Figures(), "run", "run", text, "--out", out, "--yes")
    for _ in range(rounds):
        first_request(figures, "resume to first request", "resume", out)
        loop(figures, out)
        for ending in ("csv", "parquet", "jsonl"):
            to = folder / f"export.{ending}"
            measured(figures, f"export {ending}", "export", out, "--to", to)
            to.unlink()
    shutil.rmtree(out)
    for path in (text, parquet):
        path.unlink()
    return figures


# ── the table ────────────────────────────────────────────────────────────────────────────────────

HEADER = """\
| rows | what | s | µs a row | rows/s | ratio | peak MB |
|---:|---|---:|---:|---:|---|---:|
"""


def table(rows: int, figures: Figures) -> str:
    """The figures of one number of rows as lines of a Markdown table, below ``HEADER``."""
    return "".join(_line(rows, figures, name) for name in figures.seconds)


def _line(rows: int, figures: Figures, name: str) -> str:
    seconds = figures.median_s(name)
    against = "loop" if name.startswith("export") else "walk"
    ratio = f"{seconds / figures.median_s(against):.1f} × {against}"
    shown = ratio if name.startswith(("plan", "export")) else ""
    peak = f"{figures.peak_mb[name]:.0f}" if figures.peak_mb[name] else ""
    return (
        f"| {rows:,} | {name} | {seconds:.2f} | {seconds / rows * 1e6:.2f} | {rows / seconds:,.0f}"
        f" | {shown} | {peak} |\n"
    )
