"""How the last calls went: whether the API is failing, or a few enrollments always do. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

RECENT_CALLS: Final = 40
MANY_ENROLLMENTS: Final = 10


@dataclass(slots=True)
class RecentCalls:
    """The last calls: the id of each one's enrollment, and whether it failed."""

    calls: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=RECENT_CALLS))
    failed_in_a_row: set[int] = field(default_factory=set)
    since_s: float = 0.0

    def record(self, enrollment_id: int, started_s: float, *, failed: bool) -> None:
        """Add a call that began at ``started_s``."""
        self.calls.append((enrollment_id, failed))
        if failed:
            self.since_s = self.since_s if self.failed_in_a_row else started_s
            self.failed_in_a_row.add(enrollment_id)
        elif started_s >= self.since_s:  # else it began before the first of those that failed
            self.failed_in_a_row.clear()

    @property
    def bad(self) -> bool:
        """Whether many enrollments failed in a row, or half of the calls, those of many."""
        if len(self.failed_in_a_row) >= MANY_ENROLLMENTS:
            return True
        failed = self._failed()
        return 2 * len(failed) >= RECENT_CALLS and len(set(failed)) >= MANY_ENROLLMENTS

    @property
    def fair(self) -> bool:
        """Whether two thirds of a full window did not fail, which is good enough to go on."""
        return len(self.calls) == RECENT_CALLS and 3 * len(self._failed()) <= RECENT_CALLS

    def _failed(self) -> list[int]:
        return [enrollment_id for enrollment_id, failed in self.calls if failed]
