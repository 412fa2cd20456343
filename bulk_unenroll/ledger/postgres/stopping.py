"""Stops the senders of a job, from wherever its ledger can be reached."""

from __future__ import annotations

from contextlib import closing

from bulk_unenroll.errors import FolderBusy
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.folder import STOPPED
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import is_held, open_to_send
from bulk_unenroll.ledger.postgres.senders import TTL_S
from bulk_unenroll.ledger.postgres.session import Address


def ask_to_stop(address: Address) -> bool:
    """Ask all senders of the job to stop cleanly, each with its next turn; if there was a run.

    One that nobody sends for is stopped, too: whoever starts senders would go on with it.
    Raises ``FolderBusy`` (75) while a run is planned: it is not there yet, and would begin.
    """
    with closing(open_to_send(address)) as connection:
        held = is_held(connection)  # asked first, for the run may begin in between
        sending = is_sending(connection)
        if held and not sending:
            why = f"another process works on the job {address.job}, and has begun no run of it yet"
            raise FolderBusy(address.job, why, "end that process where it was started")
        goes_on = sending or bool(connection.fetch_all("open_run"))
        connection.execute("stop_open_run", code=int(ExitCode.LEFT_OVER), reason=STOPPED)
        return goes_on


def is_sending(connection: Connection, ttl_s: float = TTL_S) -> bool:
    """Whether any sender of the job may make calls now: one that is silent for long may not."""
    return any(silent_s < ttl_s for *_, silent_s in connection.fetch_all("live_senders"))
