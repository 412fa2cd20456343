"""The lease of a sender in a shared run: it may start calls until others could take over."""

from __future__ import annotations

from collections.abc import Callable

from bulk_unenroll.clocks import elapsed_s
from bulk_unenroll.ledger.sharing import Sharing

MARGIN_S = 2.0
"""A sender stops this long before others may take over from it."""


class Lease:
    """Renewed by each turn of the ledger, from the moment before it was asked for.

    ``sharing`` is None for a run that nobody shares: its lease never ends.
    """

    def __init__(self, sharing: Sharing | None, clock_s: Callable[[], float] = elapsed_s) -> None:
        self._ttl_s = None if sharing is None else sharing.ttl_s - MARGIN_S
        self._clock_s = clock_s
        self._until_s = clock_s() + (self._ttl_s or 0.0)

    def asked(self) -> float:
        """The moment before a turn is asked for."""
        return self._clock_s()

    def renew(self, asked_s: float) -> None:
        """A turn that was asked for then has succeeded."""
        if self._ttl_s is not None:
            self._until_s = asked_s + self._ttl_s

    def holds(self) -> bool:
        """Whether calls may start."""
        return self._ttl_s is None or self._clock_s() < self._until_s
