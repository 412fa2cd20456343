"""Decides which claimed calls may still be sent. Pure.

A call is claimed some time before it starts, and an answer that is read in between may forbid it.
So each call is checked when the ledger hands it out, and again right before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bulk_unenroll.model import Blocked, Call, Enrollment
from bulk_unenroll.sending.lease import Lease
from bulk_unenroll.sending.safeguards import Canary


@dataclass(slots=True)
class Sieve:
    """What is forbidden by now: targets and groups, orgs, or everything.

    ``protected`` says who must never be called; ``lease`` whether this sender may still call.
    """

    canary: Canary
    protected: Callable[[Enrollment], bool] | None = None
    lease: Lease = field(default_factory=lambda: Lease(None))
    stopped: bool = False
    halted_orgs: set[int] = field(default_factory=set)
    _blocks: dict[tuple[int | None, int, int | None], Blocked] = field(default_factory=dict)

    def block(self, block: Blocked) -> bool:
        """Let no more calls of a target or group pass; True if that is news."""
        return self._blocks.setdefault((block.org, block.group, block.rule), block) is block

    def protects(self, call: Call) -> bool:
        """Whether ``call`` must never leave: its customer is on a never-list."""
        return self.protected is not None and self.protected(call.enrollment)

    def passes(self, call: Call) -> bool:
        """Whether ``call`` may leave."""
        if self.stopped or self.canary.died or not self.lease.holds():
            return False
        if not (self._blocks or self.halted_orgs):  # nearly always
            return True
        org = call.enrollment.target.org or 0
        return org not in self.halted_orgs and self.block_of(call) is None

    def block_of(self, call: Call) -> Blocked | None:
        """The block that keeps ``call`` back.

        A call in doubt is not kept back: it stays in doubt until it has an answer of its own.
        """
        if call.doubtful:
            return None
        org, group, rule = call.enrollment.target
        return self._blocks.get((org, group, None)) or self._blocks.get((org, group, rule))
