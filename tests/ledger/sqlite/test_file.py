"""The file of a ledger: what it promises, and that damage to it is noticed."""

from __future__ import annotations

import gc
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.counts import count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import ledger_path, make_folder
from bulk_unenroll.ledger.opening import open_ledger, open_reader
from bulk_unenroll.ledger.sqlite.file import (
    APPLICATION_ID,
    OLDEST_VERSION,
    SCHEMA_VERSION,
    open_read_only,
)
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import State
from tests.kit.accidents import after_kill, any_mask, full_disk, read_only
from tests.ledger.kit import (
    answer,
    begin,
    claim,
    confirmed,
    keys,
    plan,
    settle,
    some_work,
    state_counts,
    states,
    turn,
)
from tests.ledger.sqlite.kit import SqlitePlace


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    def test_what_is_made_is_for_its_owner_alone(self, folder: Path) -> None:
        with any_mask():
            make_folder(folder)
            with closing(SqliteLedger.open(folder)) as ledger:
                confirmed(ledger, keys(1, 2))
                modes = {path.name: mode_of(path) for path in folder.iterdir()}
        assert mode_of(folder) == 0o700
        assert modes == {
            "ledger.sqlite": 0o600,
            "ledger.sqlite-wal": 0o600,
            "ledger.sqlite-shm": 0o600,
            "ledger.sqlite-mark": 0o600,
        }

    def test_closed_it_is_one_file_that_can_be_copied(self, folder: Path, tmp_path: Path) -> None:
        make_folder(folder)
        with closing(SqliteLedger.open(folder)) as ledger:
            confirmed(ledger, keys(1, 2))
        assert {path.name for path in folder.iterdir()} == {"ledger.sqlite", "ledger.sqlite-mark"}
        (tmp_path / "copy").mkdir()
        shutil.copy(ledger_path(folder), tmp_path / "copy")
        with closing(SqliteLedger.open(tmp_path / "copy")) as copy:
            assert states(copy) == {1: "pending", 2: "pending"}

    def test_any_sqlite_tool_opens_it_and_knows_whose_it_is(self, ledger: SqliteLedger) -> None:
        assert ledger.connection.raw.execute("PRAGMA application_id").fetchone() == (
            APPLICATION_ID,
        )
        assert ledger.connection.raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)

    def test_what_is_committed_survives_power_loss(self, ledger: SqliteLedger) -> None:
        assert ledger.connection.raw.execute("PRAGMA synchronous").fetchone() == (2,)
        assert ledger.connection.raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_it_has_its_name_only_once_it_needs_no_rollback_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Read-only, nobody can roll one back; a power cut would leave it there."""
        modes = []
        real = Path.replace

        def replace(self: Path, target: Path) -> Path:
            modes.append(self.read_bytes()[18:20])
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        make_folder(tmp_path / "job")
        SqliteLedger.open(tmp_path / "job").close()
        assert modes[0] == bytes([2, 2])  # SQLite file format, 1.3.3: 2 is WAL


class TestKill:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=25)
    def test_what_was_committed_is_there_whatever_follows_it_in_the_log(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int
    ) -> None:
        dice = random.Random(seed)
        place = SqlitePlace(tmp_path_factory.mktemp("kill") / "job")
        with closing(place.open()) as ledger:
            known = some_work(ledger, dice)
            killed = place.after_kill()
        with (killed.folder / "ledger.sqlite-wal").open("ab") as log:
            log.write(dice.randbytes(dice.randrange(0, 9000)))  # torn frames after the last commit
        with closing(killed.open()) as again:
            found = states(again)
            assert {who: found[who] for who in known} == known
            assert again.reader.integrity_faults() == []


class TestReader:
    def test_it_cannot_write(self, ledger: SqliteLedger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        with (
            closing(open_read_only(ledger_path(folder))) as connection,
            pytest.raises(LedgerFailed, match="readonly"),
        ):
            connection.execute("drop_rows", source=1)
        assert states(ledger) == {1: "pending"}

    def test_it_leaves_a_closed_folder_as_it_was(self, tmp_path: Path) -> None:
        with closing(SqliteLedger.open(tmp_path)) as ledger:
            confirmed(ledger, keys(1))
        before = ledger_path(tmp_path).read_bytes()
        with open_reader(tmp_path) as reader:
            assert confirmed_ids(reader.sources()) == [1]
        assert ledger_path(tmp_path).read_bytes() == before
        with closing(SqliteLedger.open(tmp_path)) as again:
            assert states(again) == {1: "pending"}

    def test_it_reads_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        with closing(SqliteLedger.open(tmp_path)) as ledger:
            confirmed(ledger, keys(1))
        with read_only(tmp_path), open_reader(tmp_path) as reader:
            assert reader.integrity_faults() == []
            assert confirmed_ids(reader.sources()) == [1]
        assert {path.name for path in tmp_path.iterdir()} == {"ledger.sqlite", "ledger.sqlite-mark"}

    def test_it_reads_what_a_kill_left_without_mending_it(
        self, ledger: SqliteLedger, folder: Path
    ) -> None:
        source = confirmed(ledger, keys(1))
        begin(ledger)
        claim(ledger)
        killed = after_kill(folder)
        for _ in range(2):
            with open_reader(killed) as reader:
                assert count(reader, [source]).states[State.SENDING] == 1
                assert reader.integrity_faults() == []

    def test_a_kill_s_leavings_in_a_folder_that_cannot_be_written(
        self, ledger: SqliteLedger, folder: Path
    ) -> None:
        source = confirmed(ledger, keys(1))
        killed = after_kill(folder)
        with read_only(killed), open_reader(killed) as reader:
            assert count(reader, [source]).states[State.PENDING] == 1


def damage_in(folder: Path, path: Path, damage: Callable[[Path], object]) -> LedgerFailed:
    """How a damaged ledger is refused, to writers and readers, as often as they come."""
    damage(path)
    refusals = []
    for opening in 2 * (SqliteLedger.open, lambda folder: open_reader(folder).__enter__()):
        with pytest.raises(LedgerFailed) as caught:
            opening(folder)
        assert caught.value.code == 74
        assert caught.value.remedy
        assert "\n" not in caught.value.reason
        refusals.append(caught.value)
    return refusals[0]


def write_at(offset: int, content: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return write


def truncate(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


class TestDamage:
    @pytest.fixture
    def closed(self, folder: Path) -> Path:
        """A folder with a thousand settled customers, closed."""
        make_folder(folder)
        with closing(SqliteLedger.open(folder)) as ledger:
            confirmed(ledger, keys(*range(1, 1001)))
            begin(ledger)
            settle(ledger)
        return folder

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda path: path.write_bytes(b""), "is not a SQLite file"),
            (lambda path: truncate(path, 0), "is not a SQLite file"),
            (lambda path: path.write_bytes(b"customerId\n1\n"), "is not a SQLite file"),
            (write_at(0, b"XQLite"), "is not a SQLite file"),
            (lambda path: truncate(path, 0.5), "damaged"),
            (lambda path: truncate(path, 0.99), "damaged"),
            (write_at(68, b"OTHR"), "was not made by bulk-unenroll"),
            (write_at(68, b"\0\0\0\0"), "was not made by bulk-unenroll"),
            (write_at(60, (SCHEMA_VERSION + 1).to_bytes(4, "big")), "by a newer bulk-unenroll"),
            (write_at(60, (OLDEST_VERSION - 1).to_bytes(4, "big")), "by an older bulk-unenroll"),
            (write_at(100, b"\xff" * 2000), "damaged"),
            (write_at(40 * 4096, b"\xff" * 4096), "damaged"),
        ],
    )
    def test_it_is_refused(
        self, closed: Path, damage: Callable[[Path], object], reason: str
    ) -> None:
        assert reason in str(damage_in(closed, ledger_path(closed), damage))

    def test_a_symlink_or_a_folder_in_its_place_is_refused(
        self, closed: Path, tmp_path: Path
    ) -> None:
        for damage in (
            lambda path: (path.rename(tmp_path / "real"), path.symlink_to(tmp_path / "real")),
            lambda path: (path.unlink(), path.symlink_to(tmp_path / "nowhere")),
            lambda path: (path.unlink(), path.mkdir()),
        ):
            refusal = damage_in(closed, ledger_path(closed), damage)
            assert "is not a regular file" in refusal.reason

    def test_another_program_s_database_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        path = ledger_path(tmp_path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        before = path.read_bytes()
        damage_in(tmp_path, path, lambda path: None)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("keep", [0, 0.5, 0.99])
    def test_a_log_lost_in_part_or_whole_after_a_kill_is_seen(
        self, ledger: SqliteLedger, folder: Path, keep: float
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        log = killed / "ledger.sqlite-wal"
        refusal = damage_in(killed, log, lambda log: truncate(log, keep) if keep else log.unlink())
        assert "changes are lost" in refusal.reason

    def test_a_log_that_another_tool_merged_after_a_kill_is_not_lost(
        self, ledger: SqliteLedger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        with closing(sqlite3.connect(ledger_path(killed))) as tool:
            tool.execute("SELECT * FROM results").fetchall()
        assert not (killed / "ledger.sqlite-wal").exists()
        with open_reader(killed) as reader:
            assert reader.integrity_faults() == []
        with closing(SqliteLedger.open(killed)) as opened:
            assert states(opened) == {1: "pending"}

    def test_the_mark_of_an_open_ledger_is_missed(self, ledger: SqliteLedger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        mark = killed / "ledger.sqlite-mark"
        assert "mark" in damage_in(killed, mark, lambda mark: mark.unlink()).reason

    @pytest.mark.parametrize("text", ["", "open\n", "open many\n", "shut 5\n", "\xff"])
    def test_a_damaged_mark_is_refused(self, closed: Path, text: str) -> None:
        mark = closed / "ledger.sqlite-mark"
        damaged = damage_in(closed, mark, lambda mark: mark.write_bytes(text.encode("latin-1")))
        assert "mark is damaged" in damaged.reason

    def test_an_older_copy_in_its_place_is_refused(self, closed: Path, tmp_path: Path) -> None:
        older = tmp_path / "older"
        shutil.copy(ledger_path(closed), older)
        with closing(SqliteLedger.open(closed)) as ledger:
            confirmed(ledger, keys(5001), "more.csv")
        refusal = damage_in(closed, ledger_path(closed), lambda path: shutil.copy(older, path))
        assert "it changed since it was closed" in refusal.reason

    @pytest.mark.thorough
    def test_a_reader_beside_the_closing_program_does_not_spoil_it(self, closed: Path) -> None:
        ledger = SqliteLedger.open(closed)
        confirmed(ledger, keys(5001), "more.csv")
        with open_reader(closed) as reader, reader.at_one_moment() as moment:
            assert moment.integrity_faults() == []
            ledger.close()
        with closing(SqliteLedger.open(closed)) as opened:
            assert states(opened)[5001] == "pending"

    def test_a_log_without_its_ledger_is_not_taken_for_a_new_folder(
        self, ledger: SqliteLedger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        refusal = damage_in(killed, ledger_path(killed), lambda path: path.unlink())
        assert "ledger.sqlite" in refusal.reason

    def test_looking_does_not_hide_it(self, ledger: SqliteLedger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        (killed / "ledger.sqlite-wal").unlink()
        with pytest.raises(LedgerFailed), open_reader(killed):
            pass
        with pytest.raises(LedgerFailed):
            SqliteLedger.open(killed)

    def test_a_damaged_ledger_is_kept_as_it_is_with_its_log(self, closed: Path) -> None:
        with closing(SqliteLedger.open(closed)) as ledger:
            plan(ledger, keys(1))
            killed = after_kill(closed)
        path, log = ledger_path(killed), killed / "ledger.sqlite-wal"
        write_at(40 * 4096, b"\xff" * 4096)(path)
        before = path.read_bytes(), log.read_bytes()
        with pytest.raises(LedgerFailed, match="damaged"):
            SqliteLedger.open(killed)
        assert (path.read_bytes(), log.read_bytes()) == before

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=60)
    def test_whatever_happens_to_the_file_it_opens_or_is_refused(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int
    ) -> None:
        dice = random.Random(seed)
        folder = tmp_path_factory.mktemp("damage")
        with closing(SqliteLedger.open(folder)) as ledger:
            confirmed(ledger, keys(*range(1, 50)))
        path = ledger_path(folder)
        size = path.stat().st_size
        if dice.random() < 0.3:
            truncate(path, dice.random())
        for _ in range(dice.randrange(1, 20)):
            write_at(dice.randrange(size), dice.randbytes(dice.choice([1, 4, 100])))(path)
        try:
            SqliteLedger.open(folder).close()
        except LedgerFailed as refusal:
            assert refusal.reason  # noqa: PT017 - either is well


class TestFullDisk:
    def test_a_turn_that_cannot_be_written_ends_in_74_and_changes_nothing(
        self, ledger: SqliteLedger
    ) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        begin(ledger)
        pages = ledger.connection.raw.execute("PRAGMA page_count").fetchone()[0]
        calls = claim(ledger)
        ledger.connection.raw.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(LedgerFailed) as caught:
            turn(ledger, *map(answer, calls))
        assert caught.value.code == 74
        assert caught.value.remedy == "free some room"
        assert state_counts(ledger) == {"sending": 1000, "pending": 1000}
        ledger.connection.raw.execute("PRAGMA max_page_count = 1000000")
        turn(ledger, *map(answer, calls))
        assert state_counts(ledger) == {"succeeded": 1000, "pending": 1000}

    def test_a_full_disk_while_a_kill_is_mended_costs_no_more_than_a_retry(
        self, ledger: SqliteLedger, folder: Path
    ) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        reopened_once = after_kill(folder)
        again = SqliteLedger.open(reopened_once)
        begin(again)
        claim(again, 2000)
        killed = after_kill(reopened_once)
        with (
            full_disk(ledger_path(killed).stat().st_size + 50_000),
            pytest.raises(LedgerFailed) as caught,
        ):
            SqliteLedger.open(killed)
        assert caught.value.code == 74
        gc.collect()
        with closing(SqliteLedger.open(killed)) as mended:
            assert state_counts(mended) == {"in_doubt": 2000}
            assert mended.reader.integrity_faults() == []
        again.close()

    def test_nor_does_a_full_disk_at_the_end(self, ledger: SqliteLedger, folder: Path) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        copy = after_kill(folder)
        SqliteLedger.open(copy).close()
        again = SqliteLedger.open(copy)
        begin(again)
        log = copy / "ledger.sqlite-wal"
        with full_disk(log.stat().st_size), pytest.raises(LedgerFailed):
            again.close()
        del again
        gc.collect()
        with closing(SqliteLedger.open(copy)) as mended:
            assert state_counts(mended) == {"pending": 2000}


OPEN_AND_CLOSE = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1])
other.execute("SELECT count(*) FROM meta").fetchone()
other.close()
"""


class TestOneProcess:
    """A process reads the ledger that it is writing: a notebook asks how its own run goes."""

    @pytest.mark.parametrize("reads", [True, False])
    def test_reading_it_drops_no_lock_of_the_writer(self, tmp_path: Path, reads: bool) -> None:
        """Else another program, closing it as the last to use it, would delete the log."""
        with open_ledger(tmp_path / "f") as ledger:
            confirmed(ledger, keys(1, 2, 3))
            begin(ledger)
            claim(ledger)
            if reads:
                with open_reader(tmp_path / "f") as reader:
                    assert reader.counts_by_target([1])
            path = ledger_path(tmp_path / "f")
            subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, path], check=True)
            assert path.with_name(f"{path.name}-wal").stat().st_size > 0

    def test_a_closed_one_is_looked_at_again(self, tmp_path: Path) -> None:
        with open_ledger(tmp_path / "f"):
            pass
        with ledger_path(tmp_path / "f").open("r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        with pytest.raises(LedgerFailed), open_reader(tmp_path / "f"):
            pass
