"""One sender of a shared run: what it tells the other senders, and learns from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from bulk_unenroll.exits import STOPS_ALL, ExitCode
from bulk_unenroll.ledger.interface import Turn
from bulk_unenroll.ledger.sharing import Beat, Sharing
from bulk_unenroll.sending.circuit_breaker import CircuitBreaker
from bulk_unenroll.sending.granted_rate import GrantedRate
from bulk_unenroll.sending.run_state import RunState
from bulk_unenroll.sending.safeguards import Canary, OutcomeLimit

LEAD_FACTOR: Final = 2.0
LEAD_MOST_S: Final = 0.05


class Team:
    """Makes the ``Beat`` that goes with each turn, and applies what the turn says of the others."""

    def __init__(
        self,
        sharing: Sharing,
        run: RunState,
        canary: Canary,
        breaker: CircuitBreaker,
        rate: GrantedRate,
        limits: Sequence[OutcomeLimit],
    ) -> None:
        self.sharing = sharing
        self._run = run
        self._canary = canary
        self._breaker = breaker
        self._rate = rate
        self._limits = limits
        self._asked_s = self._turned_s = 0.0
        self._asked_by_loop_s = 0.0
        self._lead_s = 0.0
        self._settled: int | None = None

    async def rest(self) -> None:
        """Wait until the next turn may be taken: each costs a round trip."""
        next_s = self._turned_s + self.sharing.turn_s
        await asyncio.sleep(max(next_s - self._run.clock.now_s(), 0.0))

    def beat(self, claim: int) -> Beat:
        """What goes with a turn that claims up to so many calls."""
        now_s = self._run.clock.now_s()
        self._asked_s, self._asked_by_loop_s = self._run.sieve.lease.asked(), now_s
        wanted = max(len(self._run.ready) + claim, self._rate.waiting) - self._rate.at_hand
        return Beat(
            starts=max(wanted, 0),
            lead_s=self._lead_s,
            pause_s=max(self._breaker.paused_until_s - now_s, 0.0),
            canary_passed=self._canary.passed,
            stop=self._stop(),
        )

    def hear(self, turn: Turn) -> None:
        """Take in what a turn says of the others."""
        run, now_s = self._run, self._run.clock.now_s()
        run.sieve.lease.renew(self._asked_s)
        self._turned_s = now_s
        took_s = now_s - self._asked_by_loop_s
        self._lead_s = min(max(LEAD_FACTOR * took_s, self._lead_s / 2), LEAD_MOST_S)
        passed_s = time.monotonic() - turn.granted_s  # the commit, and the way here
        self._rate.grant(start_s - passed_s for start_s in turn.starts_in_s)
        if turn.stop and not run.sieve.stopped:
            run.stop(*turn.stop)
        others = turn.others
        if self._settled is not None and others.settled > self._settled:
            run.others_settled_s = now_s
        self._settled = others.settled
        self._rate.ramp.senders = 1 + others.senders
        for block in others.blocked:
            run.forbid(block)
        run.observer.others_settled(others.settled, others.not_enrolled, others.bad)
        for limit in self._limits:
            if limit.hear_of_others(others) and not run.sieve.stopped:
                run.stop(ExitCode.API_FAILS, limit.reason)

    def _stop(self) -> tuple[int, str] | None:
        """Why all must stop. An org that is halted alone stops nobody: the other orgs go on."""
        if not self._run.sieve.stopped:
            return None
        for code, reason in self._run.stop_reasons.items():
            if code in STOPS_ALL:
                return code, reason
        return None
