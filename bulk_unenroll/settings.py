"""The settings of a command, frozen, with their defaults.

Each field is named as the option that sets it. They hold no secret: credentials come from the
environment.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from bulk_unenroll.clocks import elapsed_s
from bulk_unenroll.option_values import Expectation, Limit, Rate, TargetCap, Window, next_time

RESEND_WINDOW_S: Final = 900.0
"""An unanswered attempt is resent automatically only while it is younger than this."""
LONGEST_WAIT_S: Final = 3600.0
"""No call waits longer than this for its next try."""


RUN_MAX_INVALID: Final = Limit(10, percent=True)
"""The default of ``--max-invalid`` for a run; a plan has none."""
RANGES: Final[Mapping[str, tuple[int, int | None]]] = {
    "concurrency": (1, 1024),
    "max_attempts": (1, 100),
    "canary": (0, None),
    "max_customers": (0, None),
    "limit": (0, None),
    "senders": (1, None),
    "header_row": (1, None),
    "max_rows": (1, None),
    "loaders": (1, 64),
}
"""The least and the largest value of each option that is a whole number."""
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "in_doubt": ("resend", "hold"),
    "pace": ("fixed", "adaptive"),
    "first_time": ("hold", "go"),
}
"""The possible values of each option that has only a few."""


def kept(careful: Callable[[Any, Any], Any] | None = None) -> dict[str, Any]:
    """The metadata of a field that a run folder remembers, so that ``resume`` means the same.

    ``careful`` chooses the more careful of two values, if either is: a new ``run`` does not lose
    what was tightened before, and does not inherit what was loosened.
    """
    return {"kept": True, "careful": careful}


def kept_names() -> list[str]:
    """The fields that a run folder remembers."""
    return [f.name for f in _SETTINGS_FIELDS if f.metadata.get("kept")]


def more_careful(remembered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the ``remembered`` values, by field, that are more careful than the default."""
    careful = {}
    for f in _SETTINGS_FIELDS:
        choose = f.metadata.get("careful")
        if choose and f.name in remembered:
            value = choose(remembered[f.name], f.default)
            if value != f.default:
                careful[f.name] = value
    return careful


def _slower(one: Rate, other: Rate) -> Rate:
    return min(one, other, key=lambda rate: rate.per_s)


def _stricter(one: Limit, other: Limit) -> Limit:
    """The lower limit; a number of rows is the stricter kind, for it does not grow with a file."""
    return min(one, other, key=lambda limit: (limit.percent, limit.value))


def _higher(one: Limit, other: Limit) -> Limit:
    return max(one, other, key=lambda limit: limit.value)


def _any_but(loose: object) -> Callable[[Any, Any], Any]:
    return lambda one, other: other if one == loose else one


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """How to send. A run folder remembers all of it.

    ``in_doubt`` says what to do with calls that were not answered, ``pace`` whether the run slows
    down while the API struggles.
    """

    rate: Rate = field(default=Rate(100, 60.0), metadata=kept(_slower))
    concurrency: int = field(default=32, metadata=kept(min))
    max_attempts: int = field(default=5, metadata=kept(min))
    read_timeout_s: float = field(default=75.0, metadata=kept(max))
    connect_timeout_s: float = field(default=10.0, metadata=kept(max))
    canary: int = field(default=10, metadata=kept(max))
    canary_good: Limit = field(default=Limit(50, percent=True), metadata=kept(_higher))
    max_not_enrolled: Limit = field(default=Limit(50, percent=True), metadata=kept(_stricter))
    max_failures: Limit = field(default=Limit(50, percent=True), metadata=kept(_stricter))
    ramp_s: float = field(default=0.0, metadata=kept(max))
    in_doubt: Literal["resend", "hold"] = field(default="resend", metadata=kept(_any_but("resend")))
    pace: Literal["fixed", "adaptive"] = field(default="fixed", metadata=kept(_any_but("fixed")))

    @property
    def resend(self) -> bool:
        """Whether a recent call in doubt is resent automatically."""
        return self.in_doubt == "resend"

    @property
    def adaptive(self) -> bool:
        """Whether the rate is a ceiling, and the run finds its own rate below it."""
        return self.pace == "adaptive"

    def resend_after_s(self, now_s: float) -> float:
        """Calls in doubt that were sent after this moment may be resent. Unix seconds."""
        return now_s - RESEND_WINDOW_S if self.resend else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Where to send, when to stop and what to write.

    ``allow`` names the alarms that may pass. ``began_at`` is the command's start as a clock on the
    wall shows it, ``began_s`` the same by ``elapsed_s``.
    """

    base_url: str | None = None
    sandbox: bool = field(default=False, metadata=kept())
    sandbox_scenario: Path | None = field(default=None, metadata=kept(_any_but(None)))
    expect: Expectation | None = None
    never: tuple[Path, ...] = field(default=(), metadata=kept(_any_but(())))
    max_customers: int | None = field(default=None, metadata=kept(_any_but(None)))
    max_target: tuple[TargetCap, ...] = field(default=(), metadata=kept(_any_but(())))
    limit: int | None = None
    history: str | None = None
    beside: bool = False
    on: str | None = None
    senders: int = 2
    first_time: Literal["hold", "go"] = "hold"
    allow: frozenset[str] = frozenset()
    loaders: int = 1
    stop_after_s: float | None = None
    stop_at: datetime.time | None = None
    window: Window | None = field(default=None, metadata=kept(_any_but(None)))
    export: bool = True
    metrics_file: Path | None = None
    progress_file: Path | None = None
    log_ids: bool = False
    began_at: datetime.datetime = field(default_factory=datetime.datetime.now)
    began_s: float = field(default_factory=elapsed_s)

    @property
    def closes_at(self) -> datetime.datetime | None:
        """What a clock on the wall shows when the run must end: ``stop_at``, the window's end.

        Such a promise is kept by the wall clock alone: it holds when the clocks change, when
        somebody sets them, and when the machine sleeps.
        """
        ends = [self.stop_at, self.window and self.window.closes]
        moments = [next_time(clock, self.began_at) for clock in ends if clock]
        return min(moments, default=None)

    def time_is_up(self, now: datetime.datetime, at_s: float) -> bool:
        """Whether the run must end, by a clock on the wall and by ``elapsed_s``."""
        if self.stop_after_s is not None and at_s - self.began_s >= self.stop_after_s:
            return True
        return self.closes_at is not None and now >= self.closes_at


_SETTINGS_FIELDS: Final = (*fields(SendSettings), *fields(RunSettings))
