"""The sending pipeline: claimed calls through gate and pace to the API, outcomes to the ledger.

One keeper task owns the ledger's turns; the workers only send. A claimed call's intent is durable
before a worker can see it. The runner owns the only clock, dice and tasks.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from bulk_unenroll.capillary.auth import Auth
from bulk_unenroll.capillary.calls import Fault, Reply
from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.judge import judge
from bulk_unenroll.capillary.redaction import MAX_REQUEST_ID_CHARS, legible, recordable
from bulk_unenroll.capillary.verdicts import Block, Halt, Retry, Unauthorised, Unsent, Verdict
from bulk_unenroll.errors import EXIT_API_FAILS, EXIT_CONFIG, EXIT_CREDENTIALS
from bulk_unenroll.ledger.interface import Turn
from bulk_unenroll.model import Attempt, Blocked, Call, Decision, Enrollment, Entry, Target
from bulk_unenroll.sending.adaptive_rate import AdaptiveRate
from bulk_unenroll.sending.circuit_breaker import (
    SPACING_STARTS,
    CallResult,
    CircuitBreaker,
    blames_api,
)
from bulk_unenroll.sending.decisions import Canary, FailureLimit, decide
from bulk_unenroll.sending.rate_limit import RateLimit
from bulk_unenroll.settings import RESEND_WINDOW_S, SendSettings

TOO_MUCH = (429, 503)
LOOKAHEAD_S = 0.25
"""How much of the pace is claimed ahead: enough for a commit, little to be in doubt about."""


class Sender(Protocol):
    """What the runner needs of a client."""

    async def unenroll(
        self,
        enrollment: Enrollment,
        headers: Mapping[str, str],
        connected: Callable[[], Awaitable[None]],
    ) -> Reply | Fault:
        """Send one call; ``connected`` is awaited when a new connection stands for it."""


class Observer(Protocol):
    """Who wants to watch."""

    def recorded(self, call: Call, step: Decision) -> None:
        """A call has an outcome."""

    def blocked(self, number: int) -> None:
        """So many customers/targets will not be sent."""

    def paused(self, seconds: float, why: str) -> None:
        """Nobody sends for a while."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Several that watch, as one."""

    observers: Sequence[Observer]

    def recorded(self, call: Call, step: Decision) -> None:
        """A call has an outcome."""
        for observer in self.observers:
            observer.recorded(call, step)

    def blocked(self, number: int) -> None:
        """So many customers/targets will not be sent."""
        for observer in self.observers:
            observer.blocked(number)

    def paused(self, seconds: float, why: str) -> None:
        """Nobody sends for a while."""
        for observer in self.observers:
            observer.paused(seconds, why)


@dataclass(slots=True)
class Flight:
    """A call on its way: when it started (loop time and Unix time), with which token."""

    call: Call
    probe: bool
    started_s: float
    sent_at_s: float
    generation: int


