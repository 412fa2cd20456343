"""Logs the calls of a run: each one at level debug, the first of each code, blocks and pauses."""

from __future__ import annotations

from bulk_unenroll.log import get_logger, logs_calls
from bulk_unenroll.model import GOOD, Call, Decision
from bulk_unenroll.observers import Observer

log = get_logger()


class CallLog(Observer):
    """An observer that logs. Customer ids are personal data: they are logged with ``log_ids``."""

    def __init__(self, *, log_ids: bool) -> None:
        self._log_ids = log_ids
        self._logs_calls = logs_calls()
        self._codes_seen: set[str] = set()

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        if self._logs_calls:
            who = {"customer_id": call.enrollment.customer} if self._log_ids else {}
            target = str(call.enrollment.target)
            log.debug("call", outcome=decision.outcome, code=decision.code, target=target, **who)
        if decision.code and decision.code not in self._codes_seen:
            self._log_first(call, decision)

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        log.warning("blocked", customers=number)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``."""
        log.warning("paused", seconds=round(seconds, 1), why=why)

    def _log_first(self, call: Call, decision: Decision) -> None:
        code, outcome = decision.code or "", decision.outcome
        self._codes_seen.add(code)
        say = log.info if decision.state in GOOD else log.warning
        say("first_of_code", code=code, outcome=outcome, target=str(call.enrollment.target))
