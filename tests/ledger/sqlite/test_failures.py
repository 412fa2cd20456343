"""What an error of SQLite means is decided by its code, never by its words."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite import failures
from bulk_unenroll.ledger.sqlite.failures import failure
from tests.kit.accidents import read_only

DAMAGE = "keep the folder as it is and restore a copy of it"
CHECK = "check the disk, then run `verify`"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger, as far as its place and its rights go."""
    found = ledger_path(tmp_path)
    found.write_bytes(bytes(1000))
    return found


def error(code: int | None, text: str = "it is so") -> sqlite3.Error:
    made = sqlite3.DatabaseError(text)
    if code is not None:
        made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "the ledger cannot be written: ", "free some room"),
        (sqlite3.SQLITE_CORRUPT, "the ledger is damaged: ", DAMAGE),
        (sqlite3.SQLITE_CORRUPT_INDEX, "the ledger is damaged: ", DAMAGE),
        (sqlite3.SQLITE_NOTADB, "the ledger is damaged: ", DAMAGE),
        (sqlite3.SQLITE_ERROR, "the ledger is damaged: ", DAMAGE),
        (sqlite3.SQLITE_IOERR_FSYNC, "the ledger failed: ", CHECK),
        (sqlite3.SQLITE_READONLY, "the ledger failed: ", CHECK),
        (sqlite3.SQLITE_CONSTRAINT_TRIGGER, "the ledger failed: ", DAMAGE),
        (None, "the ledger failed: ", DAMAGE),
    ],
)
@pytest.mark.parametrize("text", ["it is so", "full", "malformed", "database is locked"])
def test_the_code_decides_whatever_the_text(
    path: Path, code: int | None, reason: str, remedy: str, text: str
) -> None:
    found = failure(error(code, text), path)
    assert found.code == 74
    assert found.reason == f"{reason}{text}"
    assert found.remedy == remedy
    assert {it.name for it in path.parent.iterdir()} == {path.name}


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED]
)
def test_a_lock_is_no_damage(path: Path, code: int) -> None:
    found = failure(error(code, "malformed"), path)
    assert found.code == 74
    assert "another program, probably a database browser, has held" in found.reason
    assert "nothing is damaged" in found.reason
    assert "close it" in found.remedy


@pytest.mark.parametrize("code", [sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR_SHMMAP])
def test_a_disk_that_cannot_lock_is_told_as_such(path: Path, code: int) -> None:
    found = failure(error(code), path)
    assert "cannot lock or share files" in found.reason
    assert found.remedy == "move the run folder to a disk of this machine"


@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.ENOSPC, "the disk of {} is full", "free some room"),
        (errno.EDQUOT, "quota on the disk of {} is used up", "more quota"),
        (errno.EROFS, "the disk of {} is read-only", "make it writable"),
        (errno.EFBIG, "a file in {} may not grow further", "ulimit -f"),
        (errno.EACCES, "this user may not use {}", "run as its owner"),
        (errno.EMFILE, "too many files open", "ulimit -n"),
        (errno.ENFILE, "too many files open", "end other programs"),
        (errno.EIO, "the disk of {} reports an error", "check the disk"),
        (errno.ENXIO, "{}: No such device or address", "check the disk"),
    ],
)
@pytest.mark.parametrize("code", [None, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN])
def test_what_the_system_says_is_said_in_plain_words(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int | None,
    number: int,
    reason: str,
    remedy: str,
) -> None:
    """SQLite keeps the system's number to itself, so the disk is asked again."""
    said = OSError(number, os.strerror(number))
    monkeypatch.setattr(failures, "refusal", lambda folder, at: said)
    found = failure(said if code is None else error(code), path)
    assert found.code == 74
    assert reason.format(path.parent) in found.reason
    assert remedy in found.remedy
    assert "damage" not in str(found)


def test_a_disk_without_inodes_is_not_called_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(path)
    facts = [*real[:5], 1000, 0, 0, *real[8:]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(facts))
    found = failure(OSError(errno.ENOSPC, "No space left on device"), path)
    assert "no inodes are left" in found.reason
    assert found.remedy == "remove some files there"


def test_a_folder_that_may_not_be_written_is_named(path: Path) -> None:
    with read_only(path.parent):
        found = failure(error(sqlite3.SQLITE_CANTOPEN), path)
    assert found.reason == f"the ledger failed: this user may not use {path.parent}"
    assert found.remedy == "run as its owner"


def test_no_room_for_temporary_files_is_told_with_the_place(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "tmp"
    monkeypatch.setenv("SQLITE_TMPDIR", str(elsewhere))
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(
        failures, "refusal", lambda folder, at=0: full if folder == elsewhere else None
    )
    found = failure(error(sqlite3.SQLITE_FULL), path)
    assert found.reason == f"no room for temporary files: the disk of {elsewhere} is full"
    assert found.remedy == "set SQLITE_TMPDIR to a folder that has room"


def test_a_missing_table_is_damage(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as raw, pytest.raises(sqlite3.Error) as caught:
        raw.execute("SELECT * FROM item")
    assert failure(caught.value, path).reason == "the ledger is damaged: no such table: item"


def test_text_that_is_none_is_damage(path: Path) -> None:
    spoilt = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert failure(spoilt, path).reason.startswith("the ledger is damaged: ")
