"""How long ``Retry-After`` asks a caller to wait."""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_CAP_S: Final = 3600.0
"""No ``Retry-After`` pauses a run for longer than this."""


def retry_after_s(values: tuple[str, ...], date: str | None, now_s: float) -> float | None:
    """Seconds to wait by ``Retry-After`` (RFC 9110, section 10.2.3); of several, the longest.

    A date is compared with the answer's own ``Date``, so that a wrong clock on either side does not
    matter. Invalid and negative values are ignored. At most ``RETRY_AFTER_CAP_S``.
    """
    sent_s = _unix_time(date) if date else None
    waits = [
        _one_retry_after(value.strip(), now_s if sent_s is None else sent_s) for value in values
    ]
    usable = [wait for wait in waits if wait is not None]
    return min(max(usable), RETRY_AFTER_CAP_S) if usable else None


def _one_retry_after(value: str, sent_s: float) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        at_s = _unix_time(value)
        return None if at_s is None else max(at_s - sent_s, 0.0)
    return seconds if seconds >= 0 and not math.isnan(seconds) else None


def _unix_time(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
