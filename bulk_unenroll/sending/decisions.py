"""What to do next with a verdict. Pure: the runner passes the time and the dice in.

Times are seconds; ``now_s`` is whatever steady clock the runner uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

from bulk_unenroll.capillary.verdicts import (
    Block,
    Halt,
    InDoubt,
    Retry,
    Settle,
    Unauthorised,
    Unsent,
    Verdict,
)
from bulk_unenroll.model import BAD, GOOD, Call, Decision, State
from bulk_unenroll.settings import Limit

BACKOFF_CAP_S: Final = 60.0


# ── one verdict ──────────────────────────────────────────────────────────────────────────────────


def decide(
    verdict: Verdict, call: Call, *, max_attempts: int, resend: bool, dice: float
) -> Decision:
    """Decide what becomes of ``call``.

    ``resend`` is the in-doubt rule of the run; ``dice`` is uniform in [0, 1).
    """
    match verdict:
        case Settle(state, code, message, mismatch):
            note = _after_doubt(state, message) if call.doubtful else message
            return Decision(state, state.value, code, note, mismatch=mismatch)
        case Block(_, code, message):
            return Decision(State.BLOCKED, "blocked", code, message)
        case Unsent(code, message):
            return Decision(call.waiting, "unsent", code, message, wait_s=0.0, left=False)
        case Unauthorised(code, message):
            return Decision(call.waiting, "refused", code, message, wait_s=0.0, charged=False)
        case Halt(_, code, message, left=left):
            return Decision(
                call.waiting, "halted", code, message, wait_s=0.0, left=left, charged=False
            )
        case Retry():
            return _retry(verdict, call, max_attempts, dice)
        case InDoubt(code, message):
            again = resend and call.tries + 1 < max_attempts
            wait_s = backoff_s(call.tries, dice) if again else None
            return Decision(State.IN_DOUBT, "unanswered", code, message, wait_s=wait_s)
        case _:
            assert_never(verdict)


def _retry(verdict: Retry, call: Call, max_attempts: int, dice: float) -> Decision:
    if call.tries + 1 < max_attempts:
        wait_s = max(backoff_s(call.tries, dice), verdict.retry_after_s or 0.0)
        return Decision(call.waiting, "not_applied", verdict.code, verdict.message, wait_s=wait_s)
    # an earlier attempt may have been applied, so these refusals do not make it a failure
    state = State.IN_DOUBT if call.doubtful else State.FAILED
    return Decision(state, "not_applied", verdict.code, verdict.message)


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


# ── the run as a whole ───────────────────────────────────────────────────────────────────────────


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

    def record(self, item: int, step: Decision) -> None:
        """Take the outcome of one of the first calls into account."""
        if step.left:
            self.answered.add(item)
        if step.wait_s is None:
            self.ended.add(item)
            self.good += step.state in GOOD


@dataclass(slots=True)
class FailureLimit:
    """``--max-failures``: bad ends among the calls that this run settled."""

    limit: Limit
    settled: int = 0
    bad: int = 0

    def record(self, state: State, done: bool) -> bool:
        """Count a settled call; True when the limit is passed."""
        if not done or state in (State.PENDING, State.IN_DOUBT):
            return False
        self.settled += 1
        self.bad += state in BAD
        return self.limit.exceeded(self.bad, self.settled, least=100)
