"""Options and environment, checked once, as frozen values. Secrets: from the environment only."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESEND_WINDOW_S: Final = 900.0
"""An unanswered attempt is sent again by itself only while it is younger than this."""


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


RUN_MAX_INVALID: Final = Limit(10, percent=True)
"""``--max-invalid`` of a run, where it is not given."""

UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}


# ── options ──────────────────────────────────────────────────────────────────────────────────────


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


def parse_rate(text: str) -> Rate:
    """``100/min``, ``50/s``, ``1000/h``; raises ``ValueError``."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)", text.strip())
    if not match:
        raise ValueError(f"{text!r} is no rate: write N/s, N/min or N/h, such as 100/min")
    return Rate(int(match[1]), UNITS_S[match[2]])


def parse_limit(text: str) -> Limit:
    """``12`` or ``10%``; raises ``ValueError``."""
    match = re.fullmatch(r"([0-9]{1,12})|([0-9]{1,3}(?:\.[0-9]+)?)%", text.strip())
    if not match or float(match[2] or 0) > 100:
        raise ValueError(f"{text!r} is neither a number such as 12 nor a percentage such as 10%")
    return Limit(float(match[1] or match[2]), percent=match[2] is not None)


def parse_duration_s(text: str) -> float:
    """``90s``, ``15m``, ``1h30m`` in seconds; raises ``ValueError``."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration: write 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600.0 + minutes * 60.0 + seconds


@dataclass(frozen=True, slots=True)
class SendSettings:
    """How to send; the command line holds the defaults.

    ``resend`` is ``--in-doubt resend``, ``adaptive`` is ``--pace adaptive``.
    """

    rate: Rate
    concurrency: int
    max_attempts: int
    read_timeout_s: float
    connect_timeout_s: float
    canary: int
    max_failures: Limit
    resend: bool
    adaptive: bool = False

    def resend_after_s(self, now_s: float) -> float:
        """Calls in doubt that were sent later than this may be sent again: Unix seconds."""
        return now_s - RESEND_WINDOW_S if self.resend else math.inf


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything about going through with it, beside how to send.

    ``began_s`` is the command's start on the monotonic clock.
    """

    base_url: str | None
    sandbox: bool
    sandbox_scenario: Path | None
    expect: int | None
    stop_in_s: float | None
    export: bool
    log_ids: bool
    quiet: bool
    json: bool
    metrics_file: Path | None
    began_s: float


# ── the API's address ────────────────────────────────────────────────────────────────────────────


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


# ── credentials ──────────────────────────────────────────────────────────────────────────────────
