"""Whether a call may start now: pauses that the API asked for, and a circuit breaker. Pure.

Times are seconds; ``now_s`` is whatever steady clock the runner uses.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from bulk_unenroll.capillary.verdicts import InDoubt, Retry, Unsent, Verdict
from bulk_unenroll.sending.decisions import BACKOFF_CAP_S

LADDER_S: Final = (1.0, 2.0, 4.0)
"""Waits before each probe while the API cannot be reached and this run has had no answer yet."""

LONG_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 30.0, 60.0)
"""The same once this run has had an answer."""

BREAKER_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 20.0)
"""Waits before each probe of an API that answered usably before and does not now: short enough to
be back at the full rate within a minute of its recovery."""

PROBE_PATIENCE_S: Final = 20.0
"""How long a probe may be out before another goes: it may hang until ``--read-timeout``."""

TRIAL: Final = 12
"""Usable answers in a row that end a trouble. With half of the calls failing that is 1 in 4,096."""

RECENT_CALLS: Final = 40
MANY_ROWS: Final = 10
REFUSED_ROWS: Final = 3
RELAPSES_A_RUNG: Final = 10
HOLD_MOST_S: Final = 600.0
"""No retry is held back for longer: well within ``RESEND_WINDOW_S``."""

SPACING_STARTS: Final = MANY_ROWS
"""How many other calls may start before a row without a usable answer does again."""

TROUBLE_PATIENCE_S: Final = 900.0
"""How long an API that answered before may answer nothing usable before the run gives up."""


def blames_api(verdict: Verdict) -> bool:
    """Whether nothing usable came, or everyone was asked to wait: that says little of the row."""
    return isinstance(verdict, InDoubt) or (isinstance(verdict, Retry) and verdict.everyone)


@dataclass(slots=True)
class RecentCalls:
    """How the last calls went: whether the API is in trouble, or a few rows that always fail."""

    calls: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=RECENT_CALLS))
    in_a_row: set[int] = field(default_factory=set)
    since_s: float = 0.0

    def record(self, row: int, started_s: float, *, failed: bool) -> None:
        """Add how a call of ``row`` went, that began at ``started_s``."""
        self.calls.append((row, failed))
        if failed:
            self.since_s = self.since_s if self.in_a_row else started_s
            self.in_a_row.add(row)
        elif started_s >= self.since_s:  # else it began before the first of those that failed
            self.in_a_row.clear()

    @property
    def bad(self) -> bool:
        """Whether many rows failed one after the other, or half of the calls, of many rows."""
        if len(self.in_a_row) >= MANY_ROWS:
            return True
        failed = self._failed()
        return 2 * len(failed) >= RECENT_CALLS and len(set(failed)) >= MANY_ROWS

    @property
    def fair(self) -> bool:
        """Whether two thirds of a full window did not fail: to be lived with."""
        return len(self.calls) == RECENT_CALLS and 3 * len(self._failed()) <= RECENT_CALLS

    def _failed(self) -> list[int]:
        return [row for row, failed in self.calls if failed]


@dataclass(slots=True)
class Outage:
    """A circuit breaker that has opened: single probes test the API, then a trial of more.

    A usable answer begins the trial: as many calls at once as came back well, until ``trial`` did.
    A probe without one is followed by a wait, and each one in a row by a longer one: a rung of a
    ladder. An API that answers some is asked more often: its waits grow with every
    ``RELAPSES_A_RUNG`` relapses. What comes of a call that began before the last change is no news.
    A probe that is out for ``PROBE_PATIENCE_S`` holds up no other.
    """

    trial: int
    unreachable: bool
    since_s: float
    news_s: float
    rung: int = 0
    relapses: int = 0
    wait_s: float = 0.0
    until_s: float = 0.0
    passed: int = 0
    out: list[float] = field(default_factory=list)

    def opens_in_s(self, now_s: float) -> float:
        """Seconds until a call may start."""
        until_s = self.until_s
        if self.vacancies(now_s) == 0:
            until_s = max(until_s, min(self._held_up_by(now_s)) + PROBE_PATIENCE_S)
        return max(until_s - now_s, 0.0)

    def vacancies(self, now_s: float) -> int:
        """How many more calls may be out."""
        return max(max(self.passed, 1) - len(self._held_up_by(now_s)), 0)

    def _held_up_by(self, now_s: float) -> list[float]:
        return [started_s for started_s in self.out if started_s + PROBE_PATIENCE_S > now_s]

    def passes(self, started_s: float, now_s: float) -> bool:
        """A probe had a usable answer; True if that ends the trouble."""
        if started_s < self.news_s:
            return False
        if self.passed == 0 or len(self._held_up_by(now_s)) < len(self.out):
            self.passed = 0  # one that is out too long is as good as failed: the trial begins again
            self.news_s = started_s
            self.out.clear()
        self.since_s = now_s
        self.rung = 0
        if all(other_s >= started_s for other_s in self.out):  # no earlier one may hang
            self.passed += 1
        return self.passed >= self.trial

    def fails(self, started_s: float, now_s: float) -> bool:
        """A probe had none; False if that is no news."""
        if started_s < self.news_s:
            return False
        self.news_s = now_s  # what failed together is one failure
        if self.passed:
            self.relapses += 1
        else:
            self.rung += 1
        self.passed = 0
        return True

    def wait(self, ladder: tuple[float, ...], now_s: float) -> None:
        """Stay closed for as long as the rung of ``ladder`` says."""
        rung = max(self.rung, self.relapses // RELAPSES_A_RUNG)
        self.wait_s = ladder[min(rung, len(ladder) - 1)]
        self.until_s = now_s + self.wait_s


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call that the gate let through. ``row`` is None where it was for a token."""

    verdict: Verdict
    started_s: float
    now_s: float
    probe: bool = False
    row: int | None = None


