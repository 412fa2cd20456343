"""The benchmarks run, whoever contends, and write what they found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import chart, loading, pace, parts, senders, sending, since
from tests.benchmarks.contenders import OURS, PLAIN, PROGRAM, Contender
from tests.benchmarks.page import write_section
from tests.kit.postgres import Server

pytestmark = pytest.mark.needs("matplotlib")
FEW_ROWS = 200


@pytest.fixture(scope="module")
def found() -> sending.Found:
    contenders = [one for one in sending.installed() if one.most_rows is None]
    return sending.measure(FEW_ROWS, 1, [8], contenders)


def test_each_contender_makes_every_call_once(found: sending.Found) -> None:
    assert {(8, PLAIN), (8, PROGRAM)} <= found.keys()
    assert all(figures.rows == FEW_ROWS for figures in found.values())


def test_a_contender_that_makes_too_few_calls_is_no_measure() -> None:
    lazy = Contender("lazy", lambda work: ("true",))
    with pytest.raises(RuntimeError, match="lazy made 0 calls for 4 rows"):
        sending.measure(4, 1, [1], [lazy])


def test_a_contender_that_fails_is_no_measure() -> None:
    broken = Contender("broken", lambda work: ("sh", "-c", "echo its last words >&2; exit 3"))
    with pytest.raises(RuntimeError, match="ended with 3: b'its last words"):
        sending.measure(4, 1, [1], [broken])


def test_the_figures_are_in_a_table_and_a_chart(found: sending.Found, tmp_path: Path) -> None:
    assert f"| 8 | {PROGRAM} | " in sending.table(found)
    chart.draw(found, 8, tmp_path / "chart.svg")
    assert "8 calls in flight" in (tmp_path / "chart.svg").read_text()


def test_many_rows_are_held_against_few() -> None:
    found = sending.measure_sizes([40, 80], 1, 8, OURS[:1])
    assert f"\n| 80 | {PROGRAM} | " in sending.scale_table(found)


def test_what_is_loaded_is_planned_resumed_and_exported(tmp_path: Path) -> None:
    shown = loading.table(500, loading.measure(500, 1, tmp_path))
    for what in ("walk", "plan parquet", "plan csv", "resume to first request", "export csv"):
        assert f"| 500 | {what} | " in shown


def test_one_loader_is_held_against_two(server: Server, tmp_path: Path) -> None:
    shown = parts.table(900, parts.measure(900, 3, 1, tmp_path))
    for what in ("1 loader", "2 loaders"):
        assert f"\n| {what} | " in shown


def test_a_revision_is_held_against_another() -> None:
    shown = since.table(since.measure("HEAD", 400, 1), "HEAD")
    for what in ("plan of CSV", "plan of Parquet", "plan of CSV with a never-list", "run, "):
        assert f"| {what}" in shown


def test_senders_of_both_kinds_are_measured(server: Server) -> None:
    shown = senders.table(senders.measure(20_000, 1, (1, 2)), 20_000)
    for what in ("| 128 | ", "\n| 2 | ", "20,000 rows are loaded"):
        assert what in shown


def test_the_pace_is_measured_at_the_server() -> None:
    (kept,) = pace.measure([300], seconds=0.5, concurrency=8)
    assert kept.calls == 150
    assert 0 < kept.most_in_window <= 300


def test_only_the_section_of_its_name_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    write_section(page, "a", "new \\1\n")
    assert page.read_text() == "before\n<!-- a -->\nnew \\1\n<!-- end of a -->\nafter\n"
    with pytest.raises(LookupError, match=r"page\.md has no place for b"):
        write_section(page, "b", "new\n")
