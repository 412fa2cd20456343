"""A job that moves from its folder to PostgreSQL: all of it, for good, and to one place."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.errors import LedgerFailed, Misconfigured, Moved, UsageError
from bulk_unenroll.ledger.job_address import NAME, SharedJob, name_job, named_job
from bulk_unenroll.ledger.moving import move
from bulk_unenroll.ledger.opening import open_ledger, open_reader
from bulk_unenroll.ledger.postgres import moving
from bulk_unenroll.ledger.postgres.job import open_to_send
from bulk_unenroll.ledger.postgres.session import Address
from bulk_unenroll.model import State
from tests.kit.postgres import Server
from tests.kit.tiers import long, thorough
from tests.ledger.kit import NOW_S, begin, claim, confirmed, keys, settle, states
from tests.ledger.postgres.kit import PostgresPlace, tool
from tests.ledger.postgres.test_same import Twins, said_by
from tests.ledger.sqlite.kit import SqlitePlace

VIEWS = (
    "SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,"
    " http_status, attempts, updated_at, request_id, source_id FROM results",
    "SELECT org_id, target_group_id, target_id, customer_id, attempt, run_id, sent_at, answered_at,"
    " outcome, code, http_status, request_id FROM attempt_history",
)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's clock stands still: both kinds note the same moment."""
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: NOW_S + 7.25)
        yield


def views(raw: Any) -> list[list[Any]]:
    return [sorted(map(tuple, raw.execute(view).fetchall()), key=repr) for view in VIEWS]


def moved(folder: SqlitePlace, place: PostgresPlace) -> PostgresPlace:
    with closing(folder.open()) as ledger:
        move(ledger, folder.folder, SharedJob(place.job, place.url), 0.0)
    return place


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("seed", [*thorough(*range(1, 8)), *long(*range(8, 30))])
def test_all_moves_and_goes_on_as_it_would_have(server: Server, tmp_path: Path, seed: int) -> None:
    folders = [SqlitePlace(tmp_path / "stays"), SqlitePlace(tmp_path / "moves")]
    twins = Twins([*folders], seed)
    try:
        for _ in range(40):
            twins.step()
        twins.kill()
        twins.ledgers[1].close()
        folder = twins.places[1]
        assert isinstance(folder, SqlitePlace)
        with closing(sqlite3.connect(folder.folder / "ledger.sqlite")) as raw:
            before = views(raw)
        place = moved(folder, PostgresPlace.new(server, tmp_path))
        with tool(place) as raw:
            assert views(raw) == before
        twins.places[1], twins.ledgers[1] = place, place.open()
        twins.both(lambda ledger: said_by(ledger.reader, twins.now_s))
        twins.both(lambda ledger: ledger.reader.runs())
        for _ in range(40):
            twins.step()
        for ledger in twins.ledgers:
            assert ledger.reader.integrity_faults() == []
    finally:
        for ledger in twins.ledgers:
            ledger.close()


@pytest.fixture
def folder(tmp_path: Path) -> SqlitePlace:
    """A job of which half is settled."""
    made = SqlitePlace(tmp_path / "job.unenroll")
    with closing(made.open()) as ledger:
        confirmed(ledger, keys(*range(1, 11)))
        begin(ledger)
        settle(ledger, 1, 2, 3, 4, 5)
        ledger.note("history", "something")
        ledger.remember({"rate": "7/s"})
    return made


def test_what_a_folder_remembers_moves(folder: SqlitePlace, place: PostgresPlace) -> None:
    with closing(moved(folder, place).open()) as ledger:
        assert ledger.reader.note("history") == "something"
        assert ledger.reader.settings() == {"rate": "7/s"}
        assert list(states(ledger).values()).count("succeeded") == 5
        begin(ledger)
        assert len(claim(ledger)) == 5
        confirmed(ledger, keys(1, 99), "b.csv")