@dataclass(slots=True)
class CircuitBreaker:
    """Whether a call may start now: closed while the API asked for a pause, or is in trouble.

    An outage is one connection that cannot be made, or ``threshold`` unusable answers in a row.
    Once this run has had a usable answer it is also what ``RecentCalls`` calls bad, or
    ``REFUSED_ROWS`` rows that were asked to wait one after the other, each when the wait of the one
    before was over.
    ``spacing_s`` is how long a row waits at least that failed with others or again, so that others
    test the API before it does. ``exhausted`` holds the reason to give up.
    """

    threshold: int
    spacing_s: float = 0.0
    exhausted: str | None = None
    paused_until_s: float = 0.0
    pauses: int = 0
    paused_by: set[int] = field(default_factory=set)
    in_a_row: int = 0
    recent: RecentCalls = field(default_factory=RecentCalls)
    trouble: Outage | None = None
    recovered_s: float = -math.inf
    reached: bool = False
    healthy: bool = False

    def opens_in_s(self, now_s: float) -> float | None:
        """Seconds until a call may start; None: never again."""
        if self.exhausted:
            return None
        probe_in_s = self.trouble.opens_in_s(now_s) if self.trouble else 0.0
        return max(self.paused_until_s - now_s, probe_in_s, 0.0)

    def vacancies(self, now_s: float) -> int | None:
        """How many more calls may be out; None: any number."""
        return self.trouble.vacancies(now_s) if self.trouble else None

    def hold_s(self, tries: int, *, probe: bool, now_s: float) -> float:
        """How long a call is to wait at least that ended so that it ``blames_api``.

        Longer than the gate is closed, so that other rows test the API before this one does again;
        and for a probe by its ``tries`` before, so that its attempts outlast the trouble.
        """
        if not self.healthy:
            return 0.0
        closed_s = self.opens_in_s(now_s) or 0.0
        if self.trouble and probe:
            hold_s = max(closed_s, self.trouble.wait_s) * 16.0 ** min(tries, 3)
        elif tries >= 2 and now_s - self.recovered_s < HOLD_MOST_S:  # it may not be over
            hold_s = 16.0 ** min(tries, 3)
        else:
            hold_s = max(4 * closed_s, self._spaced_s(tries))
        return min(hold_s, HOLD_MOST_S)

    def _spaced_s(self, tries: int) -> float:
        if len(self.recent.in_a_row) > 1:  # it is not this row alone
            return min(self.spacing_s * 2.0 ** min(tries, 10), BACKOFF_CAP_S)
        return min(self.spacing_s, BACKOFF_CAP_S) if tries else 0.0

    def start(self, now_s: float) -> bool:
        """A call starts; True if it is a probe."""
        if self.trouble is None:
            return False
        self.trouble.out.append(now_s)
        return True

    def cancel(self, started_s: float) -> None:
        """A started call is out no more, or did not go out after all."""
        if self.trouble and started_s in self.trouble.out:
            self.trouble.out.remove(started_s)

    def record(self, outcome: CallResult) -> None:
        """Take what came of a call into account."""
        if outcome.probe:
            self.cancel(outcome.started_s)
        match outcome.verdict:
            case Unsent(_, message):
                self._unsent(outcome, message)
            case InDoubt(_, message):
                self._unusable(outcome, message)
            case Retry(everyone=True, retry_after_s=wait_s):
                self._refused(outcome, wait_s)
            case _:
                self._usable(outcome)

    def _usable(self, outcome: CallResult) -> None:
        self.reached = self.healthy = True
        self.in_a_row = 0
        if outcome.started_s >= self.paused_until_s:
            self._forget_pauses()
        self._note(outcome, failed=False)
        if self.trouble and outcome.probe:
            passed = self.trouble.passes(outcome.started_s, outcome.now_s)
            if passed or self.recent.fair:
                self._recover()
                self.recovered_s = outcome.now_s

    def _refused(self, outcome: CallResult, retry_after_s: float | None) -> None:
        self.reached = True
        self.in_a_row = 0
        if outcome.probe and self.trouble and self.trouble.trial == 1:
            self._recover()  # it speaks, which was the question
        if outcome.started_s >= self.paused_until_s:
            self.pauses += 1  # many in flight are refused together: that is one pause
            if outcome.row is not None:
                self.paused_by.add(outcome.row)
        self._fails(outcome, self.healthy and len(self.paused_by) >= REFUSED_ROWS)
        wait_s = min(BACKOFF_CAP_S, 2.0 ** min(max(self.pauses - 1, 0), 10))
        if self.trouble:
            self.trouble.since_s = outcome.now_s  # it speaks: no reason to give up
            wait_s = 0.0
        if retry_after_s is not None:
            wait_s = retry_after_s
        self.paused_until_s = max(self.paused_until_s, outcome.now_s + wait_s)

    def _unusable(self, outcome: CallResult, message: str) -> None:
        self.reached = True
        self.in_a_row += 1
        self._fails(outcome, self.in_a_row >= self.threshold)
        trouble = self.trouble
        if trouble is None or trouble.rung < len(self._ladder(trouble)):
            return
        if not self.healthy or outcome.now_s - trouble.since_s >= TROUBLE_PATIENCE_S:
            self.exhausted = f"the API gives no usable answer: {message}"

    def _fails(self, outcome: CallResult, enough: bool) -> None:
        """No usable answer; ``enough``: that makes it trouble."""
        self._note(outcome, failed=True)
        if self.trouble is None:
            if enough or (self.healthy and self.recent.bad):
                self._close(outcome, unreachable=False)
        elif outcome.probe and self.trouble.fails(outcome.started_s, outcome.now_s):
            self.trouble.unreachable = False
            self.trouble.trial = TRIAL if self.healthy else 1
            self.trouble.wait(self._ladder(self.trouble), outcome.now_s)

    def _note(self, outcome: CallResult, *, failed: bool) -> None:
        if outcome.row is not None and (outcome.probe or not self.trouble):
            self.recent.record(outcome.row, outcome.started_s, failed=failed)

    def _unsent(self, outcome: CallResult, message: str) -> None:
        trouble = self.trouble
        if trouble is None:
            self._close(outcome, unreachable=True)
        elif outcome.probe and trouble.fails(outcome.started_s, outcome.now_s):
            if not trouble.unreachable:
                trouble.unreachable, trouble.rung = True, 0
            ladder = self._ladder(trouble)
            trouble.wait(ladder, outcome.now_s)
            if trouble.rung >= len(ladder):
                self.exhausted = f"the API cannot be reached: {message}"

    def _close(self, outcome: CallResult, *, unreachable: bool) -> None:
        trial = TRIAL if self.healthy and not unreachable else 1
        self.trouble = Outage(trial, unreachable, outcome.now_s, news_s=outcome.now_s)
        self.trouble.wait(self._ladder(self.trouble), outcome.now_s)
        self.recent = RecentCalls()

    def _ladder(self, trouble: Outage) -> tuple[float, ...]:
        if trouble.unreachable:
            return LONG_LADDER_S if self.reached else LADDER_S
        return BREAKER_LADDER_S if self.healthy else LADDER_S

    def _recover(self) -> None:
        self.trouble = None
        self.recent = RecentCalls()
        self._forget_pauses()

    def _forget_pauses(self) -> None:
        self.pauses = 0
        self.paused_by.clear()
