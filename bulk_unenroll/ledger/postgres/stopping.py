"""Stops the senders of a job, from wherever its ledger can be reached."""

from __future__ import annotations

from contextlib import closing

from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.folder import STOPPED
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import open_to_send
from bulk_unenroll.ledger.postgres.session import Address


def ask_to_stop(address: Address) -> None:
    """Ask all senders of the job to stop cleanly, each with its next turn."""
    with closing(open_to_send(address)) as connection:
        connection.execute("stop_open_run", code=int(ExitCode.LEFT_OVER), reason=STOPPED)


def is_sending(connection: Connection) -> bool:
    """Whether any sender of the job may make calls now."""
    return bool(connection.fetch_all("live_senders"))
