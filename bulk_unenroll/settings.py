"""The settings of a command: frozen values with their defaults, and the parsers of options.

They hold no secret: credentials come from the environment.
"""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

RESEND_WINDOW_S: Final = 900.0
"""An unanswered attempt is resent automatically only while it is younger than this."""
LONGEST_WAIT_S: Final = 3600.0
"""No call waits longer than this for its next try."""
TIMEOUT_MOST_S: Final = 3600
ALWAYS: Final = "always"
UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}


# ── values of options ────────────────────────────────────────────────────────────────────────────
#
# A parser takes the text of a command line, the number of a job file or a Python caller, or a value
# that is parsed already.


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` starts in any sliding window of ``unit_s`` seconds."""

    count: int
    unit_s: float

    @property
    def per_s(self) -> float:
        """Starts a second."""
        return self.count / self.unit_s

    def __str__(self) -> str:
        name = next(name for name, unit_s in UNITS_S.items() if unit_s == self.unit_s)
        return f"{self.count}/{name}"


@dataclass(frozen=True, slots=True)
class Limit:
    """``12`` rows, or ``5%`` of them."""

    value: float
    percent: bool

    def exceeded(self, part: int, whole: int, *, least: int = 0) -> bool:
        """Whether ``part`` of ``whole`` is more than this; a percentage only from ``least`` on."""
        if not self.percent:
            return part > self.value
        return whole >= max(least, 1) and part * 100 > self.value * whole

    def __str__(self) -> str:
        return f"{self.value:.15g}{'%' * self.percent}"


def parse_rate(given: str | Rate) -> Rate:
    """``100/min``, ``50/s``, ``1000/h``; raises ``ValueError``."""
    if isinstance(given, Rate):
        return given
    match = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)", str(given).strip())
    if not match:
        raise ValueError(f"{given!r} is not a valid rate: write N/s, N/min or N/h, such as 100/min")
    return Rate(int(match[1]), UNITS_S[match[2]])


def parse_limit(given: str | int | Limit) -> Limit:
    """``12`` or ``10%``; raises ``ValueError``."""
    if isinstance(given, Limit):
        return given
    text = str(given).strip()
    match = re.fullmatch(r"([0-9]{1,12})|([0-9]{1,3}(?:\.[0-9]+)?)%", text)
    if not match or float(match[2] or 0) > 100:
        raise ValueError(f"{given!r} is neither a number such as 12 nor a percentage such as 10%")
    return Limit(float(match[1] or match[2]), percent=match[2] is not None)


def parse_percent(given: str | Limit) -> Limit:
    """``50%``; raises ``ValueError``."""
    limit = parse_limit(given)
    if not limit.percent:
        raise ValueError(f"{given!r} is not a percentage: write 50%, for instance")
    return limit


ABOUT: Final = "about:"
ABOUT_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many calls somebody expects: exactly so many, or a fifth more or less."""

    calls: int
    about: bool = False

    def met_by(self, calls: int) -> bool:
        """Whether so many calls are what was expected."""
        return abs(calls - self.calls) <= (ABOUT_SHARE * self.calls if self.about else 0)

    def __str__(self) -> str:
        return f"{ABOUT * self.about}{self.calls}"


def parse_expectation(given: str | int | Expectation) -> Expectation:
    """``312`` or ``about:5000``; raises ``ValueError``."""
    if isinstance(given, Expectation):
        return given
    text = str(given).strip()
    number = text.removeprefix(ABOUT)
    if isinstance(given, bool) or not re.fullmatch(r"[0-9]{1,12}", number):
        raise ValueError(f"{given!r} is neither a number such as 312 nor about:5000")
    return Expectation(int(number), about=number != text)


@dataclass(frozen=True, slots=True)
class TargetCap:
    """At most so many customers of one target; ``target`` is ``group/target``."""

    target: str
    customers: int

    def __str__(self) -> str:
        return f"{self.target}={self.customers}"


def parse_target_cap(given: str | TargetCap) -> TargetCap:
    """``1001/2001=5000``; raises ``ValueError``."""
    if isinstance(given, TargetCap):
        return given
    match = re.fullmatch(r"([1-9][0-9]{0,18}/[1-9][0-9]{0,18})=([0-9]{1,12})", str(given).strip())
    if not match:
        raise ValueError(f"{given!r} is no cap of a target: write GROUP/TARGET=N")
    return TargetCap(match[1], int(match[2]))


def parse_duration_s(given: str | float) -> float:
    """``90s``, ``15m``, ``1h30m`` in seconds; raises ``ValueError``."""
    if not isinstance(given, str) and 0 <= given < math.inf:
        return given
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(given).strip())
    if not match or not any(match.groups()):
        raise ValueError(f"{given!r} is not a valid duration: write 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600.0 + minutes * 60.0 + seconds


def parse_timeout_s(given: str | float) -> float:
    """Seconds, more than 0 and at most ``TIMEOUT_MOST_S``; raises ``ValueError``."""
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_MOST_S:  # also refuses NaN
        raise ValueError(
            f"{given!r} is not a valid number of seconds: write more than 0,"
            f" and at most {TIMEOUT_MOST_S}"
        )
    return seconds


def parse_time_of_day(given: str | datetime.time) -> datetime.time:
    """``05:00``; raises ``ValueError``."""
    if isinstance(given, datetime.time):
        return given
    try:
        return datetime.datetime.strptime(given, "%H:%M").time()
    except ValueError:
        raise ValueError(
            f"{given!r} is not a valid time of day: write HH:MM, such as 05:00"
        ) from None


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day from ``begins`` until ``ends``, which may be of the next day. Local time.

    Where both are the same it never ends.
    """

    begins: datetime.time
    ends: datetime.time

    def __contains__(self, moment: datetime.time) -> bool:
        """Whether a time of day lies in it."""
        if self.begins < self.ends:
            return self.begins <= moment < self.ends
        return moment >= self.begins or moment < self.ends

    @property
    def closes(self) -> datetime.time | None:
        """When it ends; None: never."""
        return self.ends if self.ends != self.begins else None

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}" if self.closes else ALWAYS


def parse_window(given: str | Window) -> Window:
    """``22:00-05:00`` or ``always``; raises ``ValueError``."""
    if isinstance(given, Window):
        return given
    if given == ALWAYS:
        return Window(datetime.time(), datetime.time())
    begins, dash, ends = str(given).partition("-")
    try:
        window = Window(parse_time_of_day(begins.strip()), parse_time_of_day(ends.strip()))
    except ValueError:
        dash = ""
    if not dash or window.begins == window.ends:
        raise ValueError(f"{given!r} is not a window: write 22:00-05:00, or {ALWAYS}")
    return window


def next_time(clock: datetime.time, after: datetime.datetime) -> datetime.datetime:
    """When a clock on the wall shows this time of day next, ``after`` what it shows now."""
    at = datetime.datetime.combine(after, clock)
    return at if at > after else at + datetime.timedelta(days=1)


def parse_engine(given: str) -> str:
    """``dask://HOST:PORT``; raises ``ValueError``."""
    text = str(given).strip()
    if not re.fullmatch(r"dask://[A-Za-z0-9_.\[\]:-]+:[0-9]{1,5}", text):
        raise ValueError(f"{given!r} is not a valid engine: write dask://HOST:PORT")
    return text


def parse_delimiter(given: str) -> str:
    """One character, or the word ``tab``; raises ``ValueError``."""
    character = {"tab": "\t", "\\t": "\t"}.get(given, given)
    if len(character) != 1 or character in '"\r\n':
        raise ValueError(f"{given!r} is not a valid delimiter: write one character, or tab")
    return character


# ── settings ─────────────────────────────────────────────────────────────────────────────────────
#
# Each field is named as the option that sets it, and holds its default.

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


def elapsed_s() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # on Linux
    return time.monotonic() if clock is None else time.clock_gettime(clock)


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


# ── the API's address ────────────────────────────────────────────────────────────────────────────


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, judged by its name or address alone."""
    import ipaddress  # slow to import, and no option needs it

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