class Runner:
    """One run. ``turn`` is ``Ledger.turn``, wherever it is executed.

    ``endings`` collects why the run ended before its rows did, as exit codes with a reason each.
    """

    def __init__(
        self,
        turn: Callable[..., Awaitable[Turn]],
        sender: Sender,
        auth: Auth,
        sending: SendSettings,
        observer: Observer,
        *,
        wall_s: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._turn = turn
        self._sender = sender
        self._auth = auth
        self._sending = sending
        self._observer = observer
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        # anchored, so that a step of the system's clock moves neither backoff nor record
        self._wall_offset_s = wall_s() - self._now()
        self._canary = Canary(sending.canary)
        self._failures = FailureLimit(sending.max_failures)
        ceiling_per_s = sending.rate.per_s
        self._governor = AdaptiveRate(ceiling_per_s, ceiling_per_s) if sending.adaptive else None
        self._pace = RateLimit(sending.rate, self._governor)
        self._gate = CircuitBreaker(
            threshold=max(10, 2 * sending.concurrency),
            spacing_s=SPACING_STARTS * self._pace.interval_s,
        )
        ahead = math.ceil(ceiling_per_s * LOOKAHEAD_S)
        self._lookahead = max(1, min(ahead, sending.concurrency))
        self._idle: deque[asyncio.Future[Flight]] = deque()
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._ready: deque[Call] = deque()
        self._entries: list[Entry] = []
        self._blocked: list[Blocked] = []
        self._in_flight = 0
        self._refused: dict[int, int] = {}
        self._halted_orgs: set[int] = set()
        self._stopping = False
        self.endings: dict[int, str] = {}

    def resend_after_s(self) -> float:
        """Calls in doubt are sent again if sent after this (Unix seconds; infinity: none)."""
        return self.wall_s() - RESEND_WINDOW_S if self._sending.resend else math.inf

    def stop(self, code: int, reason: str) -> None:
        """Start nothing more; what is in flight is awaited and recorded."""
        self.endings.setdefault(code, reason)
        self._stopping = True
        self._wake.set()
        self._changed.set()

    async def run(self, earlier_starts_s: Sequence[float] = ()) -> None:
        """Send until nothing is left to send or ``stop``.

        ``earlier_starts_s`` are the starts of earlier runs within the rate's unit, newest first
        (Unix seconds): they count against the rate. Raises ``LedgerFailed`` as soon as the ledger
        does; nothing is sent after that.
        """
        if earlier_starts_s:
            await self._pace.prime()
            hold_off_s = self._pace.hold_off_s(earlier_starts_s, self.wall_s())
            self._gate.paused_until_s = self._now() + hold_off_s
            if hold_off_s > self._pace.interval_s:
                self._observer.paused(hold_off_s, "the starts of the run before count as well")
        workers = (self._work() for _ in range(self._sending.concurrency))
        tasks = [asyncio.create_task(part) for part in (self._keep(), self._dispatch(), *workers)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ── the keeper: the ledger's turns ───────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping or not self._gate_open:
                self._give_back(lambda call: True)
            claim = self._room(len(self._entries))
            turn = await self._next_turn(claim)
            if turn.blocked:
                self._observer.blocked(turn.blocked)
            self._take(turn.calls)
            busy = self._ready or self._in_flight or self._entries or self._blocked
            if not busy and self._finished(turn):
                return
            if claim or not self._room(0):
                await self._until_wanted(turn.next_due_s)

    async def _next_turn(self, claim: int) -> Turn:
        entries, self._entries = self._entries, []
        blocked, self._blocked = self._blocked, []
        return await self._turn(
            entries,
            blocked,
            claim=claim,
            now_s=self.wall_s(),
            resend_after_s=self.resend_after_s(),
            halted_orgs=sorted(self._halted_orgs),
            only=sorted(self._canary.admitted) if self._canary_waits else None,
            spread=not self._canary.passed,
            pace=self._governor and self._governor.told(),
        )

    def _room(self, unrecorded: int) -> int:
        """How many more calls may be claimed now."""
        if self._stopping or self._canary.died or not self._gate_open:
            return 0
        ready = len(self._ready)
        room = 2 * self._sending.concurrency - (self._in_flight + ready + unrecorded)
        room = min(room, self._lookahead - ready)
        vacancies = self._gate.vacancies(self._now())
        if vacancies is not None:
            room = min(room, vacancies - ready)
        if not (self._canary.passed or self._canary.full):
            room = min(room, self._canary.size - len(self._canary.admitted))
        return max(room, 0)

    def _take(self, calls: list[Call]) -> None:
        self._ready.extend(calls)
        if not self._canary.passed:
            self._canary.admitted.update(call.id for call in calls)
        self._changed.set()

    def _finished(self, turn: Turn) -> bool:
        """Nothing is in flight: whether nothing more can come."""
        if self._canary_waits and turn.next_due_s is None:
            self._canary.close()  # nothing can come of it any more: ask for the other rows
            self._wake.set()
            return False
        if self._canary.died and turn.more:
            self.stop(EXIT_API_FAILS, "the canary failed: none of the first calls ended well")
        return self._stopping or not turn.more

    @property
    def _canary_waits(self) -> bool:
        """Whether only calls that belong to the canary may go."""
        return self._canary.full and not (self._canary.passed or self._canary.died)

    @property
    def _gate_open(self) -> bool:
        return self._gate.opens_in_s(self._now()) == 0

    async def _until_wanted(self, due_s: float | None) -> None:
        """Sleep until there is an outcome to record, room to claim, or a call is due."""
        delay_s = self._gate.opens_in_s(self._now())
        if delay_s == 0:
            due = due_s is not None and self._room(0) > 0 and not self._stopping
            delay_s = max((due_s or 0.0) - self.wall_s(), 0.0) if due else None
        if self._stopping:
            delay_s = None
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()

    def _give_back(self, which: Callable[[Call], bool]) -> None:
        """Give back claimed calls that did not leave."""
        for call in filter(which, tuple(self._ready)):
            self._ready.remove(call)
            state = call.waiting
            self._entries.append(Entry(call, state, not_before_s=self.wall_s()))

    # ── the dispatcher: gate and pace ────────────────────────────────────────────────────────────

    async def _dispatch(self) -> None:
        """Pass gate and pace for the workers, each time one is idle: many that wait cost more."""
        while True:
            flight = await self._next()
            self._idle.popleft().set_result(flight)

    async def _next(self) -> Flight:
        """The next call that may start, when it may."""
        while True:
            await self._start_allowed()
            await self._pace.take()
            taken_s = self._now()
            if self._auth.stale(taken_s):
                await self._renew()
            late = self._now() - taken_s > self._pace.grace_s
            if self._ready and self._gate_open and not self._stopping and not late:
                return self._take_off()

    def _take_off(self) -> Flight:
        call = self._ready.popleft()
        self._in_flight += 1
        if len(self._ready) <= self._lookahead // 2:
            self._wake.set()
        started_s = self._now()
        probe = self._gate.start(started_s)
        return Flight(call, probe, started_s, self.wall_s(), self._auth.generation)

    async def _start_allowed(self) -> None:
        """Wait until there are a call and a worker, the gate is open, and the token is fresh."""
        while True:
            self._changed.clear()
            waiting = self._ready and self._idle
            delay_s = self._gate.opens_in_s(self._now()) if waiting else None
            if self._stopping:
                delay_s = None
            if delay_s == 0:
                if not self._auth.stale(self._now()):
                    return
                await self._renew()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()

    async def _renew(self) -> None:
        """One new token for everyone; without one nothing was sent, so rows are not charged."""
        started_s = self._now()
        probe = self._gate.start(started_s)
        verdict = await self._auth.renew(started_s)
        if verdict is None:
            self._gate.cancel(started_s)
            return
        self._watch_gate(CallResult(verdict, started_s, self._now(), probe))
        if isinstance(verdict, Halt):
            self._halt(verdict, None)

    # ── the workers: client ──────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        while True:
            flight = await self._handed()
            connected = partial(self._connected, flight)
            answer = await self._sender.unenroll(
                flight.call.enrollment, self._auth.headers, connected
            )
            self._land(flight, answer)

    def _handed(self) -> asyncio.Future[Flight]:
        """The next flight, when the dispatcher hands it over."""
        flight: asyncio.Future[Flight] = self._loop.create_future()
        self._idle.append(flight)
        if self._ready and len(self._idle) == 1:
            self._changed.set()
        return flight

    async def _connected(self, flight: Flight) -> None:
        """If connecting took long, the start would meet later ones in its window: pace it anew."""
        if self._now() - flight.started_s > self._pace.grace_s:
            await self._pace.take()
            flight.sent_at_s = self.wall_s()

    # ── landing: what an answer means ────────────────────────────────────────────────────────────

    def _land(self, flight: Flight, answer: Reply | Fault) -> None:
        call = flight.call
        verdict = self._judge(flight, answer)
        step = decide(
            verdict,
            call,
            max_attempts=self._sending.max_attempts,
            resend=self._sending.resend,
            dice=self._dice(),
        )
        self._in_flight -= 1
        now_s = self._now()
        self._govern(flight, answer, verdict)
        self._watch_gate(CallResult(verdict, flight.started_s, now_s, flight.probe, call.id))
        if step.wait_s is not None and blames_api(verdict):
            hold_s = self._gate.hold_s(call.tries, probe=flight.probe, now_s=now_s)
            step = replace(step, wait_s=max(step.wait_s, hold_s))
        self._entries.append(self._entry(flight, answer, step))
        if isinstance(verdict, Block):
            self._block(call.enrollment.target, verdict)
        if isinstance(verdict, Halt):
            self._halt(verdict, call.enrollment.target)
        self._account(call, step)
        self._wake.set()

    def _govern(self, flight: Flight, answer: Reply | Fault, verdict: Verdict) -> None:
        """Let an adaptive pace know how the API bears it."""
        if self._governor is None:
            return
        if answer.status in TOO_MUCH or (isinstance(verdict, Retry) and verdict.everyone):
            self._governor.refused(flight.started_s, self._now())
        elif isinstance(answer, Reply) or answer.code == "timeout":
            self._governor.answered(flight.started_s, self._now())

    def _judge(self, flight: Flight, answer: Reply | Fault) -> Verdict:
        judged = judge(answer, flight.call.enrollment.customer, self.wall_s())
        verdict = recordable(judged, self._auth.redact)
        item = flight.call.id
        if not isinstance(verdict, Unauthorised):
            self._refused.pop(item, None)
            return verdict
        # only a token fetched after the first refusal is a new one: others may have died with it
        newest = self._refused.setdefault(item, self._auth.generation)
        if flight.generation > newest or not self._auth.renewable:
            return Halt(Reach.RUN, verdict.code, verdict.message, credentials=True)
        self._auth.invalidate(flight.generation)
        return verdict

    def _entry(self, flight: Flight, answer: Reply | Fault, step: Decision) -> Entry:
        now_s = self.wall_s()
        at_s = None if step.wait_s is None else now_s + step.wait_s
        if not step.left:
            return Entry(flight.call, step.state, not_before_s=at_s)
        attempt = Attempt(
            flight.sent_at_s,
            now_s if isinstance(answer, Reply) else None,
            step.outcome,
            step.code,
            step.message,
            answer.status,
            self._request_id(answer),
        )
        return Entry(flight.call, step.state, attempt, at_s, step.charged, step.mismatch)

    def _request_id(self, answer: Reply | Fault) -> str | None:
        given = answer.request_id
        return given and legible(given, self._auth.redact, MAX_REQUEST_ID_CHARS)

    def _watch_gate(self, outcome: CallResult) -> None:
        gate, was_open = self._gate, self._gate_open
        gate.record(outcome)
        if gate.exhausted:
            self.stop(EXIT_API_FAILS, gate.exhausted)
        wait_s = gate.opens_in_s(outcome.now_s)
        if wait_s and was_open:
            self._observer.paused(wait_s, _why(outcome.verdict))
        if self._ready:
            self._changed.set()
        self._wake.set()

    def _block(self, target: Target, verdict: Block) -> None:
        rule = None if verdict.reach is Reach.GROUP else target.rule
        block = Blocked(target.org, target.group, rule, verdict.code, verdict.message)
        self._blocked.append(block)
        self._give_back(lambda call: _covers(block, call.enrollment.target))

    def _halt(self, verdict: Halt, target: Target | None) -> None:
        code = EXIT_CREDENTIALS if verdict.credentials else EXIT_CONFIG
        reason = f"{verdict.code}: {verdict.message}"
        if verdict.reach is Reach.RUN or target is None:
            self.stop(code, reason)
            return
        org = target.org or 0
        self._halted_orgs.add(org)
        self.endings.setdefault(code, f"{reason} (org {org})" if org else reason)
        self._give_back(lambda call: (call.enrollment.target.org or 0) == org)

    def _account(self, call: Call, step: Decision) -> None:
        self._observer.recorded(call, step)
        if not self._canary.passed:
            self._canary.record(call.id, step)
        if self._failures.record(step.state, step.wait_s is None):
            bad, settled = self._failures.bad, self._failures.settled
            self.stop(EXIT_API_FAILS, f"{bad} of {settled} calls failed: above --max-failures")

    def wall_s(self) -> float:
        """Unix time, anchored when the run began: steps of the system clock do not show."""
        return self._now() + self._wall_offset_s


def _why(verdict: Verdict) -> str:
    """For the log: our own words, or a code; the words of an API may name a customer."""
    if isinstance(verdict, Unsent):
        return verdict.message
    return getattr(verdict, "code", None) or ""


def _covers(block: Blocked, target: Target) -> bool:
    return (block.org, block.group) == target[:2] and block.rule in (None, target.rule)
