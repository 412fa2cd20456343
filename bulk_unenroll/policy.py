"""What to do next with a verdict. Pure: the runner passes the time and the dice in.

Times are seconds; ``now_s`` is whatever steady clock the runner uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

from bulk_unenroll.model import BAD, GOOD, Call, State
from bulk_unenroll.protocol import (
    Block,
    Halt,
    InDoubt,
    Retry,
    Settle,
    Unauthorised,
    Unsent,
    Verdict,
)

BACKOFF_CAP_S: Final = 60.0
RESEND_WINDOW_S: Final = 900.0
"""An unanswered attempt is sent again by itself only while it is younger than this."""

LADDER_S: Final = (1.0, 2.0, 4.0)
"""Waits before each probe while the API cannot be reached and this run has had no answer yet."""

LONG_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 30.0, 60.0)
"""The same once this run has had an answer."""

BREAKER_LADDER_S: Final = (*LADDER_S, 8.0, 15.0, 20.0)
"""Waits before each probe of an API that answered usably before and does not now: short enough to
be back at the full rate within a minute of its recovery."""

PROBE_PATIENCE_S: Final = 15.0
"""How long a probe may be out before another goes: it may hang until ``--read-timeout``."""

TRIAL: Final = 8
"""Usable answers in a row that end a trouble. With half of the calls failing that is 1 in 256."""

RECENT_ROWS: Final = 20
REFUSED_ROWS: Final = 3
HOLD_MOST_S: Final = 600.0
"""No retry is held back for longer: well within ``RESEND_WINDOW_S``."""

SPACING_STARTS: Final = RECENT_ROWS // 2
"""How many other calls may start before a row without a usable answer does again."""

TROUBLE_PATIENCE_S: Final = 900.0
"""How long an API that answered before may answer nothing usable before the run gives up."""


# ── one verdict ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a call.

    ``wait_s`` until it may be sent again, None if this run is done with it. ``left``: the request
    may have left this machine, so it goes on record. ``charged``: it counts as one of the attempts.
    """

    state: State
    outcome: str
    code: str | None = None
    message: str | None = None
    wait_s: float | None = None
    left: bool = True
    charged: bool = True
    mismatch: bool = False


def decide(verdict: Verdict, call: Call, *, max_attempts: int, resend: bool, dice: float) -> Step:
    """Decide what becomes of ``call``.

    ``resend`` is the in-doubt rule of the run; ``dice`` is uniform in [0, 1).
    """
    match verdict:
        case Settle(state, code, message, mismatch):
            note = _after_doubt(state, message) if call.doubtful else message
            return Step(state, state.value, code, note, mismatch=mismatch)
        case Block(_, code, message):
            return Step(State.BLOCKED, "blocked", code, message)
        case Unsent(code, message):
            return Step(_waiting(call), "unsent", code, message, wait_s=0.0, left=False)
        case Unauthorised(code, message):
            return Step(_waiting(call), "refused", code, message, wait_s=0.0, charged=False)
        case Halt(_, code, message):
            unsent = code == "certificate"
            return Step(
                _waiting(call),
                "halted",
                code,
                message,
                wait_s=0.0,
                left=not unsent,
                charged=False,
            )
        case Retry():
            return _retry(verdict, call, max_attempts, dice)
        case InDoubt(code, message):
            again = resend and call.tries + 1 < max_attempts
            wait_s = backoff_s(call.tries, dice) if again else None
            return Step(State.IN_DOUBT, "unanswered", code, message, wait_s=wait_s)
        case _:
            assert_never(verdict)


def _retry(verdict: Retry, call: Call, max_attempts: int, dice: float) -> Step:
    if call.tries + 1 < max_attempts:
        wait_s = max(backoff_s(call.tries, dice), verdict.retry_after_s or 0.0)
        return Step(_waiting(call), "not_applied", verdict.code, verdict.message, wait_s=wait_s)
    # an earlier attempt may have been applied, so these refusals do not make it a failure
    state = State.IN_DOUBT if call.doubtful else State.FAILED
    return Step(state, "not_applied", verdict.code, verdict.message)


def _waiting(call: Call) -> State:
    return State.IN_DOUBT if call.doubtful else State.PENDING


def _after_doubt(state: State, message: str | None) -> str | None:
    if state is State.SUCCEEDED:
        return message
    likely = "was probably" if state is State.NOT_ENROLLED else "may have been"
    return f"{message or state.value} (an earlier attempt went unanswered and {likely} applied)"


