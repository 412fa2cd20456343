"""What a person is told when the server fails, or cannot be reached; never its address."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from unittest.mock import Mock

import psycopg
import pytest

from bulk_unenroll.errors import Fenced, LedgerFailed, LedgerOutOfReach, Misconfigured, Stop
from bulk_unenroll.ledger import opening
from bulk_unenroll.ledger.opening import open_job, open_job_reader
from bulk_unenroll.ledger.postgres import outage
from bulk_unenroll.ledger.postgres.failures import failure
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.session import Address
from tests.kit.postgres import Server
from tests.ledger.kit import answer, begin, claim, confirmed, info, keys, states, turn
from tests.ledger.postgres.kit import PostgresPlace, tool

SECRET = "hunter2SECRET"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TestNoSecretIsTold:
    @pytest.mark.parametrize(
        "url",
        [
            f"postgresql://u:{SECRET}@127.0.0.1:1/db",
            f"postgresql://u:{SECRET}@127.0.0.1:notaport/db",
            f"postgresql://u:{SECRET}@[::1/db",
            f"postgresql://u:x@{SECRET}@127.0.0.1:1/db",
            f"postgresql://u:x/{SECRET}@127.0.0.1:1/db",
            f"postgresql://u:{SECRET}@nowhere.invalid/db",
            f"postgresql://u@127.0.0.1:1/db?password={SECRET}&nonsense=1",
            f"postgresql://u:%zz{SECRET}@127.0.0.1:1/db",
            f"host=127.0.0.1 port=1 user=u password='{SECRET}",
            f"host=127.0.0.1 port=1 user=u password={SECRET} dbname",
            f"{SECRET}",
        ],
    )
    @pytest.mark.parametrize("opens", [open_job, open_job_reader])
    def test_whatever_is_wrong_with_an_address(
        self, url: str, opens: Callable[..., object], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(Stop) as caught:
            opens(url, "job").__enter__()  # type: ignore[attr-defined]
        assert caught.value.code in (74, 75, 78)
        told = "".join(traceback.format_exception(caught.value)) + str(caught.value) + caplog.text
        assert SECRET not in told.replace(f'"{url}"', "")

    def test_nor_by_an_address_that_is_shown(self) -> None:
        assert SECRET not in repr(Address.of(f"postgresql://u:{SECRET}@h/d", "job"))

    def test_nor_when_a_connection_breaks(
        self, server: Server, place: PostgresPlace, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        url = server.url().replace("unenroll@", f"unenroll:{SECRET}@")
        with closing(PostgresLedger.open(url, place.job)) as ledger:
            confirmed(ledger, keys(1))
            begin(ledger)
            place.after_kill()
            assert turn(ledger, claim=1).calls, "it connects again"
        assert SECRET not in caplog.text

    def test_nor_by_what_psycopg_says_beside_its_errors(self) -> None:
        """Without a handler Python writes it to standard error, in libpq's words."""
        said = "import bulk_unenroll.ledger.postgres.session, logging;"
        said += f"logging.getLogger('psycopg').warning('{SECRET}')"
        done = subprocess.run([sys.executable, "-c", said], capture_output=True, check=True)
        assert done.stderr == b""


