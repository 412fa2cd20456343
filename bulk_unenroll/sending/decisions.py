"""What to do next with a call, once its answer was judged. Pure."""

from __future__ import annotations

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
from bulk_unenroll.model import Call, Decision, State

BACKOFF_CAP_S: Final = 60.0


def decide(
    verdict: Verdict, call: Call, *, max_attempts: int, resend: bool, dice: float
) -> Decision:
    """Decide what becomes of ``call``.

    ``resend``: whether a call that went unanswered may be sent again. ``dice`` is uniform in
    [0, 1).
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
    # an earlier attempt may have been applied: that this one was not does not make it a failure
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
