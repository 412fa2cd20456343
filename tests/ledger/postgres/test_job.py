"""The schema of a job: who makes it, who holds it, and which one is refused."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from bulk_unenroll.errors import Fenced, FolderBusy, InputMissing, LedgerFailed, LedgerOutOfReach
from bulk_unenroll.ledger.postgres import job as jobs
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import make, open_to_read
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.session import Address, schema_of
from bulk_unenroll.ledger.postgres.statements import SCRIPTS
from tests.kit.postgres import Server
from tests.ledger.kit import begin, claim, confirmed, keys, states, turn
from tests.ledger.postgres.kit import PostgresPlace, tool


def test_many_that_make_it_at_once_make_it_once(place: PostgresPlace) -> None:
    address = Address.of(place.url, place.job)
    failed: list[BaseException] = []

    def make_it() -> None:
        try:
            with closing(Connection.open(address, to_write=True)) as connection:
                make(connection)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    open_to_read(address).close()


def test_one_that_cannot_be_made_leaves_nothing(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCRIPTS, "views", "CREATE VIEW broken AS SELECT nothing")
    with pytest.raises(LedgerFailed):
        place.open()
    monkeypatch.undo()
    place.open().close()


def test_who_plans_does_so_alone(
    ledger: PostgresLedger, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.1)
    confirmed(ledger, keys(1))
    with pytest.raises(FolderBusy, match=place.job) as caught:
        place.open()
    assert caught.value.code == 75


def test_nobody_plans_while_somebody_sends(ledger: PostgresLedger, place: PostgresPlace) -> None:
    confirmed(ledger, keys(1))
    begin(ledger)
    claim(ledger)
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.1):
            turn(ledger)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(FolderBusy, match=f"sends for the job {place.job}"):
            PostgresLedger.open(place.url, place.job, ttl_s=5.0)
    finally:
        over.set()
        sender.join()
    assert states(ledger) == {1: "sending"}, "what is being sent is not taken for a kill's"


def test_a_job_that_is_not_there_can_neither_be_asked_nor_is_it_made(
    server: Server, place: PostgresPlace
) -> None:
    for _ in range(2):
        with pytest.raises(InputMissing) as caught, place.reader():
            pass
        assert caught.value.code == 66


def test_one_of_a_newer_version_is_left_alone(place: PostgresPlace) -> None:
    place.open().close()
    with tool(place) as other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(LedgerFailed, match="99"):
        place.open()
    with pytest.raises(LedgerFailed, match="99"), place.reader():
        pass


@pytest.mark.thorough
def test_who_stands_still_in_a_turn_is_thrown_out(
    place: PostgresPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen in mid turn, it would hold the job and its locks for ever."""
    monkeypatch.setattr(jobs, "PATIENCE_S", 20.0)
    with closing(place.open()) as frozen:
        confirmed(frozen, keys(1, 2))
        begin(frozen)
        claim(frozen, 1)
        frozen.connection.raw.execute("BEGIN")
        frozen.connection.raw.execute("DELETE FROM flight")
        began_s = time.monotonic()
        with closing(place.open()) as other:
            assert 3 < time.monotonic() - began_s < 9
            assert states(other) == {1: "in_doubt", 2: "pending"}
        with pytest.raises(Fenced) as caught:
            turn(frozen)
        assert caught.value.code == 75


def test_what_watches_the_server_sees_whose_connection_it_is(
    ledger: PostgresLedger, place: PostgresPlace
) -> None:
    with closing(psycopg.connect(place.url)) as watcher:
        found = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
            [f"bulk-unenroll {place.job}"],
        ).fetchone()
    assert found == (1,)
    assert ledger.reader.sources() == []


def test_somebody_else_may_be_allowed_to_ask_and_to_do_no_more(
    ledger: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(ledger, keys(1))
    with tool(place) as owner:
        owner.execute("CREATE ROLE auditor LOGIN")
        auditor = PostgresPlace(place.url.replace("unenroll@", "auditor@"), place.job)
        with pytest.raises(LedgerOutOfReach, match="may not use"), auditor.reader():
            pass
        schema = f'"{schema_of(place.job)}"'
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO auditor")
        with pytest.raises(LedgerOutOfReach, match="may not"), auditor.reader():
            pass
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO auditor")
    with auditor.reader() as reader:
        assert reader.row_counts([1]).read == 1
        assert reader.integrity_faults() == []
