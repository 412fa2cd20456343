"""The loop that uses the ledger: each turn records results and claims the next calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.interface import Turn
from bulk_unenroll.observers import Stage
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.circuit_breaker import CircuitBreaker
from bulk_unenroll.sending.ramp import Ramp
from bulk_unenroll.sending.run_state import RunState
from bulk_unenroll.sending.safeguards import Canary
from bulk_unenroll.sending.team import Team

TOLD_WAIT_S: Final = 30.0
IDLE_BEATS: Final = 10
"""While only other senders have calls, this much more often it is asked whether they still do."""
TakeTurn = Callable[..., Awaitable[Turn]]
"""``Ledger.turn``, wherever it is executed."""


class Keeper:
    """Takes turns of the ledger, whenever there is something to record or to claim.

    The intent of a claimed call is durable before the call can be sent. ``hold`` says why the run
    stops once its canary has passed; empty: it does not. ``team`` are the others that send.
    """

    def __init__(
        self,
        turn: TakeTurn,
        run: RunState,
        canary: Canary,
        breaker: CircuitBreaker,
        adaptive_rate: AdaptiveRate | None,
        ramp: Ramp,
        hold: str = "",
        team: Team | None = None,
    ) -> None:
        self._turn = turn
        self._run = run
        self._canary = canary
        self._breaker = breaker
        self._adaptive_rate = adaptive_rate
        self._ramp = ramp
        self._hold = hold
        self._team = team

    def look_at_canary(self) -> None:
        """Once the canary has passed the other calls go, slowly at first if there is a ramp."""
        if self._canary.passed and not self._run.sieve.stopped:
            self._ramp.begin(self._run.clock.now_s())
            self._run.observer.entered(Stage.SENDING)

    async def keep(self) -> None:
        """Take turns until all is recorded and nothing is left to send."""
        run = self._run
        while True:
            if self._breaker_delay_s() != 0:
                run.give_back_ready()
            run.keeper_wanted.clear()
            if self._hold and self._canary.passed:
                run.stop(ExitCode.LEFT_OVER, self._hold)
            claim = self._room(len(run.entries))
            turn = await self._take_turn(claim)
            if turn.blocked:
                run.observer.blocked(turn.blocked)
            run.admit(turn.calls)
            if not self._canary.passed:
                self._canary.admitted.update(call.id for call in run.ready)
            if not run.busy and self._was_last(turn):
                return
            self._tell_of_waiting(turn)
            if claim or not self._room(0):
                await self._until_wanted(turn.next_due_s)

    def _tell_of_waiting(self, turn: Turn) -> None:
        """Report a long wait, in which all calls that are left wait for their next try."""
        if self._run.busy or turn.next_due_s is None:
            return
        wait_s = turn.next_due_s - self._run.clock.wall_s()
        if wait_s > TOLD_WAIT_S:
            self._run.observer.paused(wait_s, "all calls that are left wait for their next try")

    async def _take_turn(self, claim: int) -> Turn:
        run, canary = self._run, self._canary
        run.look_at_clock()
        clocks_parted, run.clocks_parted = run.clocks_parted, False
        entries, run.entries = run.entries, []
        blocks, run.blocks = run.blocks, []
        now_s = run.clock.wall_s()
        turn = await self._turn(
            entries,
            blocks,
            claim=claim,
            now_s=now_s,
            resend_after_s=run.settings.resend_after_s(now_s),
            halted_orgs=sorted(run.sieve.halted_orgs),
            only=self._only(),
            spread=not canary.passed,
            pace=self._adaptive_rate and self._adaptive_rate.as_json(),
            clocks_parted=clocks_parted,
            beat=self._team and self._team.beat(claim),
        )
        if self._team:
            self._team.hear(turn)
        return turn

    def _only(self) -> list[int] | None:
        """The calls that alone may be claimed again, if no others may."""
        if self._canary.waits:
            return sorted(self._canary.admitted)
        return sorted(self._run.pilot.waiting) if self._run.pilot.full else None

    def _room(self, unrecorded: int) -> int:
        """How many more calls may be claimed now."""
        run, canary = self._run, self._canary
        if run.sieve.stopped or canary.died or self._breaker_delay_s() != 0:
            return 0
        ready = len(run.ready)
        on_their_way = run.in_flight + ready + unrecorded
        room = min(2 * run.settings.concurrency - on_their_way, run.lookahead - ready)
        vacancies = self._breaker.vacancies(run.clock.now_s())
        if vacancies is not None:
            room = min(room, vacancies - ready)
        if not (canary.passed or canary.full):
            room = min(room, canary.size - len(canary.admitted))
        if not run.pilot.full:
            room = int(min(room, run.pilot.room()))
        return max(room, 0)

    def _was_last(self, turn: Turn) -> bool:
        """Whether no more turns are due. The others hear with one more why this one stops now."""
        was_stopped = self._run.sieve.stopped
        finished = self._finished(turn)
        if finished and self._team and self._run.sieve.stopped and not was_stopped:
            self._run.keeper_wanted.set()
            return False
        return finished

    def _finished(self, turn: Turn) -> bool:
        """Whether nothing more can come, now that no call is on its way."""
        if self._canary.waits and turn.next_due_s is None:
            self._canary.close()  # nothing more can come of it: ask for the other calls
            self.look_at_canary()
            self._run.keeper_wanted.set()
            return False
        if self._canary.died and turn.more:
            self._run.stop(ExitCode.API_FAILS, self._canary.reason)
        if self._run.pilot.full and turn.next_due_s is None:
            self._run.stop(ExitCode.LEFT_OVER, self._run.pilot.reason)
        return self._run.sieve.stopped or not turn.more

    async def _until_wanted(self, due_s: float | None) -> None:
        """Sleep until there is something to record, room to claim, or a call is due."""
        delay_s = self._delay_s(due_s)
        if self._team:
            beat_s = self._team.sharing.beat_s / (1 if self._run.busy else IDLE_BEATS)
            delay_s = beat_s if delay_s is None else min(delay_s, beat_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._run.keeper_wanted.wait()
        if self._team:
            await self._team.rest()

    def _delay_s(self, due_s: float | None) -> float | None:
        """Seconds until a turn is due by the clock; None: only when the keeper is wanted."""
        if self._run.sieve.stopped:
            return None
        delay_s = self._breaker_delay_s()
        if delay_s != 0:
            return delay_s
        if due_s is None or self._room(0) == 0:
            return None
        return max(due_s - self._run.clock.wall_s(), 0.0)

    def _breaker_delay_s(self) -> float | None:
        return self._breaker.starts_in_s(self._run.clock.now_s())
