"""What an error of SQLite means is decided by its code, never by its words."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bulk_unenroll.ledger.sqlite.failures import failure


def error(code: int | None, text: str) -> sqlite3.Error:
    made = sqlite3.DatabaseError(text)
    if code is not None:
        made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "the ledger cannot be written: ", "free some room"),
        (sqlite3.SQLITE_CORRUPT, "the ledger is damaged: ", "restore a copy"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "the ledger is damaged: ", "restore a copy"),
        (sqlite3.SQLITE_NOTADB, "the ledger is damaged: ", "restore a copy"),
        (sqlite3.SQLITE_ERROR, "the ledger is damaged: ", "restore a copy"),
        (sqlite3.SQLITE_IOERR_FSYNC, "the ledger failed: ", "restore a copy"),
        (sqlite3.SQLITE_READONLY, "the ledger failed: ", "restore a copy"),
        (sqlite3.SQLITE_CONSTRAINT_TRIGGER, "the ledger failed: ", "restore a copy"),
        (None, "the ledger failed: ", "restore a copy"),
    ],
)
@pytest.mark.parametrize("text", ["it is so", "full", "malformed", "not a database"])
def test_the_code_decides_whatever_the_text(
    code: int | None, reason: str, remedy: str, text: str
) -> None:
    found = failure(error(code, text))
    assert found.code == 74
    assert found.reason == f"{reason}{text}"
    assert remedy in found.remedy


def test_what_the_system_says_is_of_the_disk() -> None:
    found = failure(OSError(5, "Input/output error"))
    assert found.reason == "the ledger failed: Input/output error"
    assert found.remedy == "check the disk"


def test_a_missing_table_is_damage() -> None:
    with closing(sqlite3.connect(":memory:")) as raw, pytest.raises(sqlite3.Error) as caught:
        raw.execute("SELECT * FROM item")
    assert failure(caught.value).reason == "the ledger is damaged: no such table: item"
