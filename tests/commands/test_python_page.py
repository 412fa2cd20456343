"""The examples of ``docs/python.md`` and of the README run as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bulk_unenroll as bu
from tests.kit.command import CREDENTIALS, REPO, SAMPLES, Witness

BLOCK = re.compile(r"<!-- example: (\w+) -->\n```python\n(.*?)```", re.DOTALL)
PAGES = ("docs/python.md", "README.md")


def examples(page: str) -> dict[str, str]:
    return dict(BLOCK.findall((REPO / page).read_text("utf-8")))


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    made = Witness(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in (CREDENTIALS | {"BULK_UNENROLL_BASE_URL": made.base_url}).items():
        monkeypatch.setenv(name, value)
    content = (SAMPLES / "cleanup.csv").read_bytes()
    (tmp_path / "drop").mkdir()
    for name in ("customers.csv", "drop/2026-11-25.csv"):
        (tmp_path / name).write_bytes(content)
    yield made
    made.stop()


@pytest.fixture
def done(api: Witness, tmp_path: Path) -> None:
    """A folder with results, and a table of the reader's own."""
    bu.run("customers.csv", out="c.unenroll", rate="2000/s")
    customers = [row.customer_id for row in bu.results("c.unenroll") if row.customer_id]
    lines = (f"{who},{'gold' if who % 2 else 'silver'}\n" for who in sorted(set(customers)))
    (tmp_path / "segments.csv").write_text("customer,segment\n" + "".join(lines))


def run_example(page: str, name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    code = examples(page)[name].replace('rate="100/s"', 'rate="2000/s"')
    exec(compile(code, f"{page}: {name}", "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_the_first_example(page: str, api: Witness, capsys: pytest.CaptureFixture[str]) -> None:
    end = run_example(page, "first")["end"]
    assert end.counts.succeeded == 960 == len(api.applied())
    assert "bulk-unenroll run c.unenroll/failed.csv" in capsys.readouterr().out


def test_a_notebook_s_rerun_of_one_code(done: None, api: Witness) -> None:
    calls = len(api.seen())
    end = run_example("docs/python.md", "rerun")["end"]
    assert end.exit == 1
    assert len(api.seen()) - calls == end.counts.codes["310011"] == 2


def test_a_join_with_pandas(done: None, capsys: pytest.CaptureFixture[str]) -> None:
    joined = run_example("docs/python.md", "pandas")["joined"]
    assert set(joined["segment"]) == {"gold", "silver"}
    assert not joined["status"].isna().any()


@pytest.mark.needs("duckdb")
def test_a_join_with_duckdb(done: None, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("docs/python.md", "duckdb")
    found = eval(capsys.readouterr().out)
    assert sum(number for _, status, number in found if status == "succeeded") == 960


def test_a_task_of_a_dag(api: Witness) -> None:
    unenroll = run_example("docs/python.md", "task")["unenroll"]
    calls = len(api.seen())
    assert unenroll("2026-11-25")["succeeded"] == 960  # a second try calls nobody again
    assert len(api.seen()) == calls


def test_progress_in_asyncio(api: Witness, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("docs/python.md", "events")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["998 of 998", lines[-1]]
    assert "rows failed" in lines[-1]


def test_every_example_is_run() -> None:
    tests = Path(__file__).read_text("utf-8")
    for page in PAGES:
        blocks = (REPO / page).read_text("utf-8").count("```python\n")
        assert len(examples(page)) == blocks
        for name in examples(page):
            assert json.dumps(name) in tests
