"""Waits for a ledger's server that went away, and repeats what is safe to repeat.

A turn is not, since it may have been committed: that is looked up first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from bulk_unenroll.errors import Fenced, LedgerFailed, LedgerOutOfReach, Misconfigured
from bulk_unenroll.ledger.interface import Turn
from bulk_unenroll.ledger.postgres.failures import given_up
from bulk_unenroll.log import get_logger

if TYPE_CHECKING:
    from bulk_unenroll.ledger.postgres.connection import Connection
    from bulk_unenroll.ledger.postgres.ledger import PostgresLedger

PATIENCE_S: Final = 300.0
RETRY_S: Final = 0.5
T = TypeVar("T")
log = get_logger()


def repeated(connection: Connection, ask: Callable[[], T]) -> T:
    """What ``ask`` gives, which may be done twice; it is, if the server went away meanwhile.

    Raises ``Fenced`` (75) where the server is away for too long.
    """
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except LedgerOutOfReach as lost:
            _await_server(connection, until_s, lost)


def _await_server(connection: Connection, until_s: float, lost: LedgerOutOfReach) -> None:
    """Wait until the server answers again; raise ``lost`` if it did not go away."""
    if not connection.is_lost:
        raise lost
    told = False
    while True:
        try:
            connection.reopen()
        except (LedgerOutOfReach, Misconfigured) as away:  # a standby is not yet promoted
            if not told:
                told = True
                log.warning("ledger_away", reason=away.reason, waits_s=PATIENCE_S)
            if time.monotonic() > until_s:
                raise Fenced(
                    f"{away.reason}, for {PATIENCE_S:.0f} seconds; {lost.reason}",
                    "once it answers, start again",
                ) from None
            time.sleep(RETRY_S)
        else:
            if told:
                log.info("ledger_back")
            return


class Outage:
    """Bridges the time in which the server of a ledger does not answer a turn."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger

    def bridged(self, take: Callable[[], Turn], now_s: float) -> Turn:
        """Take a turn, again if need be. ``now_s`` is the time that it was given.

        Raises ``Fenced`` (75) where this sender was given up, or the server is away for too long,
        and ``LedgerFailed`` (74) where it came back without what it had confirmed.
        """
        until_s = time.monotonic() + PATIENCE_S
        tried = False
        while True:
            try:
                if tried and self._stands():
                    return Turn(self._ledger.claimed_at(now_s), None, more=True, blocked=0)
                tried = True
                return self._taken(take)
            except LedgerOutOfReach as lost:
                _await_server(self._ledger.connection, until_s, lost)
                self._ledger.forget_claims()

    def _taken(self, take: Callable[[], Turn]) -> Turn:
        try:
            return take()
        except Fenced:
            self._stands()  # or its turns were lost while something else was asked
            raise

    def _stands(self) -> bool:
        """Whether the turn whose answer was lost was committed."""
        shared = self._ledger.shared
        found = self._ledger.connection.fetch_all("my_turn", sender=shared.id)
        turn, given_up_on = found[0] if found else (-1, False)
        if turn < shared.turn:
            raise LedgerFailed(
                f"the ledger lost {shared.turn - turn} turns that its server had confirmed",
                "keep the database as it is: calls may be missing in it; find out whether an older"
                " copy took its place",
            )
        if given_up_on:
            raise given_up()
        return bool(turn > shared.turn)
