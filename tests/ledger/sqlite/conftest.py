"""Ledgers in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from tests.ledger.sqlite.kit import SqlitePlace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job.unenroll"


@pytest.fixture
def place(folder: Path) -> SqlitePlace:
    return SqlitePlace(folder)


@pytest.fixture
def ledger(place: SqlitePlace) -> Iterator[SqliteLedger]:
    """A ledger, which is proven after the test."""
    made = place.open()
    yield made
    assert made.reader.integrity_faults() == []
    made.close()
