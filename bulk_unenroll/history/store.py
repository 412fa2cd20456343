"""The records of all run folders of a user: a small SQLite database, and neighbouring folders.

It serves alarms only, so no trouble with it stops a command.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

from bulk_unenroll.history.record import Record
from bulk_unenroll.history.trouble import trouble_with
from bulk_unenroll.ledger.opening import noted_history
from bulk_unenroll.log import get_logger

NAME: Final = "history.sqlite"
BUSY_S: Final = 5.0
NEIGHBOURS_MOST: Final = 100
RECORDS_KEPT: Final = 1000
TROUBLE: Final = (sqlite3.Error, OSError, ValueError, KeyError, TypeError)
NO_HOME: Final = Path("/nonexistent")
UNKNOWN: Final = "what was called from folders elsewhere is not known, so no alarm can tell of it"
T = TypeVar("T")
log = get_logger()


def state_folder() -> Path:
    """Where this user's programs keep state: ``$XDG_STATE_HOME``, or ``~/.local/state``.

    A relative path is ignored, as the XDG Base Directory Specification asks. For a user without a
    home, as in some containers, it is a place where nothing can be kept.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given / "bulk-unenroll"
    try:
        home = Path.home()
    except RuntimeError:
        home = NO_HOME
    return home / ".local" / "state" / "bulk-unenroll"


class History:
    """The records in ``folder``; None: none are read or written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._told = False

    def records(self, place: str, beside: Path) -> list[Record]:
        """What is known of an API, from the database and the folders beside ``beside``."""
        if self._folder is None:
            return []
        found = {record.salt: record for record in self._stored(place)}
        for record in _neighbours(beside):
            if record.place == place:
                found.setdefault(record.salt, record)
        return list(found.values())

    def save(self, record: Record) -> None:
        """Note what is known of a folder, in place of what was."""
        if self._folder is None:
            return

        def put(connection: sqlite3.Connection) -> None:
            connection.execute(
                "REPLACE INTO folder (id, place, record) VALUES (?, ?, ?)",
                (record.salt, record.place, json.dumps(record.as_json())),
            )
            connection.execute(
                "DELETE FROM folder WHERE rowid <= (SELECT max(rowid) FROM folder) - ?",
                (RECORDS_KEPT,),
            )

        self._with_database(self._folder, put)

    def _stored(self, place: str) -> list[Record]:
        def get(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT record FROM folder WHERE place = ?", (place,))
            return [text for (text,) in rows]

        found: list[Record] = []
        for text in (self._with_database(self._folder, get) if self._folder else None) or ():
            with suppress(*TROUBLE):
                found.append(Record.from_json(json.loads(text)))
        return found

    def _with_database(self, folder: Path, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Work with the database; None, and one line in the log, where that is not possible."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / NAME
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection, connection:
                # what a power cut takes is not missed
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS folder"
                    " (id TEXT PRIMARY KEY, place TEXT NOT NULL, record TEXT NOT NULL)"
                )
                return work(connection)
        except TROUBLE as error:
            if not self._told:
                log.warning("no_history", why=trouble_with(folder, error), hint=UNKNOWN)
            self._told = True
            return None


def _neighbours(beside: Path) -> Iterator[Record]:
    with suppress(OSError):
        folders = sorted(beside.absolute().parent.glob("*.unenroll"))[-NEIGHBOURS_MOST:]
        for folder in folders:
            with suppress(*TROUBLE):
                noted = noted_history(folder)
                if noted:
                    yield Record.from_json(json.loads(noted))
