"""How large and small inputs come into the file, and what an unfinished one leaves."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.errors import InputRefused, LedgerFailed
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite import loading
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.loading import Loading
from bulk_unenroll.model import Enrollment, Invalid
from tests.ledger.kit import BAD_ID, batches, confirmed, info, key, keys, plan, results, states
from tests.ledger.sqlite.kit import SqlitePlace

ROWS: list[Enrollment | Invalid] = [
    *keys(1, 2),
    BAD_ID,
    *keys(1, 3, 1),
    key(1, target=7),
    *keys(2, 9),
]
PERSONAL = ("item", "row", "chunk", "share", "source")


@pytest.fixture(params=["by rows", "in bulk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small inputs are loaded as small ones, or as large ones."""
    found = str(request.param)
    if found == "in bulk":
        monkeypatch.setattr(loading, "BULK_FROM_ROWS", 1)
    monkeypatch.setattr(loading, "COMMIT_ROWS", 4)
    return found


def kept(folder: Path) -> dict[str, int]:
    """How many lines the tables have that hold anything of an input."""
    with closing(sqlite3.connect(ledger_path(folder))) as tool:
        return {
            name: tool.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in PERSONAL
        }


def indexes(folder: Path) -> set[str]:
    with closing(sqlite3.connect(ledger_path(folder))) as tool:
        found = tool.execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall()
        return {name for (name,) in found}


def test_both_ways_come_to_the_same(
    tmp_path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(ledger, ROWS, chunk=3)
    monkeypatch.setattr(loading, "BULK_FROM_ROWS", 1)
    with closing(SqlitePlace(tmp_path / "bulk").open()) as other:
        plan(other, ROWS, chunk=3)
        assert results(other) == results(ledger)
        assert other.reader.counts_by_target([1]) == ledger.reader.counts_by_target([1])
        assert other.reader.integrity_faults() == []


def test_only_the_first_input_of_a_folder_is_loaded_in_bulk(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BULK_FROM_ROWS", 1)
    plan(ledger, keys(1, 2))
    monkeypatch.setattr(Loading, "_add_in_bulk", None)
    second = plan(ledger, keys(2, 3), "b.csv")
    assert [row.row for row in results(ledger) if row.source_id == second] == [1, 2]


@pytest.mark.usefixtures("way")
def test_nothing_of_a_refused_input_stays_in_the_file(ledger: SqliteLedger, folder: Path) -> None:
    def refused() -> Iterator[Batch]:
        yield from batches(ROWS, 2)
        raise InputRefused("it ends in the middle of a row")

    before = indexes(folder)
    with pytest.raises(InputRefused):
        ledger.load(info(), refused())
    assert kept(folder) == dict.fromkeys(PERSONAL, 0)
    assert indexes(folder) == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("before", [[], keys(2)])
def test_an_unfinished_load_is_dropped_at_the_next_opening(
    place: SqlitePlace, before: list[Enrollment], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[SqlitePlace] = []
    finish = Loading._finish

    def kill_and_finish(load: Loading, *bulk: object) -> None:
        killed.append(place.after_kill())
        finish(load, *bulk)  # type: ignore[arg-type]

    with closing(place.open()) as ledger:
        if before:
            confirmed(ledger, before, "before.csv")
        monkeypatch.setattr(Loading, "_finish", kill_and_finish)
        plan(ledger, ROWS, chunk=2)
        monkeypatch.undo()
    assert kept(killed[0].folder)["item"] > len(before)
    with closing(killed[0].open()) as again:
        assert indexes(killed[0].folder) == indexes(place.folder)
        assert states(again) == {row.customer: "pending" for row in before}
        assert [source.name for source in again.reader.sources()] == ["before.csv"] * bool(before)
        assert again.reader.integrity_faults() == []


def test_targets_of_a_refused_input_get_their_numbers_again(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bulk prepares keys for the numbers that an empty ledger gives; here they are others."""
    monkeypatch.setattr(loading, "BULK_FROM_ROWS", 1)
    monkeypatch.setattr(loading, "COMMIT_ROWS", 1)

    def refused() -> Iterator[Batch]:
        yield from batches([key(1, target=7), key(2, target=8), key(3, target=8)], 1)
        raise InputRefused("it ends in the middle of a row")

    with pytest.raises(InputRefused):
        ledger.load(info(), refused())
    rows = [key(1, target=8), key(2, target=9), key(3, target=7)]
    plan(ledger, rows)
    found = [(row.customer_id, row.target_id) for row in results(ledger)]
    assert found == [(row.customer, row.target.rule) for row in rows]


def test_a_load_that_fails_leaves_no_thread_behind(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for more would keep the process from ending."""
    failures = []

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Loading, "_add_batch", fail)
    before = threading.active_count()
    try:
        plan(ledger, keys(*range(1, 100)), chunk=10)
    except LedgerFailed as failed:
        failures.append(failed)  # it keeps the frames in which it was raised
    assert failures
    assert threading.active_count() == before
