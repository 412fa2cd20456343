"""Every kind of ledger: the tests of this folder run once for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from bulk_unenroll.ledger.interface import Ledger
from tests.ledger.kit import Place
from tests.ledger.sqlite.kit import SqlitePlace

MakePlace = Callable[[Path], Place]


def _sqlite(_: pytest.FixtureRequest) -> MakePlace:
    return SqlitePlace


def _postgres(request: pytest.FixtureRequest) -> MakePlace:
    server = request.getfixturevalue("server")  # before psycopg is asked for: it may be missing
    from tests.ledger.postgres.kit import PostgresPlace

    return partial(PostgresPlace.new, server)


KINDS: Mapping[str, Callable[[pytest.FixtureRequest], MakePlace]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
}


@pytest.fixture(params=KINDS, scope="session")
def make_place(request: pytest.FixtureRequest) -> MakePlace:
    """Makes places for ledgers of one kind, each from a path of its own."""
    return KINDS[request.param](request)


@pytest.fixture
def place(make_place: MakePlace, tmp_path: Path) -> Place:
    return make_place(tmp_path / "job.unenroll")


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """A ledger, which is proven after the test."""
    made = place.open()
    yield made
    with place.reader() as reader:
        assert reader.integrity_faults() == []
    made.close()
