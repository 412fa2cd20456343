"""The values of options: frozen types such as ``Rate`` and ``Window``, and the parsers of each.

A parser takes the text of a command line, the number of a job file or a Python caller, or a value
that is parsed already.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Final

UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
TIMEOUT_MOST_S: Final = 3600
ALWAYS: Final = "always"
ABOUT: Final = "about:"
ABOUT_SHARE: Final = 0.2


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
