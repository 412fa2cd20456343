"""What the file itself refuses, and that files of earlier releases are as those of today."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite.file import SCHEMA_VERSION
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import GOOD, TRANSITIONS, State
from tests.ledger.kit import begin, confirmed, keys, plan, settle, states
from tests.ledger.sqlite.kit import SqlitePlace
from tests.test_model import way_to

PAIRS = list(itertools.product(State, State))
SCHEMAS = {
    3: "36514bcd22a7b743f4fdcc9259a12a27027a21477f47c47c8d81fc0d7bf479c9",
    4: "039e81b83f775704511e88659b19a18ecccb2dd4ef01bbca79e67cd1eb6a8d0f",
}
"""SHA-256 of what each released version has in its file. A new one is added, none is changed."""


def schema_hash(folder: Path) -> str:
    with closing(sqlite3.connect(ledger_path(folder))) as tool:
        found = tool.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    return hashlib.sha256(repr(found).encode()).hexdigest()


def test_the_schema_is_that_of_its_version(ledger: SqliteLedger, folder: Path) -> None:
    assert schema_hash(folder) == SCHEMAS[SCHEMA_VERSION]


ADDED_IN_4 = ("noticed", "line", "part", "alarm_round")


class TestVersion3:
    """A ledger of version 3 is read as it is, and upgraded by who writes."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        folder = tmp_path / "old"
        with closing(SqlitePlace(folder).open()) as ledger:
            confirmed(ledger, keys(1, 2))
            raw = ledger.connection.raw
            drops = "".join(f"DROP TABLE {name};" for name in ADDED_IN_4)
            raw.executescript(f"{drops} PRAGMA user_version = 3")
        assert schema_hash(folder) == SCHEMAS[3]
        return folder

    def test_it_is_read_without_a_change(self, old: Path) -> None:
        with SqlitePlace(old).reader() as reader:
            (source,) = reader.sources()
            assert (reader.noticed([source.id]), reader.line(source.id, 1)) == ({1: {}}, None)
        assert schema_hash(old) == SCHEMAS[3]

    def test_who_writes_upgrades_it(self, old: Path) -> None:
        with closing(SqlitePlace(old).open()) as ledger:
            confirmed(ledger, keys(3), "b.csv")
            assert states(ledger) == dict.fromkeys((1, 2, 3), "pending")
        assert schema_hash(old) == SCHEMAS[SCHEMA_VERSION]


@pytest.fixture(scope="module")
def every_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A ledger with one pending customer for every pair of states."""
    place = SqlitePlace(tmp_path_factory.mktemp("transitions"))
    with closing(place.open()) as ledger:
        plan(ledger, keys(*range(1, len(PAIRS) + 1)))
        yield ledger.connection.raw


class TestTransitions:
    """The legal changes of state: one table in the code, one in the ledger, the same."""

    def test_the_ledger_holds_the_same_table(self, every_pair: sqlite3.Connection) -> None:
        rows = every_pair.execute("SELECT old, new FROM transition").fetchall()
        assert set(rows) == {(old.value, new.value) for old in State for new in TRANSITIONS[old]}

    @pytest.mark.parametrize(("old", "new"), PAIRS, ids=lambda state: state.value)
    def test_the_ledger_refuses_every_change_that_is_not_in_the_table(
        self, every_pair: sqlite3.Connection, old: State, new: State
    ) -> None:
        customer = PAIRS.index((old, new)) + 1
        for state in way_to(old):
            set_state(every_pair, customer, state)
        if new in TRANSITIONS[old] or new is old:
            set_state(every_pair, customer, new)
            assert state_of(every_pair, customer) == new
        else:
            with pytest.raises(sqlite3.IntegrityError, match="illegal transition"):
                set_state(every_pair, customer, new)
            assert state_of(every_pair, customer) == old


def set_state(raw: sqlite3.Connection, customer: int, state: State) -> None:
    raw.execute("UPDATE item SET state = ? WHERE customer_id = ?", (state.value, customer))


def state_of(raw: sqlite3.Connection, customer: int) -> str:
    found = raw.execute("SELECT state FROM item WHERE customer_id = ?", (customer,))
    return str(found.fetchone()[0])


class TestFinality:
    @pytest.mark.parametrize("state", sorted(GOOD))
    @pytest.mark.parametrize("new", State)
    def test_what_ended_well_never_changes(
        self, ledger: SqliteLedger, state: State, new: State
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        settle(ledger, state=state)
        if new is not state:
            with pytest.raises(sqlite3.IntegrityError):
                set_state(ledger.connection.raw, 1, new)
        assert states(ledger) == {1: state.value}

    def test_an_attempt_on_record_never_changes(self, ledger: SqliteLedger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        settle(ledger)
        with pytest.raises(sqlite3.IntegrityError, match="never changes"):
            ledger.connection.raw.execute("UPDATE attempt SET outcome = 'failed'")
