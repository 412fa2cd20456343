"""Whether a call may start now: pauses that the API asked for, and a circuit breaker. Pure.

Times are seconds on any steady clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Self

from bulk_unenroll.capillary.verdicts import InDoubt, Retry, Unsent, Verdict
from bulk_unenroll.sending.decisions import BACKOFF_CAP_S
from bulk_unenroll.sending.outage import Outage
from bulk_unenroll.sending.recent_calls import MANY_ENROLLMENTS, RecentCalls

LADDER_S: Final = (1.0, 2.0, 4.0)
"""Waits before each probe while the API cannot be reached and this run has had no answer yet."""

LONG_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 30.0, 60.0)
"""The same once this run has had an answer."""

BREAKER_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 20.0)
"""Waits before each probe of an API that answered usably before and does not now: short enough to
be back at the full rate within a minute of its recovery."""

TRIAL: Final = 12
"""Usable answers in a row that end an outage. With half of the calls failing that is 1 in 4,096."""

REFUSED_ENROLLMENTS: Final = 3

HOLD_MOST_S: Final = 600.0
"""No retry is held back for longer: well within ``RESEND_WINDOW_S``."""

SPACING_STARTS: Final = MANY_ENROLLMENTS
"""How many other calls may start before one without a usable answer is sent again."""

OUTAGE_PATIENCE_S: Final = 900.0
"""How long an API that answered usably before may fail to do so before the run gives up."""


def blames_api(verdict: Verdict) -> bool:
    """Whether no usable answer came, or all calls were asked to wait: no fault of this call."""
    return isinstance(verdict, InDoubt) or (isinstance(verdict, Retry) and verdict.everyone)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call. ``enrollment_id`` is None where it was a call for a token."""

    verdict: Verdict
    started_s: float
    now_s: float
    probe: bool = False
    enrollment_id: int | None = None


