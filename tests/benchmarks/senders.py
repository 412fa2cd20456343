"""What a row costs the sender in each kind of ledger, and what several senders of one job get done.

Only the ledger's part: a call is answered as soon as it is claimed, so a turn records what the turn
before claimed. The PostgreSQL server runs on the same cores, so its figures are upper bounds.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Final

from bulk_unenroll.inputs.finding import find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import Attempt, Call, Entry, State
from tests.benchmarks.loading import make_inputs
from tests.kit.postgres import Server, programs, running_server

SIZES: Final = (8, 32, 128, 512)
TURN_ROWS: Final = 64
"""Of a turn where its size is not what is measured."""
FIGURE_SHARE: Final = 50
"""One row in so many is settled for each figure of CPU."""
BASE_URL: Final = "http://127.0.0.1:9/v3.1"
POSTGRES: Final = "PostgreSQL"
Kinds = dict[str, Callable[[Path], Ledger]]


@dataclass
class Figures:
    """Of each round: CPU µs a row by kind and size of turn, and of the first and the last rows of a
    job; rows a second by how many senders; seconds until the first claim.
    """

    turn_us: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    first_us: list[float] = field(default_factory=list)
    last_us: list[float] = field(default_factory=list)
    rows_a_second: dict[int, list[float]] = field(default_factory=dict)
    first_claim_s: list[float] = field(default_factory=list)


class Sender:
    """Settles a job's rows, a turn after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._calls: list[Call] = []

    def settle(self, most: float, turn_rows: int) -> int:
        """Settle about so many rows; how many it were."""
        settled = 0
        while settled < most:
            entries = [_answered(call) for call in self._calls]
            now_s = time.time()
            turn = self._ledger.turn(entries, claim=turn_rows, now_s=now_s, resend_after_s=now_s)
            settled, self._calls = settled + len(entries), turn.calls
            if not turn.calls and not turn.more:
                break
        return settled

    def cpu_us(self, rows: int, turn_rows: int) -> float:
        """CPU µs of this process for a row, of about ``rows``."""
        before_s = time.process_time()
        settled = self.settle(rows, turn_rows)
        return (time.process_time() - before_s) / settled * 1e6


def _answered(call: Call) -> Entry:
    now_s = time.time()
    attempt = Attempt(now_s - 0.2, now_s, "succeeded", None, None, 200, "request-1")
    return Entry(call, State.SUCCEEDED, attempt)


def measure(rows: int, rounds: int, teams: Sequence[int] = (1, 2, 4)) -> Figures:
    """Raises ``LookupError`` where PostgreSQL is not installed."""
    bin_ = programs()
    if bin_ is None:
        raise LookupError("PostgreSQL is not installed")
    found = Figures()
    with tempfile.TemporaryDirectory() as name, running_server(bin_) as server:
        folder = Path(name)
        _, parquet = make_inputs(folder, rows)
        kinds: Kinds = {
            "SQLite": SqliteLedger.open,
            POSTGRES: lambda place: PostgresLedger.open(server.url(), place.name),
        }
        for number in range(rounds):
            for kind, opened in kinds.items():
                place = folder / f"{kind.lower()}-{number}"
                place.mkdir()
                with closing(opened(place)) as ledger:
                    _measure_turns(ledger, parquet, kind, rows, found)
            for team in teams:
                rate = _team_rate(server, parquet, team, f"team-{number}-{team}")
                found.rows_a_second.setdefault(team, []).append(rate)
    return found


def _measure_turns(ledger: Ledger, parquet: Path, kind: str, rows: int, found: Figures) -> None:
    began_s = time.monotonic()
    _begin(ledger, parquet)
    sender = Sender(ledger)
    sender.settle(1, 1)
    loaded_s = time.monotonic() - began_s
    few = rows // FIGURE_SHARE
    first_us = sender.cpu_us(few, TURN_ROWS)
    for size in SIZES:
        found.turn_us.setdefault((kind, size), []).append(sender.cpu_us(few, size))
    if kind == POSTGRES:
        found.first_claim_s.append(loaded_s)
        found.first_us.append(first_us)
        sender.settle(0.8 * rows, max(SIZES))
        found.last_us.append(sender.cpu_us(few, TURN_ROWS))


def _begin(ledger: Ledger, parquet: Path) -> None:
    sources = load(ledger, find_inputs([str(parquet)]), ReadSettings(), parquet.parent)
    ledger.confirm(sources, BASE_URL)
    now_s = time.time()
    ledger.begin_run("run", "run", sources, now_s=now_s, resend_after_s=now_s)


def _team_rate(server: Server, parquet: Path, team: int, job: str) -> float:
    """Rows a second that so many processes settle of a job, from when all have joined."""
    context = multiprocessing.get_context("spawn")
    together, settled = context.Barrier(team + 1), context.Queue()
    with closing(PostgresLedger.open(server.url(), job)) as ledger:
        _begin(ledger, parquet)
        arguments = (server.url(), job, together, settled)
        members = [context.Process(target=_take_part, args=arguments) for _ in range(team)]
        for member in members:
            member.start()
        together.wait()
        began_s = time.monotonic()
        rows: int = sum(settled.get() for _ in members)
        took_s = time.monotonic() - began_s
        for member in members:
            member.join()
    return rows / took_s


def _take_part(url: str, job: str, together: Barrier, settled: Queue[int]) -> None:
    with closing(PostgresLedger.beside_others(url, job)) as ledger:
        assert ledger.join("benchmark")
        together.wait()
        settled.put(Sender(ledger).settle(math.inf, TURN_ROWS))


def table(found: Figures, rows: int) -> str:
    """As Markdown."""
    lines = ["| rows a turn | SQLite, µs | PostgreSQL, µs | ratio |", "|---:|---:|---:|---:|"]
    for size in SIZES:
        ours, theirs = (median(found.turn_us[kind, size]) for kind in ("SQLite", POSTGRES))
        lines.append(f"| {size} | {ours:.1f} | {theirs:.1f} | {theirs / ours:.2f} |")
    one = median(found.rows_a_second[1])
    lines += ["", "| senders | rows/s | ratio |", "|---:|---:|---:|"]
    for team, rates in found.rows_a_second.items():
        lines.append(f"| {team} | {median(rates):,.0f} | {median(rates) / one:.2f} |")
    first, last = median(found.first_us), median(found.last_us)
    lines += [
        "",
        f"{rows:,} rows are loaded and the first one is claimed after"
        f" {median(found.first_claim_s):.1f} s. A row at the end of the job costs"
        f" {last / first:.2f} of one at its beginning ({last:.1f} and {first:.1f} µs).",
    ]
    return "\n".join(lines) + "\n"
