"""How long a plan of several parts takes with one loader and with two, in a shared job.

The parts have shuffled customers, 12 targets, and 2 % of the rows repeat one of any part. The
server is beside the loaders, on the same cores and in memory, so what it costs is shared by all:
that two loaders are faster comes from what they do at the same time, not from a second machine.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq

from tests.benchmarks import loading
from tests.benchmarks.loading import DUPLICATE_SHARE, FIRST_CUSTOMER, TARGETS, Figures
from tests.kit.postgres import programs, running_server

LOADERS: Final = (1, 2)


def make_parts(folder: Path, rows: int, parts: int) -> Path:
    """A folder of Parquet parts, ``rows`` rows together; the same ones each time."""
    folder.mkdir()
    dice = np.random.default_rng(1)
    customers, targets = dice.permutation(rows) + FIRST_CUSTOMER, dice.integers(0, TARGETS, rows)
    again = np.flatnonzero(dice.random(rows) < DUPLICATE_SHARE)
    first = (dice.random(len(again)) * again).astype(np.int64)
    customers[again], targets[again] = customers[first], targets[first]
    cut = zip(np.array_split(customers, parts), np.array_split(targets, parts), strict=True)
    for number, (who, target) in enumerate(cut):
        columns = {
            "customerId": pa.array(who),
            "targetGroupId": pa.array(30001 + target // 4),
            "targetId": pa.array(70001 + target),
        }
        pq.write_table(pa.table(columns), folder / f"part-{number:03}.parquet")
    return folder


def measure(rows: int, parts: int, rounds: int, folder: Path) -> Figures:
    """The seconds of each plan, in rounds that take turns."""
    bin_ = programs()
    if bin_ is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    figures, given = Figures(), make_parts(folder / "parts", rows, parts)
    numbers = itertools.count(1)
    with running_server(bin_) as server:
        for _ in range(rounds):
            for loaders in LOADERS:
                job, name = f"parts-{next(numbers)}", _name(loaders)
                words = ("--ledger", server.url(), "--job", job, "--out", folder / job)
                loading.measured(figures, name, "plan", given, *words, "--loaders", str(loaders))
    shutil.rmtree(given)
    return figures


def _name(loaders: int) -> str:
    return f"{loaders} loader{'s' if loaders > 1 else ''}"


def table(rows: int, figures: Figures) -> str:
    """As Markdown."""
    lines = ["| who loads | s | rows/s | times one loader |", "|---|---:|---:|---:|"]
    one_s = figures.median_s(_name(1))
    for name in figures.seconds:
        took_s = figures.median_s(name)
        lines.append(f"| {name} | {took_s:.1f} | {rows / took_s:,.0f} | {took_s / one_s:.2f} |")
    return "\n".join([*lines, ""])
