"""A database for shared jobs."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from tests.kit.postgres import Server


@pytest.fixture
def ledger_url(server: Server) -> str:
    """The address of a database of the test's own."""
    import psycopg

    name = f"test{time.time_ns()}"
    with closing(psycopg.connect(server.url(), autocommit=True)) as tool:
        tool.execute(f"CREATE DATABASE {name}")
    return server.url(name)