def backoff_s(tries: int, dice: float) -> float:
    """Full jitter: uniform between 0 and ``min(60, 2 ** tries)`` seconds.

    The formula is that of the AWS Architecture Blog, "Exponential Backoff And Jitter".
    """
    return dice * float(min(BACKOFF_CAP_S, 2.0 ** min(tries, 10)))


# ── everyone ─────────────────────────────────────────────────────────────────────────────────────


def blames_api(verdict: Verdict) -> bool:
    """Whether nothing usable came, or everyone was asked to wait: that says little of the row."""
    return isinstance(verdict, InDoubt) or (isinstance(verdict, Retry) and verdict.everyone)


@dataclass(slots=True)
class Recent:
    """How the last calls of different rows went.

    It tells an API in trouble from a few rows that never get a usable answer: such a row counts
    once, however often it is tried.
    """

    failed: dict[int, bool] = field(default_factory=dict)

    def record(self, row: int, *, failed: bool) -> None:
        """Add how a call of ``row`` went."""
        if failed and self.failed.get(row):
            return
        self.failed.pop(row, None)
        self.failed[row] = failed
        if len(self.failed) > RECENT_ROWS:
            del self.failed[next(iter(self.failed))]

    @property
    def bad(self) -> bool:
        """Whether half of a full window failed."""
        return 2 * sum(self.failed.values()) >= RECENT_ROWS


