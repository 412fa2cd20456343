"""SQLite's temporary files are in the run folder, and never left there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.ledger.opening import open_ledger, open_reader
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from tests.kit.accidents import read_only
from tests.ledger.kit import confirmed, keys

LARGE = """CREATE TEMP TABLE t AS
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
SELECT i, randomblob(2000) FROM n"""


def places_in_use(raw: sqlite3.Connection) -> set[str]:
    """Where the temporary files of a connection are, once it has one."""
    raw.execute("PRAGMA temp_store = FILE")
    raw.execute("PRAGMA temp.cache_size = 2")
    raw.execute(LARGE)
    return set(temporary_files())


def temporary_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            open_file = descriptor.readlink()
        except OSError:  # the descriptor of this look itself
            continue
        if open_file.name.startswith("etilqs_"):
            yield str(open_file.parent)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the system does not tell which files are open"
)


@needs_proc
def test_who_writes_keeps_them_in_the_folder(ledger: SqliteLedger, folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert places_in_use(ledger.connection.raw) == {str(folder)}
    assert {path.name for path in folder.iterdir()} == names
    ledger.connection.raw.execute("DROP TABLE temp.t")


@needs_proc
def test_each_of_several_folders_in_turn(tmp_path: Path) -> None:
    for name in ("one", "it's two"):
        (tmp_path / name).mkdir()
        with closing(SqliteLedger.open(tmp_path / name)) as made:
            assert places_in_use(made.connection.raw) == {str(tmp_path / name)}


@needs_proc
def test_a_folder_that_is_gone_is_no_place(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "one"):
        pass
    for path in (tmp_path / "one").iterdir():
        path.unlink()
    (tmp_path / "one").rmdir()
    with closing(sqlite3.connect(":memory:")) as raw:
        assert str(tmp_path / "one") not in places_in_use(raw)


def test_a_folder_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    with closing(SqliteLedger.open(tmp_path)) as ledger:
        confirmed(ledger, keys(1))
    with read_only(tmp_path), open_reader(tmp_path) as reader:
        assert reader.integrity_faults() == []


def test_what_a_kill_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "etilqs_1234567890abcdef").write_bytes(b"customers")
    with open_ledger(tmp_path):
        assert not list(tmp_path.glob("etilqs_*"))


@pytest.mark.parametrize("version", [(3, 31, 1), (3, 36, 0)])
def test_a_sqlite_that_is_too_old_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    with open_ledger(tmp_path / "f"):
        pass
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, version)))
    for opening in (open_ledger, open_reader):
        with pytest.raises(Misconfigured, match=r"the SQLite of this Python is 3\.3") as caught:
            opening(tmp_path / "f").__enter__()
        assert caught.value.code == 78
        assert "3.37 or newer is needed" in caught.value.reason
