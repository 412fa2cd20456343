"""The schema of a job: made whole or not at all, opened by one sender at a time."""

from __future__ import annotations

import hashlib
import time
from typing import Final, LiteralString

from psycopg import sql

from bulk_unenroll.errors import (
    FolderBusy,
    InputMissing,
    LedgerFailed,
    LedgerOutOfReach,
    Misconfigured,
)
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.failures import translated
from bulk_unenroll.ledger.postgres.senders import await_senders
from bulk_unenroll.ledger.postgres.session import Address

SCHEMA_VERSION: Final = 1
MOVING: Final = "moving"
"""Under this name a job notes the mark of a move to it that has not ended: see ``moving``."""
PATIENCE_S: Final = 2.0
"""How long the server may take to notice that a sender was killed."""


def open_to_write(address: Address, ttl_s: float, *, new: bool = True) -> Connection:
    """Open the ledger of a job alone, making it if there is none.

    Unless ``new``: then it raises ``InputMissing`` (66).

    Raises ``FolderBusy`` (75) while another process works on the job. A sender that was killed is
    waited for, for ``ttl_s`` after it was seen last.
    """
    connection = Connection.open(address, to_write=True)
    with connection.closed_on_error():
        hold(connection)
        if new:
            make(connection)
        check_there(connection)
        check_in_force(connection)
        await_senders(connection, ttl_s)
    return connection


def open_to_send(address: Address) -> Connection:
    """Open the ledger of a job beside others. Raises ``InputMissing`` (66) if there is none."""
    connection = Connection.open(address, to_write=True)
    with connection.closed_on_error():
        check_there(connection)
        check_in_force(connection)
    return connection


def open_to_read(address: Address) -> Connection:
    """Open the ledger of a job to ask it. Raises ``InputMissing`` (66) if there is none."""
    connection = Connection.open(address, to_write=False)
    with connection.closed_on_error():
        check_there(connection)
    return connection


def check_there(connection: Connection) -> None:
    """Raise ``InputMissing`` (66) if there is no such job."""
    if not exists(connection):
        raise InputMissing(
            f"there is no job {connection.address.job} in that database",
            "check its name and the address",
        )
    check_version(connection)


def hold(connection: Connection) -> None:
    """Lock the job for as long as the connection lasts."""
    address = connection.address
    until_s = time.monotonic() + PATIENCE_S
    number = _number(f"work on {address.schema}")
    while not _try_lock(connection, number, "pg_try_advisory_lock"):
        if time.monotonic() > until_s:
            raise FolderBusy(address.job, f"another process works on the job {address.job}")
        time.sleep(0.05)


def release(connection: Connection) -> None:
    """Let others have the job at once: a server sees a moment later that a connection is closed."""
    with translated():
        connection.raw.execute("SELECT pg_advisory_unlock_all()")


def is_held(connection: Connection) -> bool:
    """Whether another process holds the lock of the job: it plans, or is about to send."""
    number = _number(f"work on {connection.address.schema}")
    is_free = _try_lock(connection, number, "pg_try_advisory_lock_shared")
    if is_free:
        with translated():
            connection.raw.execute("SELECT pg_advisory_unlock_shared(%s)", [number])
    return not is_free


def keep_free(connection: Connection) -> bool:
    """Let nobody take the lock of the job until the transaction ends; False if somebody has it."""
    number = _number(f"work on {connection.address.schema}")
    return _try_lock(connection, number, "pg_try_advisory_xact_lock_shared")


def let_go(connection: Connection) -> None:
    """Release the lock, so that others join: the run has begun, and each sender has a row."""
    with translated():
        number = _number(f"work on {connection.address.schema}")
        connection.raw.execute("SELECT pg_advisory_unlock(%s)", [number])


def make(connection: Connection) -> None:
    """Make the schema, if there is none."""
    schema = connection.address.schema
    with connection.transaction():
        # IF NOT EXISTS is not safe where two create at once
        connection.raw.execute("SELECT pg_advisory_xact_lock(%s)", [_number(f"make {schema}")])
        if exists(connection):
            return
        connection.raw.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for script in ("schema", "views"):
            connection.run_script(script)
        connection.set_meta("version", str(SCHEMA_VERSION))


def check_version(connection: Connection) -> None:
    """Raise ``LedgerFailed`` (74) for a ledger that this version does not know."""
    version = connection.meta("version")
    if version != str(SCHEMA_VERSION):
        raise LedgerFailed(
            f"the ledger has version {version}; this program knows {SCHEMA_VERSION}",
            "use the program that made it, or a newer one",
        )


def check_in_force(connection: Connection) -> None:
    """Raise ``Misconfigured`` (78) for the copy of a folder whose move did not end."""
    if connection.meta(MOVING):
        job = connection.address.job
        raise Misconfigured(
            f"a folder is being moved to the job {job}, and that has not ended",
            "on the machine of that folder `move` it again",
        )


def exists(connection: Connection) -> bool:
    """Whether there is a schema. Raises ``LedgerOutOfReach`` (74) if this user may not use it."""
    schema = connection.address.schema
    with translated():
        found = connection.raw.execute(
            "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %s",
            [schema],
        ).fetchone()
    if found == (False,):  # its tables would seem to be missing
        raise LedgerOutOfReach(
            f"the ledger failed: this user may not use the schema {schema}",
            "let its owner grant it",
        )
    return found is not None


def _try_lock(connection: Connection, number: int, how: LiteralString) -> bool:
    with translated():
        found = connection.raw.execute(f"SELECT {how}(%s)", [number]).fetchone()
    return found == (True,)


def _number(name: str) -> int:
    """The number of a lock: those of a database are told apart by 64 bits alone."""
    digest = hashlib.sha256(f"bulk_unenroll: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
