"""Turns an answer into what follows from it: verdict, decision, entry of the ledger. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bulk_unenroll.capillary.calls import TIMEOUT, Fault, Reply
from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.judge import judge
from bulk_unenroll.capillary.redaction import MAX_REQUEST_ID_CHARS, Redact, legible, recordable
from bulk_unenroll.capillary.verdicts import Halt, Retry, Unauthorised, Verdict
from bulk_unenroll.model import Attempt, Call, Decision, Entry
from bulk_unenroll.sending.decisions import decide
from bulk_unenroll.settings import SendSettings

OVERLOADED: Final = (429, 503)


@dataclass(slots=True)
class Flight:
    """A call in flight.

    ``started_s`` is loop time, ``sent_at_s`` Unix time. ``generation`` is that of its token;
    ``last_token``: if this one is refused, no other will be accepted.
    """

    call: Call
    probe: bool
    started_s: float
    sent_at_s: float
    generation: int
    last_token: bool


@dataclass(frozen=True, slots=True)
class Landing:
    """A call that ended at ``at_s`` (Unix seconds), answered or not, and what follows from it."""

    flight: Flight
    answer: Reply | Fault
    at_s: float
    verdict: Verdict
    decision: Decision
    entry: Entry

    @property
    def overloaded(self) -> bool:
        """Whether the API said that it gets too many calls."""
        return self.answer.status in OVERLOADED or (
            isinstance(self.verdict, Retry) and self.verdict.everyone
        )

    @property
    def shows_latency(self) -> bool:
        """Whether it took as long as the API takes now; a lost connection may take any time."""
        return isinstance(self.answer, Reply) or self.answer.code == TIMEOUT

    def held_back(self, hold_s: float) -> Landing:
        """This result, but with a wait of at least ``hold_s`` seconds if the call is sent again."""
        wait_s = self.decision.wait_s
        if wait_s is None or wait_s >= hold_s:
            return self
        return replace(
            self,
            decision=replace(self.decision, wait_s=hold_s),
            entry=replace(self.entry, not_before_s=self.at_s + hold_s),
        )


def land(
    flight: Flight,
    answer: Reply | Fault,
    *,
    at_s: float,
    dice: float,
    settings: SendSettings,
    redact: Redact,
    old: bool = False,
) -> Landing:
    """Land a call: judge the answer, decide on the call, write its entry for the ledger.

    ``at_s`` is Unix time, ``dice`` uniform in [0, 1); ``redact`` removes secrets from a text.
    ``old``: how long ago it was sent is unknown, for the clock was set since.
    """
    verdict = _judge(flight, answer, at_s, redact)
    decision = decide(
        verdict,
        flight.call,
        max_attempts=settings.max_attempts,
        resend=settings.resend and not old,
        dice=dice,
    )
    entry = replace(_entry(flight, answer, decision, at_s, redact), old=old)
    return Landing(flight, answer, at_s, verdict, decision, entry)


def _judge(flight: Flight, answer: Reply | Fault, at_s: float, redact: Redact) -> Verdict:
    verdict = recordable(judge(answer, flight.call.enrollment.customer, at_s), redact)
    if isinstance(verdict, Unauthorised) and flight.last_token:
        return Halt(Reach.RUN, verdict.code, verdict.message, credentials=True)
    return verdict


def _entry(
    flight: Flight, answer: Reply | Fault, decision: Decision, at_s: float, redact: Redact
) -> Entry:
    not_before_s = None if decision.wait_s is None else at_s + decision.wait_s
    if not decision.left:
        return Entry(flight.call, decision.state, not_before_s=not_before_s)
    attempt = Attempt(
        flight.sent_at_s,
        at_s if isinstance(answer, Reply) else None,
        decision.outcome,
        decision.code,
        decision.message,
        answer.status,
        answer.request_id and legible(answer.request_id, redact, MAX_REQUEST_ID_CHARS),
    )
    return Entry(
        flight.call, decision.state, attempt, not_before_s, decision.charged, decision.mismatch
    )
