"""What loading and sending cost now, and what they cost at an earlier revision, in turns.

Also what a never-list of as many customers as there are rows adds to a plan. CPU of whole
processes; a quarter of the rows is subtracted, so that start and imports do not count.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.loading import make_inputs
from tests.benchmarks.measuring import serving, spent_by, write_input
from tests.kit.command import REPO

SMALL_SHARE: Final = 4
SENT_SHARE: Final = 20
"""Sending costs more than loading, so a run has one row in this many."""
RUN: Final = "run, a twentieth of the rows"
ENDS: Final = (0, 1)
"""A plan ends with 1 if rows are invalid, as most files for loading have some."""
NOW: Final = "now"
Words = Sequence[str]
Figures = dict[str, dict[str, float]]
"""CPU microseconds a row, by what was done and by revision."""


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A folder with the package as it was at a revision."""
    command = ["git", "archive", "--format=tar", revision, "bulk_unenroll"]
    packed = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def measure(revision: str, rows: int, rounds: int) -> Figures:
    """The median of some rounds."""
    seconds: dict[tuple[str, str, int], list[float]] = {}
    with (
        checked_out(revision) as before,
        serving() as server,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        sizes = (rows, rows // SMALL_SHARE)
        files = {size: _files(folder, size) for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                for what, words in _works(files[size], server.base_url).items():
                    for when, place in ((revision, before), (NOW, REPO)):
                        if what.endswith("a never-list") and when != NOW:
                            continue
                        spent = _cpu_s(place, folder / "work", words, server.base_url)
                        seconds.setdefault((what, when, size), []).append(spent)
    found: Figures = {}
    for what, when, size in seconds:
        if size == rows:
            few = rows // SMALL_SHARE
            more = (rows - few) / (SENT_SHARE if what == RUN else 1)
            cpu_s = median(seconds[what, when, rows]) - median(seconds[what, when, few])
            found.setdefault(what, {})[when] = cpu_s / more * 1e6
    return found


def _files(folder: Path, rows: int) -> dict[str, Path]:
    text, parquet = make_inputs(folder, rows)
    never = folder / f"never-{rows}.csv"
    never.write_text("customerId\n" + "".join(f"{900_000_000 + n}\n" for n in range(rows)))
    sent = write_input(folder / f"sent-{rows}.csv", rows // SENT_SHARE)
    return {"csv": text, "parquet": parquet, "never": never, "sent": sent}


def _works(files: dict[str, Path], base_url: str) -> dict[str, Words]:
    sending = (
        *("--base-url", base_url, "--yes", "--rate", "100000/s", "--concurrency", "64"),
        *("--canary", "0", "--no-export"),
    )
    return {
        "plan of CSV": ("plan", str(files["csv"])),
        "plan of Parquet": ("plan", str(files["parquet"])),
        "plan of CSV with a never-list": (
            *("plan", str(files["csv"]), "--never", str(files["never"])),
        ),
        RUN: ("run", str(files["sent"]), *sending),
    }


def _cpu_s(place: Path, work: Path, words: Words, base_url: str) -> float:
    work.mkdir()
    environment = (f"PYTHONPATH={place}", f"XDG_STATE_HOME={work}")
    program = ("env", *environment, sys.executable, "-P", "-m", "bulk_unenroll")
    try:
        command = (*program, *words, "--out", str(work / "out"))
        spent = spent_by(command, base_url, ends_with=ENDS)
    finally:
        shutil.rmtree(work)
    return spent.cpu_s


def table(found: Figures, revision: str) -> str:
    """As Markdown."""
    lines = [f"| what | {revision} | now | ratio |", "|---|---:|---:|---:|"]
    for what, by_revision in found.items():
        then, now = by_revision.get(revision), by_revision[NOW]
        shown = f"{then:.2f} µs | {now:.2f} µs | {now / then:.2f}" if then else f"| {now:.2f} µs |"
        lines.append(f"| {what} | {shown} |")
    return "\n".join([*lines, ""])
