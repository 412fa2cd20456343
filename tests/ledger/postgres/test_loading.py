"""How inputs come into the database, and what an unfinished one leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from bulk_unenroll.errors import InputRefused, LedgerFailed
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.postgres import loading
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.loading import Stager, finish
from bulk_unenroll.ledger.postgres.staging import as_copy
from bulk_unenroll.model import MAX_ID, Enrollment, Invalid
from tests.ledger.kit import (
    BAD_ID,
    batches,
    begin,
    claim,
    confirm,
    confirmed,
    customers,
    info,
    key,
    keys,
    plan,
    results,
    states,
)  # fmt: skip
from tests.ledger.postgres.kit import PostgresPlace, tool
from tests.ledger.sqlite.kit import SqlitePlace

ROWS: list[Enrollment | Invalid] = [
    *keys(1, 2),
    BAD_ID,
    *keys(1, 3, 1),
    key(1, target=7),
    key(MAX_ID, MAX_ID, MAX_ID, MAX_ID),
    *keys(2, 9),
]
PERSONAL = ("item", "row", "chunk", "share", "source", "line", "part")


def columnar(batch: Batch) -> Batch:
    """The same batch as tables bring it."""
    return replace(
        batch,
        rows=np.asarray(batch.rows, np.int64),
        customers=np.asarray(batch.customers, np.int64),
        target_places=np.asarray(batch.target_places, np.int64),
    )


def kept(place: PostgresPlace) -> dict[str, int]:
    """How many lines the tables have that hold anything of an input."""
    with tool(place) as other:
        found = {
            name: other.execute(f"SELECT count(*) FROM {name}").fetchall() for name in PERSONAL
        }
    return {name: number for name, ((number,),) in found.items()}


def test_rows_and_columns_are_copied_as_the_same_bytes() -> None:
    (batch,) = batches(ROWS)
    targets = list(range(1, len(batch.targets) + 1))
    assert as_copy(batch, 5 << 40, targets) == as_copy(columnar(batch), 5 << 40, targets)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("before", [[], [key(3), key(9, target=7)]])
def test_it_comes_to_what_it_comes_to_in_sqlite(
    ledger: PostgresLedger, tmp_path: Path, chunk: int, before: list[Enrollment]
) -> None:
    with closing(SqlitePlace(tmp_path / "other").open()) as other:
        for one in (ledger, other):
            if before:
                confirmed(one, before, "before.csv")
            source = one.load(info(content="x"), map(columnar, batches(ROWS, chunk)))
        assert results(ledger) == results(other)
        here, there = (one.reader.counts_by_target([source]) for one in (ledger, other))
        assert here == there


def test_an_input_with_the_same_customers_again_adds_none(ledger: PostgresLedger) -> None:
    first = confirmed(ledger, keys(*range(1, 50)), "a.csv")
    second = confirmed(ledger, keys(*range(49, 0, -1), 50), "b.csv")
    assert len(states(ledger)) == 50
    begin(ledger, second)
    assert customers(claim(ledger)) == [50, *range(49, 0, -1)]
    assert first != second


def test_nothing_of_a_refused_input_stays(ledger: PostgresLedger, place: PostgresPlace) -> None:
    def refused() -> Iterator[Batch]:
        yield from batches(ROWS, 2)
        raise InputRefused("it ends in the middle of a row")

    with pytest.raises(InputRefused):
        ledger.load(replace(info(), part_of="folder"), refused())
    assert kept(place) == dict.fromkeys(PERSONAL, 0)
    plan(ledger, ROWS)


def test_a_kill_in_the_middle_leaves_nothing(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_and_finish(*about: Any) -> None:
        place.after_kill()
        finish(*about)

    with closing(place.open()) as ledger:
        monkeypatch.setattr(loading, "finish", kill_and_finish)
        with pytest.raises(LedgerFailed):
            plan(ledger, ROWS, chunk=2)
        monkeypatch.undo()
    assert kept(place) == dict.fromkeys(PERSONAL, 0)
    with closing(place.open()) as again:
        confirm(again, plan(again, ROWS))
        assert again.reader.integrity_faults() == []


def test_an_input_that_is_slow_to_read_is_waited_for(ledger: PostgresLedger) -> None:
    """The server throws out who stands still in a transaction, but for this one."""
    ledger.connection.raw.execute("SET idle_in_transaction_session_timeout = '100ms'")

    def slow() -> Iterator[Batch]:
        for batch in batches(keys(1, 2), 1):
            threading.Event().wait(0.3)
            yield batch

    ledger.load(info(), slow())
    assert len(states(ledger)) == 2


def test_nobody_who_reads_waits_while_an_input_is_read(
    ledger: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(ledger, keys(1))

    def asked() -> Iterator[Batch]:
        for batch in batches(keys(2, 3), 1):
            with place.reader() as reader:
                assert len(reader.sources()) == 1
                assert reader.counts_by_target([1])[0].number == 1
            yield batch

    ledger.load(info("b.csv"), asked())


def test_a_load_that_fails_leaves_no_thread_behind(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise psycopg.errors.DiskFull

    monkeypatch.setattr(Stager, "_stage", fail)
    before = threading.active_count()
    with pytest.raises(LedgerFailed, match="full"):
        plan(ledger, keys(*range(1, 100)), chunk=10)
    assert threading.active_count() == before
