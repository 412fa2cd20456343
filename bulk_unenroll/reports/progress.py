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

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        if decision.wait_s is None:
            self._done += 1
            self._answered += 1
            self._states[call.waiting] = max(self._states[call.waiting] - 1, 0)
            self._states[decision.state] += 1

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        self._done += number
        self._states[State.PENDING] = max(self._states[State.PENDING] - number, 0)
        self._states[State.BLOCKED] += number

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
