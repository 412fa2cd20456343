"""Ledgers in SQLite, for tests."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import open_reader
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from tests.kit.accidents import after_kill


@dataclass(frozen=True)
class SqlitePlace:
    """A run folder."""

    folder: Path

    def open(self) -> SqliteLedger:
        self.folder.mkdir(exist_ok=True)
        return SqliteLedger.open(self.folder)

    def reader(self) -> AbstractContextManager[LedgerReader]:
        return open_reader(self.folder)

    def after_kill(self) -> SqlitePlace:
        return SqlitePlace(after_kill(self.folder))
