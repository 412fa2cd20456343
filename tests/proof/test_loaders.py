"""Millions of rows in several parts, and a loader that is killed at them: the account closes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from tests.benchmarks.parts import make_parts
from tests.kit.command import Desk
from tests.kit.postgres import Server
from tests.kit.tiers import long

LOADERS = """SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relname IN ('arriving', 'division') AND l.mode = 'RowShareLock'"""
FIRST = "SELECT id >> 40, count(*) FROM bulk_unenroll_parts.item GROUP BY 1 ORDER BY 1"


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    import psycopg

    with closing(psycopg.connect(server.url(), autocommit=True)) as tool:
        yield lambda question: tool.execute(question.encode()).fetchall()


def first_places(folder: Path) -> list[int]:
    """How many customers/targets stand first in each part, by other means than the program's."""
    tables = [parquet.read_table(path) for path in sorted(folder.iterdir())]
    keys = [table["customerId"].to_numpy() * 100 + table["targetId"].to_numpy() % 100
            for table in tables]  # fmt: skip
    _, first = np.unique(np.concatenate(keys), return_index=True)
    ends = np.cumsum([len(some) for some in keys])
    found: list[int] = np.bincount(np.searchsorted(ends, first, side="right")).tolist()
    return found


def further_loader(planner: int) -> int:
    """The process that ``--loaders 2`` starts."""
    children = Path(f"/proc/{planner}/task/{planner}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.01)
    return int(found[0])


@pytest.mark.attack("a killed loader of many parts", "each row once; the first place stays")
@pytest.mark.parametrize("rows", long(4_000_000))
def test_a_loader_killed_among_millions_of_rows_loses_none(
    desk: Desk,
    server: Server,
    ask: Callable[[str], list[tuple[Any, ...]]],
    proof: Callable[..., None],
    rows: int,
) -> None:
    parts = make_parts(desk.folder / "parts", rows, 8)
    words = ("--ledger", server.url(), "--job", "parts")
    plan = desk.start("plan", parts, *words, "--loaders", 2)
    loader = further_loader(plan.pid)
    while ask(LOADERS) != [(2,)]:
        assert plan.poll() is None, "it was over before two loaders were at it"
        time.sleep(0.005)
    os.kill(loader, signal.SIGKILL)
    _, err = plan.communicate(timeout=1800)
    assert (plan.returncode, b'"loader_failed"' in err) == (0, True), err
    counts = desk.do("status", *words, "--json").json["rows"]
    expected = first_places(parts)
    assert ask(FIRST) == list(enumerate(expected, start=1))
    assert counts == {
        "read": rows, "invalid": 0, "duplicate": rows - sum(expected), "unique": sum(expected),
    }  # fmt: skip
    assert desk.do("verify", *words, timeout_s=1800).code == 0
    proof(rows=rows, parts=8, loaders=2, killed=1, lost=0)