@dataclass(slots=True)
class CircuitBreaker:
    """Stops calls while the API asked for a pause, and lets only probes through in an outage.

    One connection that cannot be made is an outage, and so are ``threshold`` unusable answers in a
    row. Once this run has had a usable answer, recent calls that are ``bad`` are one too, and
    ``REFUSED_ENROLLMENTS`` calls that were asked to wait one after the other, each after the pause
    that the one before had brought.
    A call that failed together with others, or again, waits ``spacing_s`` at least, so that others
    test the API before it does. ``exhausted`` is the reason to give up.
    """

    threshold: int
    spacing_s: float = 0.0
    exhausted: str | None = None
    paused_until_s: float = 0.0
    pauses: int = 0
    paused_by: set[int] = field(default_factory=set)
    unusable_in_a_row: int = 0
    recent: RecentCalls = field(default_factory=RecentCalls)
    outage: Outage | None = None
    recovered_s: float = -math.inf
    reached: bool = False
    healthy: bool = False

    @classmethod
    def of(cls, concurrency: int, interval_s: float) -> Self:
        """For a run with ``concurrency`` workers and one start every ``interval_s`` seconds."""
        return cls(threshold=max(10, 2 * concurrency), spacing_s=SPACING_STARTS * interval_s)

    def starts_in_s(self, now_s: float) -> float | None:
        """Seconds until a call may start; None: never again."""
        if self.exhausted:
            return None
        probe_in_s = self.outage.starts_in_s(now_s) if self.outage else 0.0
        return max(self.paused_until_s - now_s, probe_in_s, 0.0)

    def vacancies(self, now_s: float) -> int | None:
        """How many more calls may be in flight; None: any number."""
        return self.outage.vacancies(now_s) if self.outage else None

    def hold_s(self, tries: int, *, probe: bool, now_s: float) -> float:
        """The least wait of a call that is to be sent again for a verdict that ``blames_api``.

        It is longer than the pause, so that other calls test the API first. That of a probe grows
        with the ``tries`` before it, so that its attempts outlast the outage.
        """
        if not self.healthy:
            return 0.0
        pause_s = self.starts_in_s(now_s) or 0.0
        if self.outage and probe:
            hold_s = max(pause_s, self.outage.wait_s) * 16.0 ** min(tries, 3)
        elif tries >= 2 and now_s - self.recovered_s < HOLD_MOST_S:  # the outage may not be over
            hold_s = 16.0 ** min(tries, 3)
        else:
            hold_s = max(4 * pause_s, self._spaced_s(tries))
        return min(hold_s, HOLD_MOST_S)

    def _spaced_s(self, tries: int) -> float:
        if len(self.recent.failed_in_a_row) > 1:  # it is not this call alone
            return min(self.spacing_s * 2.0 ** min(tries, 10), BACKOFF_CAP_S)
        return min(self.spacing_s, BACKOFF_CAP_S) if tries else 0.0

    def start(self, now_s: float) -> bool:
        """A call starts; True if it is a probe."""
        if self.outage is None:
            return False
        self.outage.in_flight_s.append(now_s)
        return True

    def cancel(self, started_s: float) -> None:
        """A started call is back, or did not leave after all."""
        if self.outage and started_s in self.outage.in_flight_s:
            self.outage.in_flight_s.remove(started_s)

    def record(self, result: CallResult) -> None:
        """Take the result of a call into account."""
        if result.probe:
            self.cancel(result.started_s)
        match result.verdict:
            case Unsent(_, message):
                self._unsent(result, message)
            case InDoubt(_, message):
                self._unusable(result, message)
            case Retry(everyone=True, retry_after_s=wait_s):
                self._refused(result, wait_s)
            case _:
                self._usable(result)

    def _usable(self, result: CallResult) -> None:
        self.reached = self.healthy = True
        self.unusable_in_a_row = 0
        if result.started_s >= self.paused_until_s:
            self._forget_pauses()
        self._note(result, failed=False)
        if self.outage and result.probe:
            passed = self.outage.passes(result.started_s, result.now_s)
            if passed or self.recent.fair:
                self._recover()
                self.recovered_s = result.now_s

    def _refused(self, result: CallResult, retry_after_s: float | None) -> None:
        self.reached = True
        self.unusable_in_a_row = 0
        if result.probe and self.outage and self.outage.trial == 1:
            self._recover()  # it answers, which was the question
        if result.started_s >= self.paused_until_s:
            self.pauses += 1  # many in flight are refused together: that is one pause
            if result.enrollment_id is not None:
                self.paused_by.add(result.enrollment_id)
        self._fails(result, self.healthy and len(self.paused_by) >= REFUSED_ENROLLMENTS)
        wait_s = min(BACKOFF_CAP_S, 2.0 ** min(max(self.pauses - 1, 0), 10))
        if self.outage:
            self.outage.since_s = result.now_s  # it answers: no reason to give up
            wait_s = 0.0
        if retry_after_s is not None:
            wait_s = retry_after_s
        self.paused_until_s = max(self.paused_until_s, result.now_s + wait_s)

    def _unusable(self, result: CallResult, message: str) -> None:
        self.reached = True
        self.unusable_in_a_row += 1
        self._fails(result, self.unusable_in_a_row >= self.threshold)
        outage = self.outage
        if outage is None or outage.rung < len(self._ladder(outage)):
            return
        if not self.healthy or result.now_s - outage.since_s >= OUTAGE_PATIENCE_S:
            self.exhausted = f"the API gives no usable answer: {message}"

    def _fails(self, result: CallResult, enough: bool) -> None:
        """There was no usable answer; ``enough``: that makes it an outage."""
        self._note(result, failed=True)
        if self.outage is None:
            if enough or (self.healthy and self.recent.bad):
                self._trip(result, unreachable=False)
        elif result.probe and self.outage.fails(result.started_s, result.now_s):
            self.outage.unreachable = False
            self.outage.trial = TRIAL if self.healthy else 1
            self.outage.wait(self._ladder(self.outage), result.now_s)

    def _note(self, result: CallResult, *, failed: bool) -> None:
        if result.enrollment_id is not None and (result.probe or not self.outage):
            self.recent.record(result.enrollment_id, result.started_s, failed=failed)

    def _unsent(self, result: CallResult, message: str) -> None:
        outage = self.outage
        if outage is None:
            self._trip(result, unreachable=True)
        elif result.probe and outage.fails(result.started_s, result.now_s):
            if not outage.unreachable:
                outage.unreachable, outage.rung = True, 0
            ladder = self._ladder(outage)
            outage.wait(ladder, result.now_s)
            if outage.rung >= len(ladder):
                self.exhausted = f"the API cannot be reached: {message}"

    def _trip(self, result: CallResult, *, unreachable: bool) -> None:
        trial = TRIAL if self.healthy and not unreachable else 1
        self.outage = Outage(trial, unreachable, result.now_s, news_s=result.now_s)
        self.outage.wait(self._ladder(self.outage), result.now_s)
        self.recent = RecentCalls()

    def _ladder(self, outage: Outage) -> tuple[float, ...]:
        if outage.unreachable:
            return LONG_LADDER_S if self.reached else LADDER_S
        return BREAKER_LADDER_S if self.healthy else LADDER_S

    def _recover(self) -> None:
        self.outage = None
        self.recent = RecentCalls()
        self._forget_pauses()

    def _forget_pauses(self) -> None:
        self.pauses = 0
        self.paused_by.clear()
