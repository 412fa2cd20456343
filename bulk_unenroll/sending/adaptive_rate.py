"""``--pace adaptive``: find the rate that the API can carry, below the allowed one. Pure.

Additive increase and multiplicative decrease (RFC 5681 has them for TCP), on two signs of too much:
the API refuses (429, 503), or its answers take well above their usual time, which is how a queue in
front of it shows. What it answers a second meanwhile is what it can carry. Starts then rest for as
long as answers are late: in that time the API works off the queue, and no longer.

Times are seconds on any steady clock; rates are starts a second.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

WINDOW_S: Final = 1.0
WINDOW_ANSWERS: Final = 20
WINDOW_MOST_S: Final = 15.0
"""Answers are judged together: those of a second, and at least twenty unless they come rarely."""

USUAL_WINDOWS: Final = 60
USUAL_LEAST: Final = 10
LATE_FACTOR: Final = 2.0
LATE_EARLY_FACTOR: Final = 3.0
LATE_LEAST_S: Final = 0.02
"""Late is a median of twice the usual one, and by more than the noise of a fast server; of three
times the best one while few are known, which may themselves have been late."""

BETTER: Final = 0.7
"""If it was the load, answers after a cut take less than this share of what they took before."""

DOWN: Final = 0.96
DOWN_AGAIN: Final = 0.7
AGAIN_S: Final = 5.0
"""A cut leaves this share of the rate that the API carried; or of the rate, if it was cut so soon
before."""

LEAST_SHARE: Final = 0.01
"""The rate never falls below this share of the ceiling."""

REST_MOST_S: Final = 10.0
NEAR: Final = 0.1
NEAR_STEP: Final = 0.002
FAR_STEP: Final = 0.05
FAR_STEP_MOST: Final = 0.02
"""What the rate gains a second: within a tenth of what was carried at the last cut 0.2 % of that,
otherwise 5 %, but at most 2 % of the ceiling."""


@dataclass(slots=True)
class AdaptiveRate:
    """The rate of now: ``rate_per_s``, with no start before ``rest_until_s``."""

    ceiling_per_s: float
    rate_per_s: float = field(init=False)
    rest_until_s: float = 0.0
    cuts: int = 0
    _carried_per_s: float = 0.0
    _cut_at_s: float = 0.0
    _began_s: float | None = None
    _answers: int = 0
    _latencies_s: list[float] = field(default_factory=list)
    _usual_s: deque[float] = field(default_factory=lambda: deque(maxlen=USUAL_WINDOWS))
    _was_late: bool = False
    _cut_for_s: float | None = None

    def __post_init__(self) -> None:
        self.rate_per_s = self.ceiling_per_s

    @property
    def slows(self) -> bool:
        """Whether it holds the rate below the ceiling."""
        return self.rate_per_s < self.ceiling_per_s

    def as_json(self) -> str:
        """The rate of now and its ceiling, and how often it was cut: JSON text for the ledger."""
        return json.dumps(
            {
                "rate_per_s": round(self.rate_per_s, 2),
                "ceiling_per_s": round(self.ceiling_per_s, 2),
                "cuts": self.cuts,
            }
        )

    def answered(self, started_s: float, now_s: float) -> None:
        """A call that started at ``started_s`` was answered, and not refused."""
        if self._began_s is None:
            self._began_s = now_s
        self._answers += 1
        if started_s >= self._cut_at_s:  # else it was sent before the last cut
            self._latencies_s.append(now_s - started_s)
        elapsed_s = now_s - self._began_s
        enough = self._answers >= WINDOW_ANSWERS or elapsed_s >= WINDOW_MOST_S
        if enough and elapsed_s >= WINDOW_S:
            self._judge(elapsed_s, now_s)

    def refused(self, started_s: float, now_s: float) -> None:
        """The API refused a call that started at ``started_s`` as one too many."""
        if started_s >= self._cut_at_s:
            self._cut(now_s, late_s=0.0)

    def _judge(self, elapsed_s: float, now_s: float) -> None:
        """The end of a window."""
        if len(self._latencies_s) > 1:
            typical_s = median(self._latencies_s)
            self._learn(typical_s)
            late = self._late_s(typical_s) > 0
            if late and self._was_late:
                self._cut_for_s = typical_s
                self._cut(now_s, self._late_s(median(self._latencies_s[-5:])))
            elif not late:
                self._climb(elapsed_s)
            self._was_late = late
        self._open_window(now_s)

    def _learn(self, typical_s: float) -> None:
        """Learn what is usual. Lateness that a lower rate did not cure is: it was not the load."""
        cut_for_s, self._cut_for_s = self._cut_for_s, None
        if cut_for_s is not None and typical_s > BETTER * cut_for_s:
            self._usual_s.clear()
        if not self._late_s(typical_s):
            self._usual_s.append(typical_s)

    def _late_s(self, latency_s: float) -> float:
        """How much later than usual that is; 0 where it is not late."""
        if not self._usual_s:
            return 0.0
        early = len(self._usual_s) < USUAL_LEAST
        usual_s = min(self._usual_s) if early else median(self._usual_s)
        factor = LATE_EARLY_FACTOR if early else LATE_FACTOR
        over_s = latency_s - usual_s
        return over_s if over_s > max(usual_s * (factor - 1), LATE_LEAST_S) else 0.0

    def _cut(self, now_s: float, late_s: float) -> None:
        elapsed_s = now_s - (self._began_s or now_s)
        if self.cuts and now_s - self._cut_at_s < AGAIN_S:
            rate_per_s = DOWN_AGAIN * self.rate_per_s
        else:
            measured = elapsed_s >= WINDOW_S / 2
            self._carried_per_s = min(
                self._answers / elapsed_s if measured else self.rate_per_s, self.rate_per_s
            )
            rate_per_s = DOWN * self._carried_per_s
        # the queue has grown since the late call joined it
        rest_s = late_s * self.rate_per_s / max(self._carried_per_s, rate_per_s)
        self.rest_until_s = now_s + min(rest_s, REST_MOST_S)
        self.rate_per_s = max(rate_per_s, LEAST_SHARE * self.ceiling_per_s)
        self.cuts += 1
        self._cut_at_s = now_s
        self._open_window(self.rest_until_s)

    def _climb(self, elapsed_s: float) -> None:
        near = abs(self.rate_per_s - self._carried_per_s) <= NEAR * self._carried_per_s
        far = min(FAR_STEP * self.rate_per_s, FAR_STEP_MOST * self.ceiling_per_s)
        step = NEAR_STEP * self._carried_per_s if near else far
        self.rate_per_s = min(self.rate_per_s + step * elapsed_s, self.ceiling_per_s)

    def _open_window(self, now_s: float) -> None:
        self._began_s, self._answers = now_s, 0
        self._latencies_s.clear()
