"""What other programs may do to a closed ledger: add something of theirs, and nothing else."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.commands.steps.connect import working_ledger
from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.folder import ledger_path, make_folder
from bulk_unenroll.ledger.opening import open_ledger, open_reader
from bulk_unenroll.ledger.sqlite import mark as marks
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.seal import OldSeal
from tests.ledger.kit import begin, claim, confirmed, keys, settle, states

BROWSER_TABLE = "CREATE TABLE browser (note TEXT); INSERT INTO browser VALUES ('x')"
LONG_VIEW = f"CREATE VIEW theirs AS SELECT '{'x' * 3000}' AS text"
HARMLESS = [
    "CREATE INDEX theirs ON item (code)",
    "CREATE UNIQUE INDEX theirs ON attempt (id, item)",
    "CREATE VIEW theirs AS SELECT * FROM results",
    LONG_VIEW,
    "ANALYZE",
    "ANALYZE; CREATE INDEX theirs ON item (code); ANALYZE; DROP INDEX theirs",
    BROWSER_TABLE,
    f"{BROWSER_TABLE}; DROP TABLE browser",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA optimize",
]
CHANGES = [
    "UPDATE item SET code = 'x' WHERE id = (SELECT max(id) FROM item)",
    "UPDATE item SET customer_id = customer_id + 5000 WHERE customer_id = 1",
    "DELETE FROM attempt WHERE id = 1",
    "DELETE FROM item WHERE id = (SELECT max(id) FROM item)",
    "INSERT INTO item (id, target, customer_id) SELECT max(id) + 1, 1, 5555 FROM item",
    "INSERT INTO target (org_id, target_group_id, target_id) VALUES (0, 9, 9)",
    "UPDATE meta SET value = 'https://elsewhere' WHERE name = 'base_url'",
    "UPDATE sqlite_sequence SET seq = 0",
    "DROP INDEX item_key",
    "DROP VIEW attempt_history",
    "DROP TRIGGER legal_transition",
    "DROP TABLE line",
    "ALTER TABLE item ADD COLUMN note TEXT",
    "CREATE TRIGGER theirs AFTER UPDATE ON item BEGIN DELETE FROM attempt; END",
    "PRAGMA user_version = 3",
    "CREATE INDEX theirs ON item (code); DELETE FROM attempt WHERE id = 1",
]


@pytest.fixture(params=[1000, 1])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A closed ledger with settled customers, and with few: all of a table on one page."""
    made = tmp_path / "job.unenroll"
    make_folder(made)
    with closing(SqliteLedger.open(made)) as ledger:
        confirmed(ledger, keys(*range(1, request.param + 1)))
        begin(ledger)
        settle(ledger)
    return made


def tool(folder: Path, statements: str) -> sqlite3.Connection:
    raw = sqlite3.connect(ledger_path(folder))
    raw.executescript(statements)
    return raw


def customers(folder: Path) -> dict[int, str]:
    with closing(SqliteLedger.open(folder)) as ledger:
        return states(ledger)


@pytest.mark.parametrize("statements", HARMLESS)
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_added_is_no_damage(folder: Path, statements: str, goes_on: bool) -> None:
    """Also while the other program has the ledger open still, so that it stands in the log."""
    before = customers(folder)
    for again in (statements, "ANALYZE", "CREATE TABLE more (x)", "DROP TABLE more"):
        other = tool(folder, again)
        if not goes_on:
            other.close()
        with open_reader(folder) as reader:
            assert reader.integrity_faults() == []
        other.close()
        assert customers(folder) == before  # opens it, and seals it anew


@pytest.mark.parametrize("statements", CHANGES)
@pytest.mark.parametrize("goes_on", [False, True])
def test_changed_rows_are_damage(folder: Path, statements: str, goes_on: bool) -> None:
    other = tool(folder, statements)
    if not goes_on:
        other.close()
    for opening in (SqliteLedger.open, lambda folder: open_reader(folder).__enter__()):
        with pytest.raises(LedgerFailed, match=r"it changed since it was closed|was made"):
            opening(folder)
    other.close()


def test_a_flipped_bit_is_not_taken_for_something_added(folder: Path) -> None:
    path = ledger_path(folder)
    whole = path.read_bytes()
    for at in (24, 27, 40, 43, 92, 95, *range(100, 4096, 97)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(LedgerFailed):
            SqliteLedger.open(folder)
    path.write_bytes(whole)
    assert customers(folder)


def test_a_seal_of_an_earlier_version_holds(folder: Path) -> None:
    path = ledger_path(folder)
    data = path.read_bytes()
    text = f"crc32={zlib.crc32(data):08x} size={len(data)}"
    marks.mark_path(path).write_text(f"closed {text}\n")
    assert marks.read_mark(path) == marks.ClosedMark(OldSeal(text))
    assert customers(folder)
    marks.mark_path(path).write_text(f"closed {text}\n")
    with pytest.raises(LedgerFailed, match="it changed since it was closed"):
        SqliteLedger.open(folder)


class TestLock:
    @pytest.fixture
    def browser(self, folder: Path) -> Iterator[sqlite3.Connection]:
        """A database browser with changes that are not saved."""
        with closing(sqlite3.connect(ledger_path(folder), check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other

    @pytest.fixture
    def short_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bulk_unenroll.ledger.sqlite.connection.LOCK_WAIT_S", 0.1)
        monkeypatch.setattr("bulk_unenroll.ledger.sqlite.connection.READER_WAIT_S", 0.1)

    @pytest.mark.usefixtures("short_wait")
    def test_it_is_waited_for_and_then_told(
        self, folder: Path, browser: sqlite3.Connection
    ) -> None:
        with pytest.raises(LedgerFailed, match=r"database browser.*nothing is damaged"):
            SqliteLedger.open(folder)
        with open_reader(folder) as reader:  # who reads is not kept out
            assert reader.integrity_faults() == []
        browser.rollback()
        assert customers(folder)

    @pytest.mark.usefixtures("short_wait", "browser")
    def test_the_same_command_is_the_next_one(self, folder: Path) -> None:
        with pytest.raises(LedgerFailed) as held, working_ledger(folder):
            pass
        assert held.value.next is None  # which stands for the same again, not for `verify`

    @pytest.mark.usefixtures("short_wait")
    def test_what_the_other_changes_then_is_still_found(
        self, folder: Path, browser: sqlite3.Connection
    ) -> None:
        with pytest.raises(LedgerFailed, match="database browser"):
            SqliteLedger.open(folder)
        browser.execute("DELETE FROM attempt")
        browser.commit()
        browser.close()
        with pytest.raises(LedgerFailed, match="it changed since it was closed"):
            SqliteLedger.open(folder)

    @pytest.mark.usefixtures("short_wait")
    def test_in_the_middle_of_a_run(self, folder: Path) -> None:
        with open_ledger(folder) as ledger:
            confirmed(ledger, keys(70_001, 70_002), "more.csv")
            begin(ledger)
            with closing(sqlite3.connect(ledger_path(folder))) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(LedgerFailed, match="nothing is damaged"):
                    claim(ledger)
        assert customers(folder)[70_001] == "pending"

    def test_a_lock_that_is_let_go_does_no_harm(
        self, folder: Path, browser: sqlite3.Connection
    ) -> None:
        timer = threading.Timer(0.3, browser.rollback)
        timer.start()
        assert customers(folder)
        timer.join()
