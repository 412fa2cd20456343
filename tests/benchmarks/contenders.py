"""Who is measured: each a command that sends a CSV file to the server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PYTHON: Final = sys.executable
RATE_OUT_OF_REACH: Final = "100000/s"
CURL: Final = (
    'curl -s -u till:md5 -H "Content-Type: application/json"'
    ' -d "[{\\"customerId\\":{1}}]" "$BASE_URL/targetGroups/{2}/targets/{3}/unEnroll"'
)


@dataclass(frozen=True, slots=True)
class Work:
    """One file to send, where to, and a fresh folder to work in."""

    base_url: str
    input: Path
    folder: Path
    concurrency: int


@dataclass(frozen=True, slots=True)
class Contender:
    """``missing`` names what is not installed; ``most_rows`` is what it can do in fair time."""

    name: str
    command: Callable[[Work], Sequence[str]]
    missing: str | None = None
    most_rows: int | None = None


def _program(*more: str) -> Callable[[Work], Sequence[str]]:
    def command(work: Work) -> Sequence[str]:
        options = ("--out", str(work.folder / "out"), "--rate", RATE_OUT_OF_REACH, *more)
        send = (
            *("--base-url", work.base_url, "--concurrency", str(work.concurrency), "--yes"),
            *("--history", "off", "--first-time", "go"),
        )
        return (PYTHON, "-m", "bulk_unenroll", "run", str(work.input), *send, *options)

    return command


def _pool(name: str) -> Callable[[Work], Sequence[str]]:
    def command(work: Work) -> Sequence[str]:
        module = f"tests.benchmarks.pools.{name}"
        results = str(work.folder / "results.csv")
        words = (work.base_url, str(work.input), results, str(work.concurrency))
        return (PYTHON, "-m", module, *words)

    return command


def _parallel(work: Work) -> Sequence[str]:
    jobs = ("-j", str(work.concurrency), "--colsep", ",", "--header", "1")
    return ("parallel", *jobs, "-a", str(work.input), CURL)


def _without(module: str) -> str | None:
    return None if find_spec(module) else module


def _without_command(*names: str) -> str | None:
    return next((name for name in names if not shutil.which(name)), None)


TUNED: Final = "tuned aiohttp pool on uvloop, no ledger"
PLAIN: Final = "plain aiohttp pool, no ledger"
PROGRAM: Final = "bulk-unenroll run --no-export"
OURS: Final = (
    Contender(PROGRAM, _program("--no-export")),
    Contender("bulk-unenroll run", _program()),
)
CONTENDERS: Final = (
    Contender(TUNED, _pool("tuned"), _without("uvloop")),
    Contender(PLAIN, _pool("plain")),
    *OURS,
    Contender("requests in threads, no ledger", _pool("threads"), _without("requests"), 3000),
    Contender("GNU parallel and curl", _parallel, _without_command("parallel", "curl"), 300),
)
