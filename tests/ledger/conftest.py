"""Every kind of ledger: the tests of this folder run once for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bulk_unenroll.ledger.interface import Ledger
from tests.ledger.kit import Place
from tests.ledger.sqlite.kit import SqlitePlace

KINDS: Mapping[str, Callable[[Path], Place]] = {"sqlite": SqlitePlace}


@pytest.fixture(params=KINDS, scope="session")
def make_place(request: pytest.FixtureRequest) -> Callable[[Path], Place]:
    """Makes places for ledgers of one kind, each from a path of its own."""
    return KINDS[request.param]


@pytest.fixture
def place(make_place: Callable[[Path], Place], tmp_path: Path) -> Place:
    return make_place(tmp_path / "job.unenroll")


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """A ledger, which is proven after the test."""
    made = place.open()
    yield made
    with place.reader() as reader:
        assert reader.integrity_faults() == []
    made.close()