def test_the_folder_is_closed_for_good(folder: SqlitePlace, place: PostgresPlace) -> None:
    moved(folder, place)
    assert named_job(folder.folder) == SharedJob(place.job, place.url)
    (folder.folder / NAME).unlink()  # even so
    for opening in (open_ledger, open_reader):
        with pytest.raises(Moved, match=f"goes on as {place.job} in 127.0.0.1") as caught:
            opening(folder.folder).__enter__()
        assert caught.value.next
        assert caught.value.next.options["job"] == place.job
    head = (folder.folder / "ledger.sqlite").read_bytes()[60:64]
    assert int.from_bytes(head, "big") > 100  # older programs take it for that of a newer one


def test_a_job_of_that_name_is_left_alone(folder: SqlitePlace, place: PostgresPlace) -> None:
    with closing(place.open()) as other:
        confirmed(other, keys(77))
    with pytest.raises(UsageError, match="there is a job"):
        moved(folder, place)
    with closing(place.open()) as other:
        assert states(other) == {77: "pending"}
    with closing(folder.open()) as ledger:
        assert len(states(ledger)) == 10


def test_a_copy_is_not_in_force_before_the_folder_says_so(
    folder: SqlitePlace, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise LedgerFailed("no room for it")

    with monkeypatch.context() as patched:
        patched.setattr("bulk_unenroll.ledger.moving.name_job", fails)
        with pytest.raises(LedgerFailed, match="no room"):
            moved(folder, place)
    for opening in (place.open, lambda: open_to_send(Address.of(place.url, place.job))):
        with pytest.raises(Misconfigured, match="has not ended"):
            opening()
    with closing(folder.open()) as ledger:  # goes on meanwhile
        begin(ledger)
        settle(ledger, 6)
    with closing(moved(folder, place).open()) as there:
        assert list(states(there).values()).count("succeeded") == 6


def test_a_move_that_was_cut_off_is_ended_by_whoever_opens_the_folder(
    folder: SqlitePlace, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise LedgerFailed("gone")

    with monkeypatch.context() as patched:
        patched.setattr("bulk_unenroll.ledger.moving.close_for_good", fails)
        with pytest.raises(LedgerFailed, match="gone"):
            moved(folder, place)
    assert (named_job(folder.folder) or SharedJob("", "")).move
    with open_ledger(folder.folder) as ledger:
        assert list(states(ledger).values()).count(State.SUCCEEDED) == 5
    assert named_job(folder.folder) == SharedJob(place.job, place.url)
    with pytest.raises(Moved):
        folder.open()


def test_a_copy_that_does_not_add_up_is_refused(
    folder: SqlitePlace, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = moving._copy

    def loses_attempts(connection: Any, table: Any) -> None:
        if table.name != "attempt":
            real(connection, table)

    monkeypatch.setattr(moving, "_copy", loses_attempts)
    with pytest.raises(LedgerFailed, match="does not follow from its attempts"):
        moved(folder, place)
    assert named_job(folder.folder) is None
    with closing(folder.open()) as ledger:
        assert len(states(ledger)) == 10


def test_calls_of_the_folder_count_for_the_rate(folder: SqlitePlace, place: PostgresPlace) -> None:
    with closing(folder.open()) as ledger:
        move(ledger, folder.folder, SharedJob(place.job, place.url), time.time() + 40.0)
    with closing(place.open()) as there:
        begin(there)
        there.shared.share_rate("somebody@there", 0.01)
        with tool(place) as raw:
            found = raw.execute(
                "SELECT paused_until FROM bulk_unenroll.pace WHERE credential = 'somebody@there'"
            ).fetchone()
        assert found is not None
        assert found[0] == pytest.approx(time.time() + 40.0, abs=5.0)


def test_a_pointer_keeps_the_mark_of_a_move(tmp_path: Path) -> None:
    name_job(tmp_path, SharedJob("a", "postgresql://h/x", "mark"))
    assert named_job(tmp_path) == SharedJob("a", "postgresql://h/x", "mark")
