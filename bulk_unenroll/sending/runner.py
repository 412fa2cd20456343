"""One run: a keeper, a dispatcher and the workers, as tasks of one event loop.

    ledger ⇄ Keeper ─▶ RunState.ready ─▶ Dispatcher ─▶ workers ─▶ API
                ▲                                          │
                └────── RunState.entries ◀─── Landing ◀────┘

Only the keeper uses the ledger, and only the dispatcher decides when a call starts. What follows
from an answer is pure: a ``Landing``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol

from bulk_unenroll.capillary.auth import Auth
from bulk_unenroll.capillary.calls import Fault, Reply
from bulk_unenroll.capillary.verdicts import Block, Halt
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.ledger.sharing import Sharing
from bulk_unenroll.model import Enrollment, Known, Target
from bulk_unenroll.observers import Observer, Stage
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.circuit_breaker import CircuitBreaker
from bulk_unenroll.sending.clock import Clock
from bulk_unenroll.sending.dispatcher import CalledOff, Dispatcher
from bulk_unenroll.sending.granted_rate import GrantedRate
from bulk_unenroll.sending.keeper import Keeper, TakeTurn
from bulk_unenroll.sending.landing import Flight, Landing, land
from bulk_unenroll.sending.lease import Lease
from bulk_unenroll.sending.rate_limit import RateLimit, StartTimes
from bulk_unenroll.sending.run_state import RunState
from bulk_unenroll.sending.safeguards import Canary, OutcomeLimit, Pilot
from bulk_unenroll.sending.sieve import Sieve
from bulk_unenroll.sending.team import Team
from bulk_unenroll.settings import SendSettings


class Sender(Protocol):
    """What the runner needs of a client."""

    async def unenroll(
        self,
        enrollment: Enrollment,
        headers: Mapping[str, str],
        connected: Callable[[], Awaitable[None]],
    ) -> Reply | Fault:
        """Send one call. ``connected`` is awaited once a new connection is ready for it.

        What ``connected`` raises is raised, and nothing is sent then.
        """


class Runner:
    """One run. Made within the event loop that it runs in."""

    def __init__(
        self,
        turn: TakeTurn,
        sender: Sender,
        auth: Auth,
        settings: SendSettings,
        observer: Observer,
        clock: Clock,
        *,
        known: Mapping[Target, Known] = MappingProxyType({}),
        protected: Callable[[Enrollment], bool] | None = None,
        limit: int | None = None,
        hold: str = "",
        sharing: Sharing | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._sender = sender
        self._auth = auth
        self._settings = settings
        self._clock = clock
        self._dice = dice
        self._canary = Canary(settings.canary, settings.canary_good, known)
        self._limits = (
            OutcomeLimit.of_failures(settings.max_failures),
            OutcomeLimit.of_not_enrolled(settings.max_not_enrolled, known),
        )
        sieve = Sieve(self._canary, protected, Lease(sharing))
        self._run = RunState(settings, clock, observer, sieve, Pilot(limit))
        adaptive_rate = AdaptiveRate(settings.rate.per_s) if settings.adaptive else None
        rate_limit: StartTimes
        if sharing is None:
            rate_limit = RateLimit(settings.rate, adaptive_rate, settings.ramp_s)
        else:
            wanting = self._run.keeper_wanted.set
            rate_limit = GrantedRate(settings.rate, adaptive_rate, settings.ramp_s, wanting)
        breaker = CircuitBreaker.of(settings.concurrency, rate_limit.interval_s)
        team = None
        if isinstance(rate_limit, GrantedRate) and sharing:
            team = Team(sharing, self._run, self._canary, breaker, rate_limit, self._limits)
        self._keeper = Keeper(
            turn, self._run, self._canary, breaker, adaptive_rate, rate_limit.ramp, hold, team
        )
        self._dispatcher = Dispatcher(self._run, auth, breaker, rate_limit, adaptive_rate)

    @property
    def stop_reasons(self) -> dict[int, str]:
        """Why it stopped before all was sent, by exit code."""
        return self._run.stop_reasons

    def stop(self, code: int, reason: str) -> None:
        """Start nothing more; what is in flight is awaited and recorded."""
        self._run.stop(code, reason)

    def go_without_canary(self) -> None:
        """Another sender of the run has made the first calls."""
        self._canary.size = 0

    async def run(self, earlier_starts_s: Sequence[float] = ()) -> None:
        """Send until nothing is left to send, or ``stop``.

        ``earlier_starts_s`` are the starts of earlier runs within the rate's unit, newest first
        (Unix seconds): they count against the rate. Raises ``LedgerFailed`` as soon as the ledger
        does; nothing is sent after that.
        """
        self._run.observer.entered(Stage.CANARY)
        self._keeper.look_at_canary()
        await self._dispatcher.hold_off(earlier_starts_s)
        workers = (self._work() for _ in range(self._settings.concurrency))
        parts = (self._keeper.keep(), self._dispatcher.dispatch(), *workers)
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        dispatcher, sender, auth = self._dispatcher, self._sender, self._auth
        while True:
            flight = await dispatcher.next_flight()
            connected = partial(dispatcher.connected, flight)
            try:
                answer = await sender.unenroll(flight.call.enrollment, auth.headers, connected)
            except CalledOff:
                dispatcher.call_off(flight)
            else:
                self._land(flight, answer)

    def _land(self, flight: Flight, answer: Reply | Fault) -> None:
        if isinstance(answer, Fault):
            self._run.look_at_clock()
        landing = land(
            flight,
            answer,
            at_s=self._clock.wall_s(),
            dice=self._dice(),
            settings=self._settings,
            redact=self._auth.redact,
            old=not self._clock.is_trusted_since(flight.started_s),
        )
        self._record(self._dispatcher.landed(landing))

    def _record(self, landing: Landing) -> None:
        run, call, decision = self._run, landing.flight.call, landing.decision
        run.entries.append(landing.entry)
        if isinstance(landing.verdict, Block):
            run.block(call.enrollment.target, landing.verdict)
        elif isinstance(landing.verdict, Halt):
            run.halt(landing.verdict, call.enrollment.target)
        if decision.wait_s is None:
            run.pilot.end(call.id)
        run.observer.recorded(call, decision)
        if not self._canary.passed:
            self._canary.record(call, decision)
            self._keeper.look_at_canary()
        for limit in self._limits if call.tells(decision.state) else ():
            if limit.record(decision):
                run.stop(ExitCode.API_FAILS, limit.reason)
        run.keeper_wanted.set()