@dataclass(slots=True)
class Trouble:
    """A circuit breaker that has opened: single probes test the API, then a trial of more.

    A usable answer begins the trial: as many calls at once as came back well, until ``trial`` did.
    A probe without one is followed by a longer wait, the next rung of a ladder. What comes of a
    call that began before the one that changed things last is no news. A probe that is out for
    ``PROBE_PATIENCE_S`` holds up no other.
    """

    trial: int
    unreachable: bool
    since_s: float
    news_s: float
    rung: int = 0
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
        if self.passed == 0:
            self.news_s = started_s
            self.out.clear()
        self.passed += 1
        self.since_s = now_s
        return self.passed >= self.trial

    def fails(self, started_s: float) -> bool:
        """A probe had none; False if that is no news."""
        if started_s < self.news_s:
            return False
        self.news_s = started_s
        self.passed = 0
        self.rung += 1
        return True

    def wait(self, ladder: tuple[float, ...], now_s: float) -> None:
        """Stay closed for as long as the rung of ``ladder`` says."""
        self.until_s = now_s + ladder[min(self.rung, len(ladder) - 1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call that the gate let through. ``row`` is None where it was for a token."""

    verdict: Verdict
    started_s: float
    now_s: float
    probe: bool = False
    row: int | None = None


@dataclass(slots=True)
class Gate:
    """Whether a call may start now: closed while the API asked for a pause, or is in trouble.

    Trouble is one connection that cannot be made, or ``threshold`` unusable answers in a row. Once
    this run has had a usable answer it is also half of the last ``RECENT_ROWS`` rows without one,
    or ``REFUSED_ROWS`` rows that were asked to wait one after the other, each when the wait of the
    one before was over. ``spacing_s`` is how long a call without a usable answer waits at least, so
    that other rows test the API before it does again. ``exhausted`` holds the reason to give up.
    """

    threshold: int
    spacing_s: float = 0.0
    exhausted: str | None = None
    paused_until_s: float = 0.0
    pauses: int = 0
    paused_by: set[int] = field(default_factory=set)
    in_a_row: int = 0
    recent: Recent = field(default_factory=Recent)
    trouble: Trouble | None = None
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
        hold_s = 4 * closed_s * (2.0 ** min(tries, 10) if probe else 1.0)
        return max(self.spacing_s, min(hold_s, HOLD_MOST_S))

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

    def record(self, outcome: Outcome) -> None:
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

    def _usable(self, outcome: Outcome) -> None:
        self.reached = self.healthy = True
        self.in_a_row = 0
        if outcome.started_s >= self.paused_until_s:
            self._forget_pauses()
        if outcome.row is not None:
            self.recent.record(outcome.row, failed=False)
        trouble = self.trouble
        if trouble and outcome.probe and trouble.passes(outcome.started_s, outcome.now_s):
            self._recover()

    def _refused(self, outcome: Outcome, retry_after_s: float | None) -> None:
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

    def _unusable(self, outcome: Outcome, message: str) -> None:
        self.reached = True
        self.in_a_row += 1
        self._fails(outcome, self.in_a_row >= self.threshold)
        trouble = self.trouble
        if trouble is None or trouble.rung < len(self._ladder(trouble)):
            return
        if not self.healthy or outcome.now_s - trouble.since_s >= TROUBLE_PATIENCE_S:
            self.exhausted = f"the API gives no usable answer: {message}"

    def _fails(self, outcome: Outcome, enough: bool) -> None:
        """No usable answer; ``enough``: that makes it trouble."""
        if outcome.row is not None:
            self.recent.record(outcome.row, failed=True)
        if self.trouble is None:
            if enough or (self.healthy and self.recent.bad):
                self._close(outcome, unreachable=False)
        elif outcome.probe and self.trouble.fails(outcome.started_s):
            self.trouble.unreachable = False
            self.trouble.trial = TRIAL if self.healthy else 1
            self.trouble.wait(self._ladder(self.trouble), outcome.now_s)

    def _unsent(self, outcome: Outcome, message: str) -> None:
        trouble = self.trouble
        if trouble is None:
            self._close(outcome, unreachable=True)
        elif outcome.probe and trouble.fails(outcome.started_s):
            if not trouble.unreachable:
                trouble.unreachable, trouble.rung = True, 0
            ladder = self._ladder(trouble)
            trouble.wait(ladder, outcome.now_s)
            if trouble.rung >= len(ladder):
                self.exhausted = f"the API cannot be reached: {message}"

    def _close(self, outcome: Outcome, *, unreachable: bool) -> None:
        trial = TRIAL if self.healthy and not unreachable else 1
        self.trouble = Trouble(trial, unreachable, outcome.now_s, outcome.started_s)
        self.trouble.wait(self._ladder(self.trouble), outcome.now_s)

    def _ladder(self, trouble: Trouble) -> tuple[float, ...]:
        if trouble.unreachable:
            return LONG_LADDER_S if self.reached else LADDER_S
        return BREAKER_LADDER_S if self.healthy else LADDER_S

    def _recover(self) -> None:
        self.trouble = None
        self.recent = Recent()
        self._forget_pauses()

    def _forget_pauses(self) -> None:
        self.pauses = 0
        self.paused_by.clear()


@dataclass(slots=True)
class Canary:
    """The first calls of a run. The rest waits for one good end among them.

    It has passed once each admitted call was answered and one ended well, and has died when all
    have ended and none did.
    """

    size: int
    admitted: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    good: int = 0

    @property
    def full(self) -> bool:
        """Whether no other calls may join."""
        return len(self.admitted) >= self.size

    @property
    def passed(self) -> bool:
        """Whether the rest may go."""
        return self.size == 0 or (self.full and self.good > 0 and self.answered >= self.admitted)

    @property
    def died(self) -> bool:
        """Whether the rest may not go."""
        return self.size > 0 and self.full and self.good == 0 and self.ended >= self.admitted

    def close(self) -> None:
        """Nothing more will come of the admitted calls."""
        self.answered |= self.admitted
        self.ended |= self.admitted

    def record(self, item: int, step: Step) -> None:
        """Take the outcome of one of the first calls into account."""
        if step.left:
            self.answered.add(item)
        if step.wait_s is None:
            self.ended.add(item)
            self.good += step.state in GOOD


@dataclass(frozen=True, slots=True)
class Share:
    """``12`` rows, or ``5%`` of them."""

    value: float
    percent: bool

    def exceeded(self, part: int, whole: int, *, least: int = 0) -> bool:
        """Whether ``part`` of ``whole`` is more than this; a percentage only from ``least`` on."""
        if not self.percent:
            return part > self.value
        return whole >= max(least, 1) and part * 100 > self.value * whole


@dataclass(slots=True)
class FailureLimit:
    """``--max-failures``: bad ends among the calls that this run settled."""

    limit: Share
    settled: int = 0
    bad: int = 0

    def record(self, state: State, done: bool) -> bool:
        """Count a settled call; True when the limit is passed."""
        if not done or state in (State.PENDING, State.IN_DOUBT):
            return False
        self.settled += 1
        self.bad += state in BAD
        return self.limit.exceeded(self.bad, self.settled, least=100)