class TestReaching:
    def test_a_server_that_is_away_is_told_of_once_and_so_is_its_return(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a word the log of a sender looks as if it hung."""
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(outage, "RETRY_S", 0.0)
        connection = Mock(is_lost=True)
        connection.reopen.side_effect = [LedgerOutOfReach("it is away")] * 3 + [None]
        ask = Mock(side_effect=[LedgerOutOfReach("lost"), 7])
        assert outage.repeated(connection, ask) == 7
        told = [record.getMessage() for record in caplog.records]
        assert [("ledger_away" in one, "ledger_back" in one) for one in told] == [
            (True, False), (False, True),
        ]  # fmt: skip

    def test_nobody_listens(self) -> None:
        url = f"postgresql://u@127.0.0.1:{closed_port()}/db"
        with pytest.raises(LedgerOutOfReach, match="does not listen") as caught:
            PostgresLedger.open(url, "job")
        assert caught.value.code == 75, "whatever is done then may be started again"

    @pytest.mark.parametrize("wrong", ["127.0.0.1:99999/db", "127.0.0.1:1/db?sslmode=some"])
    def test_an_address_that_no_server_can_have_is_not_tried_again(self, wrong: str) -> None:
        with pytest.raises(LedgerOutOfReach, match="correct the address") as caught:
            PostgresLedger.open(f"postgresql://u@{wrong}", "job")
        assert caught.value.code == 74

    def test_no_such_database(self, server: Server) -> None:
        with pytest.raises(LedgerOutOfReach, match="no such database"):
            PostgresLedger.open(server.url("nowhere"), "job")

    def test_a_user_who_may_make_no_schema(self, server: Server) -> None:
        with closing(psycopg.connect(server.url(), autocommit=True)) as other:
            other.execute("CREATE ROLE nobody LOGIN")
        url = server.url().replace("unenroll@", "nobody@")
        with pytest.raises(LedgerOutOfReach, match="may not do that"):
            PostgresLedger.open(url, "of-nobody")

    def test_without_psycopg_it_is_said_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("ledger", "job", "reader", "session"):
            monkeypatch.setitem(
                __import__("sys").modules, f"bulk_unenroll.ledger.postgres.{name}", None
            )
        for opens in (opening.open_job, opening.open_job_reader):
            with pytest.raises(Misconfigured, match=r"bulk-unenroll\[postgres\]"), opens("", "job"):
                pass


class TestFailing:
    def test_a_server_that_goes_away_ends_the_run_and_loses_no_outcome(
        self, server: Server, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outage, "PATIENCE_S", 0.0)
        with closing(place.open()) as ledger:
            confirmed(ledger, keys(1, 2, 3))
            begin(ledger)
            one, two = claim(ledger, 2)
            turn(ledger, answer(one))
            server.stop("immediate")
            try:
                for _ in range(2):
                    with pytest.raises(Fenced) as caught:
                        turn(ledger, answer(two))
                    assert caught.value.code == 75
                with pytest.raises(Fenced):
                    ledger.reader.sources()
            finally:
                server.start()
        with closing(place.open()) as again:
            assert states(again) == {1: "succeeded", 2: "in_doubt", 3: "pending"}
            assert again.reader.integrity_faults() == []

    def test_what_others_hold_is_not_waited_for_for_ever(
        self, ledger: PostgresLedger, place: PostgresPlace
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        ledger.connection.raw.execute("SET lock_timeout = '50ms'")
        with tool(place) as other, other.transaction():
            other.execute("LOCK TABLE flight")
            with pytest.raises(LedgerOutOfReach, match="lock"):
                claim(ledger)
        assert len(claim(ledger)) == 1

    def test_a_table_that_is_missing_is_damage(
        self, ledger: PostgresLedger, place: PostgresPlace
    ) -> None:
        with tool(place) as other:
            other.execute("ALTER TABLE run RENAME TO walked")
        with pytest.raises(LedgerFailed, match="damaged"):
            ledger.reader.runs()
        with tool(place) as other:
            other.execute("ALTER TABLE walked RENAME TO run")

    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            (psycopg.errors.DiskFull, "full"),
            (psycopg.errors.OutOfMemory, "memory"),
            (psycopg.errors.TooManyConnections, "no connection left"),
            (psycopg.errors.AdminShutdown, "shut down"),
            (psycopg.errors.CrashShutdown, "crashed"),
            (psycopg.errors.CannotConnectNow, "starting up"),
            (psycopg.errors.ReadOnlySqlTransaction, "read-only"),
            (psycopg.errors.InsufficientPrivilege, "may not"),
            (psycopg.errors.IoError, "disk"),
            (psycopg.errors.IdleInTransactionSessionTimeout, "stood still"),
            (psycopg.errors.ConnectionFailure, "lost"),
            (psycopg.OperationalError, "lost"),
        ],
    )
    def test_it_is_told_by_the_code_of_the_server(
        self, kind: type[psycopg.Error], word: str
    ) -> None:
        found = failure(kind(SECRET))
        assert isinstance(found, LedgerOutOfReach)
        assert word in str(found)
        assert SECRET not in str(found)

    @pytest.mark.parametrize("kind", [psycopg.InterfaceError, psycopg.errors.DivisionByZero])
    def test_whatever_else_it_is_it_is_a_ledger_that_failed(
        self, kind: type[psycopg.Error]
    ) -> None:
        assert failure(kind(SECRET)).code == 74
        assert SECRET not in str(failure(kind(SECRET)))

    def test_a_reader_that_looks_at_one_moment_is_not_thrown_out_soon(
        self, ledger: PostgresLedger
    ) -> None:
        source = ledger.load(info(), iter(()))
        with ledger.reader.at_one_moment() as moment:
            raw = moment._connection.raw  # type: ignore[attr-defined]
            found = raw.execute("SHOW idle_in_transaction_session_timeout").fetchone()
            assert found == ("15min",)
            assert [one.id for one in moment.sources()] == [source]
