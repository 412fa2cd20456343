"""The connection to a shared ledger is cut before any of its statements: nobody is lost.

Whatever a command was doing, it waits and goes on, or ends with 75 and does so the next time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bulk_unenroll as bu
from bulk_unenroll.errors import Fenced
from tests.kit.command import CREDENTIALS, Witness, know_targets, people
from tests.kit.postgres import Server
from tests.kit.tiers import long

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.thorough
NUMBER = 24
OPTIONS: dict[str, Any] = {"rate": "500/s", "first_time": "go", "canary": 4, "concurrency": 4}


class Scissors:
    """Ends a session of the server before its statement of a number; all are counted."""

    def __init__(self, server: Server) -> None:
        self._url = server.url()
        self.asked: list[bytes] = []
        self.cut_at = 0

    def execute(self, real: Any) -> Any:
        def asks(raw: Any, query: Any, *given: Any, **more: Any) -> Any:
            self.asked.append(query if isinstance(query, bytes) else repr(query).encode())
            if len(self.asked) == self.cut_at:
                self._cut(raw.info.backend_pid)
            return real(raw, query, *given, **more)

        return asks

    def _cut(self, session: int) -> None:
        with closing(psycopg.connect(self._url, autocommit=True)) as tool, tool.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [session])  # not counted

    def begin(self, cut_at: int = 0) -> None:
        self.asked, self.cut_at = [], cut_at

    @property
    def firsts(self) -> list[int]:
        """The number of the first of each kind of statement."""
        return [self.asked.index(query) + 1 for query in dict.fromkeys(self.asked)]


@pytest.fixture
def scissors(server: Server, monkeypatch: pytest.MonkeyPatch) -> Scissors:
    made = Scissors(server)
    monkeypatch.setattr(psycopg.Connection, "execute", made.execute(psycopg.Connection.execute))
    return made


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    made = Witness(tmp_path)
    for name, value in (CREDENTIALS | {"BULK_UNENROLL_BASE_URL": made.base_url}).items():
        monkeypatch.setenv(name, value)
    know_targets(made.base_url)
    yield made
    made.stop()


class Job:
    """A job that nobody began."""

    def __init__(self, folder: Path, name: str, url: str, customers: range) -> None:
        lines = [f"{who},1001,2001" for who in customers]
        self.name, self.url = name, url
        self.input = folder / f"{name}.csv"
        self.input.write_text("\n".join(["customerId,targetGroupId,targetId", *lines, ""]))
        self.customers = customers
        self.folder = bu.shared(name, ledger=url, folder=folder / name)

    def run(self) -> int:
        return bu.run(self.input, out=self.folder, **OPTIONS).exit.code

    def begin(self) -> None:
        """Let it be begun by somebody who is gone."""
        bu.run(self.input, out=self.folder, limit=1, **OPTIONS)
        with closing(psycopg.connect(self.url, autocommit=True)) as tool, tool.cursor() as cursor:
            cursor.execute(
                f'UPDATE "bulk_unenroll_{self.name}".run'
                " SET ended_at = NULL, exit_code = NULL, joinable = true"
            )

    def work(self) -> int:
        return bu.work(self.folder).exit.code


def goes_on(do: Callable[[], int]) -> int:
    """The code of a command that is started again when it says so."""
    for _ in range(3):
        with suppress(Fenced):
            return do()
    raise AssertionError("it ends with 75 again and again")


def drill(
    scissors: Scissors, api: Witness, do: Callable[[Job], int], new: Callable[[int], Job],
    dice: random.Random, most: int,
) -> None:  # fmt: skip
    first = new(0)
    scissors.begin()
    assert do(first) == 0
    firsts = scissors.firsts
    for number, cut_at in enumerate(dice.sample(firsts, min(most, len(firsts))), 1):
        job = new(number)
        scissors.begin(cut_at)
        code = goes_on(partial(do, job))
        query = scissors.asked[cut_at - 1] if len(scissors.asked) >= cut_at else b""
        assert code in (0, 3), query
        code = goes_on(job.run) if code == 3 else code
        seen = Counter(call["customer"] for call in api.seen() if call["customer"] in job.customers)
        assert set(seen) == set(job.customers), query
        attempts = Counter(row.attempts for row in bu.results(job.folder))
        assert sum(seen.values()) <= sum(tries * n for tries, n in attempts.items()), query
        bu.verify(job.folder)


@pytest.mark.parametrize("most", [10, *long(1000)])
def test_a_run_is_cut_off_anywhere(
    scissors: Scissors, api: Witness, server: Server, tmp_path: Path, seed: int, most: int
) -> None:
    def new(number: int) -> Job:
        before = NUMBER * number
        return Job(tmp_path, f"cut-{number}-{most}", server.url(), people(NUMBER, before))

    drill(scissors, api, Job.run, new, random.Random(seed), most)


@pytest.mark.parametrize("most", [10, *long(1000)])
def test_who_joins_is_cut_off_anywhere(
    scissors: Scissors, api: Witness, server: Server, tmp_path: Path, seed: int, most: int
) -> None:
    def new(number: int) -> Job:
        before = NUMBER * (1000 + number)
        job = Job(tmp_path, f"join-{number}-{most}", server.url(), people(NUMBER, before))
        job.begin()
        return job

    drill(scissors, api, Job.work, new, random.Random(seed), most)
