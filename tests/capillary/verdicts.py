"""One verdict of every kind."""

from __future__ import annotations

from bulk_unenroll.capillary.codes import Reach
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
from bulk_unenroll.model import State

SUCCESS = Settle(State.SUCCEEDED, None, None)
SETTLED = [
    SUCCESS,
    Settle(State.SUCCEEDED, None, None, mismatch=True),
    Settle(State.NOT_ENROLLED, "310149", "no record"),
    Settle(State.FAILED, "310011", "invalid user id"),
    Settle(State.REVIEW, "310119", "already enrolled"),
    Settle(State.REVIEW, "777", None),
]
BLOCKS = [Block(Reach.TARGET, "310018", "no rule"), Block(Reach.GROUP, "310017", "no group")]
UNSENT = Unsent("unreachable", "connection refused")
REFUSED = Unauthorised("498", "token expired")
HALTS = [
    Halt(Reach.RUN, "http_404", "wrong prefix"),
    Halt(Reach.RUN, "403", "denied", credentials=True),
    Halt(Reach.ORG, "310144", "not connected"),
]
UNTRUSTED = Halt(Reach.RUN, "certificate", "wrong host name", left=False)
TOO_MANY = Retry("http_429", "slow down", everyone=True)
BUSY = Retry("521", "multiple actions")
LOST = InDoubt("timeout", "no answer")
BROKEN = InDoubt("http_500", "HTTP 500")
VERDICTS: list[Verdict] = [
    *SETTLED,
    *BLOCKS,
    UNSENT,
    REFUSED,
    *HALTS,
    UNTRUSTED,
    TOO_MANY,
    BUSY,
    LOST,
]
