"""The accounting of some sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.sqlite.ledger import DAMAGED, DAMAGED_REMEDY
from bulk_unenroll.model import State


def known_state(text: str) -> State:
    """A state as it stands in the ledger; raises ``LedgerFailed`` for what is none."""
    try:
        return State(text)
    except ValueError:
        raise LedgerFailed(f"{DAMAGED}: {text!r} is no state", DAMAGED_REMEDY) from None


@dataclass(slots=True)
class Counts:
    """The accounting of some sources. ``read = invalid + duplicate + the sum over states``."""

    read: int = 0
    invalid: int = 0
    unique: int = 0
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    codes: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    mismatches: int = 0
    withdrawn: int = 0

    @property
    def duplicate(self) -> int:
        """Rows that repeat another one."""
        return self.read - self.invalid - self.unique

    @property
    def left(self) -> int:
        """Customers/targets that are not settled."""
        return sum(self.states[s] for s in (State.PENDING, State.SENDING, State.IN_DOUBT))
