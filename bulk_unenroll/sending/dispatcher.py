"""Decides when each call starts: circuit breaker, rate limit and token must all allow it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from bulk_unenroll.capillary.auth import Auth
from bulk_unenroll.capillary.verdicts import Halt, Unsent, Verdict
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.circuit_breaker import CallResult, CircuitBreaker, blames_api
from bulk_unenroll.sending.landing import Flight, Landing
from bulk_unenroll.sending.rate_limit import StartTimes
from bulk_unenroll.sending.run_state import RunState
from bulk_unenroll.sending.token_refusals import TokenRefusals


class CalledOff(Exception):
    """A call may not leave any more: it was forbidden while its connection was made."""


class Dispatcher:
    """Hands calls to idle workers, each as soon as it may start.

    One dispatcher waits on behalf of all workers: that costs less CPU than if each waited.
    """

    def __init__(
        self,
        run: RunState,
        auth: Auth,
        breaker: CircuitBreaker,
        rate_limit: StartTimes,
        adaptive_rate: AdaptiveRate | None,
    ) -> None:
        self._run = run
        self._clock = run.clock
        self._auth = auth
        self._breaker = breaker
        self._rate_limit = rate_limit
        self._adaptive_rate = adaptive_rate
        self._refusals = TokenRefusals(auth)
        self._loop = asyncio.get_running_loop()
        self._idle: deque[asyncio.Future[Flight]] = deque()

    async def hold_off(self, earlier_starts_s: Sequence[float]) -> None:
        """Count the starts of earlier runs (Unix seconds, newest first) against the rate."""
        if not earlier_starts_s:
            return
        await self._rate_limit.prime()
        delay_s = self._rate_limit.hold_off_s(earlier_starts_s, self._clock.wall_s())
        self._breaker.paused_until_s = self._clock.now_s() + delay_s
        if delay_s > self._rate_limit.interval_s:
            self._run.observer.paused(delay_s, "starts of the previous run count against the rate")

    # ── for the workers ──────────────────────────────────────────────────────────────────────────

    async def next_flight(self) -> Flight:
        """The next call to send, once it may start. For one worker."""
        while True:
            flight = await self._handed()
            if self._run.sieve.passes(flight.call):
                return flight
            self.call_off(flight)

    def _handed(self) -> asyncio.Future[Flight]:
        flight: asyncio.Future[Flight] = self._loop.create_future()
        self._idle.append(flight)
        if self._run.ready and len(self._idle) == 1:
            self._run.dispatcher_wanted.set()
        return flight

    def call_off(self, flight: Flight) -> None:
        """Return a call that was forbidden after its start was allowed, and before it left."""
        self._run.in_flight -= 1
        if flight.probe:
            self._breaker.cancel(flight.started_s)
        self._run.give_back(flight.call, old=self._is_old(flight))

    async def connected(self, flight: Flight) -> None:
        """A new connection is ready for a call; raises ``CalledOff`` if it may not leave any more.

        If connecting took long, the start would meet later ones in its window: allow it anew.
        """
        late = self._clock.now_s() - flight.started_s > self._rate_limit.grace_s
        if late and self._run.sieve.passes(flight.call):
            await self._rate_limit.take()
            flight.sent_at_s = self._clock.wall_s()
        self._run.look_at_clock()
        if self._is_old(flight) or not self._run.sieve.passes(flight.call):
            raise CalledOff

    def _is_old(self, flight: Flight) -> bool:
        """Whether a call is in doubt, and its age is unknown: the clock was set since."""
        return flight.call.doubtful and not self._clock.is_trusted_since(flight.started_s)

    # ── the dispatcher ───────────────────────────────────────────────────────────────────────────

    async def dispatch(self) -> None:
        """Hand calls to idle workers, for as long as the run lasts."""
        while True:
            flight = await self._next()
            self._idle.popleft().set_result(flight)

    async def _next(self) -> Flight:
        while True:
            await self._until_allowed()
            await self._rate_limit.take()
            taken_s = self._clock.now_s()
            if self._auth.stale(taken_s):
                await self._renew_token()
            late = self._clock.now_s() - taken_s > self._rate_limit.grace_s
            self._run.look_at_clock()
            if self._run.ready and self._breaker_delay_s() == 0 and not late:
                return self._take_off()

    def _take_off(self) -> Flight:
        call, now_s = self._run.take(), self._clock.now_s()
        return Flight(
            call,
            probe=self._breaker.start(now_s),
            started_s=now_s,
            sent_at_s=self._clock.wall_s(),
            generation=self._auth.generation,
            last_token=self._refusals.next_is_final(call),
        )

    async def _until_allowed(self) -> None:
        """Wait for a call and a worker, for the breaker to let them start, and for a token."""
        while True:
            self._run.dispatcher_wanted.clear()
            waiting = self._run.ready and self._idle
            delay_s = self._breaker_delay_s() if waiting else None
            if delay_s == 0:
                if not self._auth.stale(self._clock.now_s()):
                    return
                await self._renew_token()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._run.dispatcher_wanted.wait()

    async def _renew_token(self) -> None:
        """Fetch one token for all calls. Without one nothing is sent, and no call is charged."""
        started_s = self._clock.now_s()
        probe = self._breaker.start(started_s)
        verdict = await self._auth.renew(started_s)
        if verdict is None:
            self._breaker.cancel(started_s)
            return
        self._record(CallResult(verdict, started_s, self._clock.now_s(), probe))
        if isinstance(verdict, Halt):
            self._run.halt(verdict)

    # ── what comes back ──────────────────────────────────────────────────────────────────────────

    def landed(self, landing: Landing) -> Landing:
        """Take a result into account; return it, with a longer wait if the breaker asks for one."""
        flight, verdict, now_s = landing.flight, landing.verdict, self._clock.now_s()
        call = flight.call
        self._run.in_flight -= 1
        self._refusals.record(call, flight.generation, verdict)
        self._adapt(landing, now_s)
        self._record(CallResult(verdict, flight.started_s, now_s, flight.probe, call.id))
        if landing.decision.wait_s is None or not blames_api(verdict):
            return landing
        return landing.held_back(self._breaker.hold_s(call.tries, probe=flight.probe, now_s=now_s))

    def _adapt(self, landing: Landing, now_s: float) -> None:
        rate = self._adaptive_rate
        if rate is None:
            return
        if landing.overloaded:
            rate.refused(landing.flight.started_s, now_s)
        elif landing.shows_latency:
            rate.answered(landing.flight.started_s, now_s)

    def _record(self, result: CallResult) -> None:
        was_open = self._breaker_delay_s() == 0
        self._breaker.record(result)
        if self._breaker.exhausted and self._breaker.outage:
            since_s = self._breaker.outage.since_s
            self._run.give_up(self._breaker.exhausted, failing_since_s=since_s)
        delay_s = self._breaker.starts_in_s(result.now_s)
        if delay_s and was_open:
            self._run.observer.paused(delay_s, _why(result.verdict))
        if self._run.ready:
            self._run.dispatcher_wanted.set()
        self._run.keeper_wanted.set()

    def _breaker_delay_s(self) -> float | None:
        return self._breaker.starts_in_s(self._clock.now_s())


def _why(verdict: Verdict) -> str:
    """For the log: our own words, or a code. The API's words may name a customer."""
    if isinstance(verdict, Unsent):
        return verdict.message
    return verdict.code or ""
