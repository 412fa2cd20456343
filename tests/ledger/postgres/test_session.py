"""Which servers a ledger is entrusted to, and what a connection insists on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from bulk_unenroll.errors import LedgerFailed, Misconfigured, UsageError
from bulk_unenroll.ledger.opening import open_job
from bulk_unenroll.ledger.postgres.job import open_to_read
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.session import Address, Facts, refuse, schema_of
from tests.kit.postgres import Server
from tests.ledger.kit import confirmed, keys, states
from tests.ledger.postgres.kit import PostgresPlace

GOOD = Facts(170_002, "UTF8", "on", "on", is_standby=False)
_numbers = itertools.count(1)


@contextmanager
def told(server: Server, name: str, value: str) -> Iterator[None]:
    """The server has another setting for as long."""
    with closing(psycopg.connect(server.url(), autocommit=True)) as tool:
        for statement in (f"ALTER SYSTEM SET {name} = {value}", f"ALTER SYSTEM RESET {name}"):
            tool.execute(statement)
            tool.execute("SELECT pg_reload_conf()")
            wanted = value if "SET " in statement and "RESET" not in statement else "on"
            while tool.execute("SELECT current_setting(%s)", [name]).fetchone() != (wanted,):
                time.sleep(0.01)
            if wanted == value:
                yield


class TestRefusing:
    @pytest.mark.parametrize(
        ("facts", "word"),
        [
            (GOOD._replace(version=130_011), "PostgreSQL 13"),
            (GOOD._replace(is_standby=True), "standby"),
            (GOOD._replace(encoding="SQL_ASCII"), "SQL_ASCII"),
            (GOOD._replace(fsync="off"), "fsync"),
            (GOOD._replace(full_page_writes="off"), "full_page_writes"),
        ],
    )
    def test_a_server_that_could_lose_what_it_confirmed(self, facts: Facts, word: str) -> None:
        refuse(GOOD)
        with pytest.raises(Misconfigured, match=word) as caught:
            refuse(facts)
        assert caught.value.code == 78

    @pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
    def test_a_real_one_with_a_setting_that_is_off(self, server: Server, name: str) -> None:
        with (
            told(server, name, "off"),
            pytest.raises(Misconfigured, match=name),
            open_job(server.url(), "refused"),
        ):
            pass
        with open_job(server.url(), "refused"):
            pass

    def test_a_database_in_another_encoding(self, server: Server) -> None:
        with closing(psycopg.connect(server.url(), autocommit=True)) as tool:
            tool.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        with pytest.raises(Misconfigured, match="LATIN1"), open_job(server.url("latin"), "job"):
            pass

    def test_a_standby_is_refused_to_write_and_can_be_asked(
        self, server: Server, place: PostgresPlace
    ) -> None:
        with closing(place.open()) as ledger:
            confirmed(ledger, keys(1))
        server.stop("fast")
        (server.data / "standby.signal").touch()
        try:
            server.start()
            with pytest.raises(Misconfigured, match="standby"):
                place.open()
            with place.reader() as reader:
                assert len(reader.sources()) == 1
        finally:
            server.stop("fast")
            (server.data / "standby.signal").unlink()
            server.start()


class TestSettings:
    def test_what_a_role_has_set_does_not_weaken_it(
        self, server: Server, place: PostgresPlace
    ) -> None:
        role = f"careless{next(_numbers)}"
        with closing(psycopg.connect(server.url(), autocommit=True)) as tool:
            for statement in (
                f"CREATE ROLE {role} LOGIN SUPERUSER",
                f"ALTER ROLE {role} SET synchronous_commit = off",
                f"ALTER ROLE {role} SET statement_timeout = '250ms'",
                f"ALTER ROLE {role} SET DateStyle = 'German'",
            ):
                tool.execute(statement)
        url = server.url().replace("unenroll@", f"{role}@")
        with closing(PostgresLedger.open(url, place.job)) as ledger:
            found = {
                name: ledger.connection.raw.execute("SELECT current_setting(%s)", [name]).fetchone()
                for name in ("synchronous_commit", "statement_timeout", "jit", "search_path",
                             "idle_in_transaction_session_timeout", "application_name")
            }  # fmt: skip
        assert found == {
            "synchronous_commit": ("on",),
            "statement_timeout": ("0",),
            "jit": ("off",),
            "search_path": (f'"{schema_of(place.job)}"',),
            "idle_in_transaction_session_timeout": ("5s",),
            "application_name": (f"bulk-unenroll {place.job}",),
        }

    def test_one_who_waits_for_standbys_to_apply_goes_on_waiting(
        self, server: Server, place: PostgresPlace
    ) -> None:
        url = f"{server.url()}?options=-csynchronous_commit%3Dremote_apply"
        with closing(PostgresLedger.open(url, place.job)) as ledger:
            found = ledger.connection.raw.execute("SHOW synchronous_commit").fetchone()
        assert found == ("remote_apply",)

    def test_who_only_reads_cannot_write(self, place: PostgresPlace) -> None:
        place.open().close()
        with (
            closing(open_to_read(Address.of(place.url, place.job))) as connection,
            pytest.raises(LedgerFailed, match="read-only"),
        ):
            connection.set_meta("base_url", "elsewhere")


class TestNames:
    @pytest.mark.parametrize("job", ["a", "winter-2026_b", "x" * 40])
    def test_a_job_has_a_schema_of_its_own(self, job: str) -> None:
        assert schema_of(job) == f"bulk_unenroll_{job}"
        assert len(schema_of(job)) < 64

    @pytest.mark.parametrize("job", ["", "A", "a b", 'a"b', "x" * 41, "a.b", "ä", "a\n"])
    def test_any_other_name_is_refused(self, server: Server, job: str) -> None:
        with pytest.raises(UsageError) as caught:
            PostgresLedger.open(server.url(), job)
        assert caught.value.code == 2

    def test_two_jobs_of_one_database_know_nothing_of_each_other(
        self, server: Server, tmp_path: Path
    ) -> None:
        places = [PostgresPlace.new(server, tmp_path) for _ in range(2)]
        with closing(places[0].open()) as one, closing(places[1].open()) as other:
            confirmed(one, keys(1))
            confirmed(other, keys(2))
            assert (states(one), states(other)) == ({1: "pending"}, {2: "pending"})
