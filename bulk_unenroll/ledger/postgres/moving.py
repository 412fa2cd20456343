"""A job that comes from another ledger: all of it in one transaction, and at first not in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from psycopg import sql

from bulk_unenroll.errors import UsageError
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.failures import damaged, translated
from bulk_unenroll.ledger.postgres.job import MOVING, exists, hold, make
from bulk_unenroll.ledger.postgres.loading import work_in_memory
from bulk_unenroll.ledger.postgres.proof import integrity_faults
from bulk_unenroll.ledger.postgres.senders import STARTS_FROM
from bulk_unenroll.ledger.postgres.session import Address


class ComingTable(Protocol):
    """What comes of a table, in these columns. ``rows`` are taken before the next table is."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Iterable[Sequence[Any]]: ...


@contextmanager
def receive(
    address: Address, mark: str, tables: Iterable[ComingTable], starts_from_s: float
) -> Iterator[None]:
    """Make a job of what comes; it is in force once the block ends.

    Until then nobody can open it to work. Raises ``UsageError`` (2) where there is such a job, but
    for one that bears the same ``mark``, which an earlier move left behind.
    """
    with closing(Connection.open(address, to_write=True)) as connection:
        hold(connection)
        with connection.transaction():
            work_in_memory(connection)
            _drop_earlier(connection, mark)
            make(connection)
            for table in tables:
                _copy(connection, table)
            connection.run_script("make_indexes")
            connection.fetch_all("number_on")
            connection.set_meta(MOVING, mark)
            connection.set_meta(STARTS_FROM, repr(starts_from_s))
            connection.send("count_moved")
            if faults := integrity_faults(connection):
                raise damaged(faults[0])
        yield
        connection.execute("unmark", mark=mark)


def release(address: Address, mark: str) -> None:
    """Put the job that bears this mark into force."""
    with closing(Connection.open(address, to_write=True)) as connection:
        connection.execute("unmark", mark=mark)


def _drop_earlier(connection: Connection, mark: str) -> None:
    if not exists(connection):
        return
    if connection.meta(MOVING) != mark:
        job = connection.address.job
        raise UsageError(
            f"there is a job {job} in that database already",
            "give --job another name",
            lacking={"job": "NAME"},
        )
    schema = sql.Identifier(connection.address.schema)
    with translated():
        connection.raw.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))


def _copy(connection: Connection, table: ComingTable) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    with translated(), connection.raw.cursor() as cursor, cursor.copy(statement) as copy:
        for row in table.rows:
            copy.write_row(row)
