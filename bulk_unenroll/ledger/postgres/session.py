"""Connections to a server that can be trusted with a ledger, and what each of them insists on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bulk_unenroll.errors import LedgerFailed, Misconfigured
from bulk_unenroll.ledger.job_address import check_name
from bulk_unenroll.ledger.postgres.failures import translated, unreachable

OLDEST: Final = 14
ENCODING: Final = "UTF8"
CONNECT_TIMEOUT_S: Final = 10
TRANSPORT: Final[Mapping[str, Any]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    # a server that is gone is noticed within about 15 seconds, whatever the system's default
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Unless the address says otherwise. See postgresql.org/docs/current/libpq-connect: in milliseconds
the last one, the others in seconds."""
SETTINGS: Final = {
    "idle_in_transaction_session_timeout": "5s",  # who stands still must not hold locks
    "lock_timeout": "10s",
    "statement_timeout": "0",  # a role may have one: loading millions takes its time
    "jit": "off",  # compiling costs more than any statement here saves by it
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # floats come back as they went
    # and the other way around: the server notices a client that is gone
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
}

Raw = psycopg.Connection[tuple[Any, ...]]
logging.getLogger("psycopg").addHandler(logging.NullHandler())
"""What it says beside its errors repeats libpq's words; without a handler it goes to our output."""


def name_of(job: str) -> str:
    """What the server calls the connections of a job, for those who watch it."""
    return f"bulk-unenroll {job}"


def schema_of(job: str) -> str:
    """The PostgreSQL schema of a job. Raises ``UsageError`` (2)."""
    check_name(job)
    return f"bulk_unenroll_{job}"


class Address(NamedTuple):
    """Where a job's ledger is. Its text has no address: that may hold a password."""

    url: str
    job: str
    schema: str

    @classmethod
    def of(cls, url: str, job: str) -> Address:
        """Raises ``UsageError`` (2) for a wrong name, ``Misconfigured`` (78) for no address."""
        try:
            conninfo_to_dict(url)
        except psycopg.Error:  # its words repeat the address
            raise Misconfigured(
                "the address of the ledger's server cannot be read",
                "write it as postgresql://USER@HOST/DATABASE",
            ) from None
        return cls(url, job, schema_of(job))

    def __repr__(self) -> str:
        return f"Address(job={self.job!r})"


class Facts(NamedTuple):
    """What decides whether a server can be trusted with a ledger."""

    version: int
    encoding: str
    fsync: str
    full_page_writes: str
    is_standby: bool


def connect(address: Address, *, to_write: bool) -> Raw:
    """Connect to the server of a ledger.

    Raises ``LedgerFailed`` (74) where it cannot be reached, and ``Misconfigured`` (78) where it
    could lose what it confirmed.
    """
    try:
        given = {**TRANSPORT, **conninfo_to_dict(address.url)}
        given |= {"application_name": name_of(address.job), "client_encoding": ENCODING}
        raw = psycopg.connect(autocommit=True, **given)
    except psycopg.Error as error:
        raise unreachable(error) from None  # its words may hold a part of the address
    try:
        with translated():
            if to_write:
                refuse(_facts(raw))
            _set_up(raw, address.schema, to_write=to_write)
    except BaseException:
        raw.close()
        raise
    return raw


def refuse(facts: Facts) -> None:
    """Raise ``Misconfigured`` (78) for a server to which no ledger is entrusted."""
    if facts.version // 10_000 < OLDEST:
        raise Misconfigured(
            f"the ledger's server is PostgreSQL {facts.version // 10_000}; {OLDEST} or newer is"
            " needed",
            "use a newer server",
        )
    if facts.is_standby:
        raise Misconfigured(
            "the ledger's server is a standby, in which nothing can be recorded",
            "use the address of the primary",
        )
    if facts.encoding != ENCODING:
        raise Misconfigured(
            f"the database of the ledger is encoded in {facts.encoding}",
            "make one with the encoding UTF8",
        )
    for name, value in (("fsync", facts.fsync), ("full_page_writes", facts.full_page_writes)):
        if value != "on":
            raise Misconfigured(
                f"the ledger's server may lose calls that were made: its {name} is {value}",
                f"turn {name} on",
            )


def _facts(raw: Raw) -> Facts:
    found = raw.execute(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),"
        " current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()"
    ).fetchone()
    if found is None:
        raise LedgerFailed("the ledger's server does not say what it is")
    return Facts(*found)


def _set_up(raw: Raw, schema: str, *, to_write: bool) -> None:
    """Set what the rest relies on, whatever the server, the database and the role set before.

    By statements, for poolers between here and the server refuse them as options of a connection.
    """
    settings = {**SETTINGS, "search_path": f'"{schema}"'}
    settings["default_transaction_read_only"] = "off" if to_write else "on"
    # who waits for standbys to apply what is committed goes on doing so
    raw.execute(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    )
    raw.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name,"
        " value)",
        [list(settings), list(settings.values())],
    )
