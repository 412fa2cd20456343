"""The records of all run folders of a user: a small SQLite database, and neighbouring folders.

It serves alarms only, so no trouble with it stops a command.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bulk_unenroll.history.record import Record
from bulk_unenroll.ledger.opening import noted_history
from bulk_unenroll.log import get_logger

NAME: Final = "history.sqlite"
BUSY_S: Final = 5.0
NEIGHBOURS_MOST: Final = 100
TROUBLE: Final = (sqlite3.Error, OSError, ValueError, KeyError, TypeError)
log = get_logger()


def state_folder() -> Path:
    """Where this user's programs keep state: ``$XDG_STATE_HOME``, or ``~/.local/state``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "bulk-unenroll"


class History:
    """The records in ``folder``; None: none are read or written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def records(self, place: str, beside: Path) -> list[Record]:
        """What is known of an API, from the database and the folders beside ``beside``."""
        if self._folder is None:
            return []
        found = {record.folder: record for record in self._stored(place)}
        for record in _neighbours(beside):
            if record.place == place:
                found.setdefault(record.folder, record)
        return list(found.values())

    def save(self, record: Record) -> None:
        """Note what is known of a folder, in place of what was."""
        if self._folder is None:
            return
        with self._open() as connection:
            connection.execute(
                "INSERT INTO record (folder, place, record) VALUES (?, ?, ?) ON CONFLICT (folder)"
                " DO UPDATE SET place = excluded.place, record = excluded.record",
                (record.folder, record.place, json.dumps(record.as_json())),
            )

    def _stored(self, place: str) -> list[Record]:
        found: list[Record] = []
        with self._open() as connection:
            rows = connection.execute("SELECT record FROM record WHERE place = ?", (place,))
            for (text,) in rows:
                with suppress(*TROUBLE):
                    found.append(Record.from_json(json.loads(text)))
        return found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection whose troubles are logged, and end only what is done with it."""
        folder = self._folder or state_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / NAME
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS record"
                    " (folder TEXT PRIMARY KEY, place TEXT NOT NULL, record TEXT NOT NULL)"
                )
                yield connection
        except TROUBLE as error:
            log.warning("no_history", why=str(error))


def _neighbours(beside: Path) -> Iterator[Record]:
    with suppress(OSError):
        folders = sorted(beside.absolute().parent.glob("*.unenroll"))[-NEIGHBOURS_MOST:]
        for folder in folders:
            with suppress(*TROUBLE):
                noted = noted_history(folder)
                if noted:
                    yield Record.from_json(json.loads(noted))
