"""Ledgers in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kit.postgres import Server

if find_spec("psycopg") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
    from tests.ledger.postgres.kit import TTL_S, Join, PostgresPlace


@pytest.fixture
def place(server: Server, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace.new(server, tmp_path)


@pytest.fixture
def ledger(place: PostgresPlace) -> Iterator[PostgresLedger]:
    """A ledger, which is proven after the test."""
    made = place.open()
    yield made
    assert made.reader.integrity_faults() == []
    made.close()


@pytest.fixture
def first(place: PostgresPlace) -> Iterator[PostgresLedger]:
    """A ledger whose senders are given up soon."""
    with closing(PostgresLedger.open(place.url, place.job, TTL_S)) as made:
        yield made


@pytest.fixture
def join(place: PostgresPlace) -> Iterator[Join]:
    with ExitStack() as stack:

        def joined() -> PostgresLedger:
            made = PostgresLedger.beside_others(place.url, place.job, TTL_S)
            stack.enter_context(closing(made))
            assert made.join("somebody@elsewhere")
            return made

        yield joined
