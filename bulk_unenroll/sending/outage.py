"""An outage of the API: single calls probe it, then a trial of several must succeed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PROBE_PATIENCE_S: Final = 20.0
"""A probe that takes longer no longer delays the next: it may hang until ``--read-timeout``."""

RELAPSES_A_RUNG: Final = 10


@dataclass(slots=True)
class Outage:
    """Since ``since_s`` the API gives no usable answers, or cannot be reached (``unreachable``).

    A usable answer to a probe begins the trial: as many probes at once as were answered usably,
    until ``trial`` were. Any other answer is followed by a wait, longer with every one in a row: by
    the rungs of a ladder. An API that answers sometimes is probed more often: there the wait grows
    with every ``RELAPSES_A_RUNG`` relapses. The result of a call that began before the last change
    (``news_s``) says nothing new.
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
    in_flight_s: list[float] = field(default_factory=list)
    """When each of the probes in flight started."""

    def starts_in_s(self, now_s: float) -> float:
        """Seconds until a probe may start."""
        until_s = self.until_s
        if self.vacancies(now_s) == 0:
            until_s = max(until_s, min(self._awaited(now_s)) + PROBE_PATIENCE_S)
        return max(until_s - now_s, 0.0)

    def vacancies(self, now_s: float) -> int:
        """How many more probes may be in flight."""
        return max(max(self.passed, 1) - len(self._awaited(now_s)), 0)

    def _awaited(self, now_s: float) -> list[float]:
        return [started_s for started_s in self.in_flight_s if started_s + PROBE_PATIENCE_S > now_s]

    def passes(self, started_s: float, now_s: float) -> bool:
        """A probe had a usable answer; True if that ends the outage."""
        if started_s < self.news_s:
            return False
        if self.passed == 0 or len(self._awaited(now_s)) < len(self.in_flight_s):
            self.passed = 0  # one that hangs is as good as failed: the trial begins anew
            self.news_s = started_s
            self.in_flight_s.clear()
        self.since_s = now_s
        self.rung = 0
        if all(other_s >= started_s for other_s in self.in_flight_s):  # no earlier one may hang
            self.passed += 1
        return self.passed >= self.trial

    def fails(self, started_s: float, now_s: float) -> bool:
        """A probe had no usable answer; False if that says nothing new."""
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
        """Start no probe for as long as the rung of ``ladder`` says."""
        rung = max(self.rung, self.relapses // RELAPSES_A_RUNG)
        self.wait_s = ladder[min(rung, len(ladder) - 1)]
        self.until_s = now_s + self.wait_s
