"""What an error of PostgreSQL means: always one line, as ``LedgerFailed`` (74).

It is decided by SQLSTATE, the codes of the server (postgresql.org/docs/current/errcodes-appendix).
Where there is no connection yet there is no such code: then by what libpq is known to say. Its own
words are never shown, for a part of an address that was mistyped may be a part of a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from bulk_unenroll.errors import Fenced, LedgerAway, LedgerFailed, LedgerOutOfReach

RESTORE: Final = "keep the database as it is and restore a backup of it"
AGAIN: Final = "once the server answers again, the same command goes on"

FENCED: Final = "BU001"
"""The SQLSTATE that the function ``fence`` raises."""

_MEANINGS: Final[tuple[tuple[str, str, str], ...]] = (
    ("08", "the connection to its server was lost", AGAIN),
    ("57P01", "its server was shut down, or ended this connection", AGAIN),
    ("57P02", "its server crashed", AGAIN),
    ("57P03", "its server is starting up or shutting down", AGAIN),
    ("57P05", "its server ended this connection, which was idle for too long", AGAIN),
    ("25P03", "its server ended a transaction that stood still for too long", AGAIN),
    ("57014", "its server canceled a statement", AGAIN),
    ("53100", "the disk of its server is full", "free some room there"),
    ("53200", "its server is out of memory", "give it more, or let it do less"),
    ("53300", "its server has no connection left", "let others end theirs, then go on"),
    ("53", "its server is out of resources", "look at the server's log"),
    ("55P03", "another program has held a lock of it for too long; nothing is damaged",
     "end what holds it, then go on"),
    ("40P01", "it was locked in a circle with another program", "end that, then go on"),
    ("40001", "another program changed it at the same time", "end that, then go on"),
    ("42501", "this user may not do that in its database", "let its owner grant it"),
    ("25006", "its server is read-only", "use the address of the primary"),
    ("28", "its server refuses this user", "check the user and how it proves itself"),
    ("3D000", "there is no such database", "make it, or correct the address"),
    ("58", "the disk of its server fails", "look at the server's log"),
)  # fmt: skip
"""How a SQLSTATE begins, what it means for the ledger, and what to do."""
_DAMAGES: Final = ("XX001", "XX002", "42P01", "42703", "42883", "3F000")
"""Damaged pages or indexes; a table, column, function or schema that is missing."""

_REFUSALS: Final[tuple[tuple[str, str, str], ...]] = (
    ("authentication failed", "refuses the user or the password", "correct them"),
    ("no password supplied", "wants a password", "name it in PGPASSFILE"),
    ("no pg_hba.conf entry", "refuses connections from here", "let its owner allow them"),
    ("certificate", "has a certificate that is not trusted", "see sslrootcert of libpq"),
    ("SSL", "does not agree on encryption", "see sslmode of libpq"),
    ("does not exist", "has no such database or user", "correct the address"),
    ("too many", "has no connection left", "let others end theirs, then go on"),
    ("remaining connection", "has no connection left", "let others end theirs, then go on"),
    ("starting up", "is starting up", AGAIN),
    ("shutting down", "is shutting down", AGAIN),
    ("read-only", "is read-only", "use the address of the primary"),
    ("could not translate host name", "is at an unknown host", "correct the address"),
    ("failed to resolve host", "is at an unknown host", "correct the address"),
    ("timeout expired", "does not answer", AGAIN),
    ("onnection refused", "does not listen there", AGAIN),
    ("invalid", "is not to be reached with this address", "correct the address"),
)
"""What libpq's words have in them, and what that means of the server."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn an error of psycopg into ``LedgerFailed``."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate == FENCED:
            raise given_up() from None
        raise failure(error) from error


def given_up() -> Fenced:
    """The end of a sender that others gave up."""
    return Fenced(
        "the other senders of this run gave this one up, for it took no turn for too long",
        "start it again: it joins the run anew",
    )


def failure(error: psycopg.Error) -> LedgerFailed:
    """What an error of a command means to a person."""
    code = error.sqlstate or ("08006" if isinstance(error, psycopg.OperationalError) else "")
    for begin, what, remedy in _MEANINGS:
        if code.startswith(begin):
            return _out_of_reach(f"the ledger failed: {what}", remedy)
    words = error.diag.message_primary or type(error).__name__
    if code in _DAMAGES:
        return damaged(words)
    return LedgerFailed(f"the ledger failed: {words} ({code or 'psycopg'})", RESTORE)


def unreachable(error: psycopg.Error) -> LedgerFailed:
    """Why there is no connection."""
    if error.sqlstate:
        return failure(error)
    said = str(error)
    for words, what, remedy in _REFUSALS:
        if words in said:
            return _out_of_reach(f"the ledger's server {what}", remedy)
    return _out_of_reach("the ledger's server cannot be reached", AGAIN)


def _out_of_reach(what: str, remedy: str) -> LedgerOutOfReach:
    return (LedgerAway if remedy == AGAIN else LedgerOutOfReach)(what, remedy)


def damaged(what: str) -> LedgerFailed:
    """The ledger is not what it was."""
    return LedgerFailed(f"the ledger is damaged: {what}", RESTORE)
