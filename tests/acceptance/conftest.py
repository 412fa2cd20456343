"""A database for shared jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kit.postgres import Server, programs, running_server


@pytest.fixture(scope="session")
def database() -> Iterator[Server]:
    """A PostgreSQL server; without one, or without psycopg, tests that need it are skipped."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e '.[test]'")
    with running_server(bin_) as running:
        yield running


@pytest.fixture
def ledger_url(database: Server) -> str:
    """The address of a database of the test's own."""
    import psycopg

    name = f"test{time.time_ns()}"
    with closing(psycopg.connect(database.url(), autocommit=True)) as tool:
        tool.execute(f"CREATE DATABASE {name}")
    return database.url(name)
