"""The progress of a run, counted from its decisions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision, State


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress at a moment: ``done`` of ``of`` enrollments, and the counts by state.

    ``per_min`` is the mean rate of answers; ``left_s`` the seconds left at that rate, None while
    nothing was answered.
    """

    done: int
    of: int
    states: Mapping[State, int]
    per_min: float
    left_s: float | None


class ProgressCounter:
    """Counts on from ``before``, the counts when the run began at ``now_s`` (any steady clock).

    ``to_call`` is how many enrollments the run would call.
    """

    def __init__(self, before: Counts, to_call: int, now_s: float) -> None:
        self._states = dict(before.states)
        self._to_call = to_call
        self._began_s = now_s
        self._done = self._answered = 0
        self._others: dict[State, int] | None = None

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        self._states[call.waiting] = max(self._states[call.waiting] - 1, 0)
        self._states[decision.state] += 1  # one that waits to be sent again may be in doubt
        if decision.wait_s is None:
            self._done += 1
            self._answered += 1

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        self._done += number
        self._states[State.PENDING] = max(self._states[State.PENDING] - number, 0)
        self._states[State.BLOCKED] += number

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders have settled so many by now; what they had at first is in ``before``.

        Which way a bad end was bad is not told: it counts as failed until the run has ended.
        """
        good = settled - not_enrolled - bad
        now = {State.SUCCEEDED: good, State.NOT_ENROLLED: not_enrolled, State.FAILED: bad}
        before = now if self._others is None else self._others
        self._others = now
        for state, number in now.items():
            more = number - before[state]
            self._states[state] += more
            self._states[State.PENDING] = max(self._states[State.PENDING] - more, 0)
            self._done += more
            self._answered += more

    def progress(self, now_s: float) -> Progress:
        """The progress at ``now_s``."""
        # blocked enrollments took no time, and say nothing about the rate of the rest
        per_s = self._answered / max(now_s - self._began_s, 0.001)
        left = max(self._to_call - self._done, 0)
        return Progress(
            self._done,
            self._to_call,
            {state: number for state, number in self._states.items() if number},
            per_s * 60,
            left / per_s if per_s else None,
        )
