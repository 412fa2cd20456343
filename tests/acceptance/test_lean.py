"""A run folder needs no server and no extra: with the lean install everything works as it does."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.kit.command import Desk, Witness, people

LEAN = (
    "import sys; extras = ('psycopg', 'distributed', 'fsspec', 'apprise', 'xlsxwriter');"
    " sys.modules.update(dict.fromkeys(extras)); from bulk_unenroll.__main__ import main; main()"
)


@pytest.mark.thorough
def test_a_job_from_its_plan_to_its_end(desk: Desk, witness: Callable[..., Witness]) -> None:
    api = witness("[[rule]]\ncustomers = [423000007]\ntimes = 1\ncode = 310011\n")
    desk.program = (sys.executable, "-c", LEAN)
    desk.write("a.csv", [(who, 1001, 2001) for who in people(30)])
    fast = ("--rate", "600/s", "--first-time", "go")
    assert desk.do("plan", "a.csv").code == 0
    assert desk.do("run", "a.csv", "--yes", "--limit", 20, *fast).code == 3
    assert desk.do("resume", "a.unenroll", "--yes").code == 1
    assert desk.do("retry", "a.unenroll", "--yes", "--code", "310011").code == 0
    assert api.applied() == set(people(30))
    for words in (
        ("status", "a.unenroll"),
        ("explain", "a.unenroll", 423000007),
        ("export", "a.unenroll", "--to", "out.parquet"),
        ("report", "a.unenroll"),
        ("verify", "a.unenroll"),
        ("codes",),
    ):
        ended = desk.do(*words)
        assert ended.code == 0, ended.err
    assert desk.do("stop", "a.unenroll").code == 3
    assert len(desk.results("a.unenroll/results.csv")) == 30


@pytest.mark.thorough
@pytest.mark.parametrize(
    "words",
    [
        *(
            (name, "--job", "a")
            for name in ("status", "stop", "work", "resume", "verify", "report")
        ),
        ("retry", "--job", "a", "--state", "failed"),
        ("explain", "--job", "a", "1"),
        ("export", "--job", "a", "--to", "out.csv"),
        ("plan", "a.csv", "--job", "a"),
        ("run", "a.csv", "--job", "a", "--yes"),
        ("move", "own.unenroll", "--to", "postgresql://u@127.0.0.1:9/x", "--job", "a"),
    ],
    ids=lambda words: words[0],
)
def test_what_needs_an_extra_says_which(desk: Desk, words: tuple[str, ...]) -> None:
    desk.program = (sys.executable, "-c", LEAN)
    desk.write("a.csv", [(1, 1001, 2001)])
    desk.write("own.csv", [(1, 1001, 2001)])
    assert desk.do("plan", "own.csv").code == 0
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = "postgresql://u@127.0.0.1:9/x"
    ended = desk.do(*words)
    assert ended.code == 78, ended.err
    assert "pip install 'bulk-unenroll[postgres]'" in ended.err
