"""How long ``Retry-After`` asks a caller to wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bulk_unenroll.settings import LONGEST_WAIT_S

RETRY_AFTER_CAP_S: Final = LONGEST_WAIT_S
"""No ``Retry-After`` pauses a run for longer than this."""

MOMENTS_FROM_S: Final = 1e9
"""A number from here on is no wait, but the moment to wait for: Unix time, in s or ms."""


def retry_after_s(values: tuple[str, ...], date: str | None, now_s: float) -> float | None:
    """Seconds to wait by ``Retry-After`` (RFC 9110, section 10.2.3); of several, the longest.

    Unix and ISO times are understood too, because some gateways send them. A date is compared with
    the answer's own ``Date``, so that a wrong clock on either side does not matter. Invalid and
    negative values are ignored. At most ``RETRY_AFTER_CAP_S``.
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
    if math.isfinite(seconds) and seconds >= MOMENTS_FROM_S:
        moment_s = seconds / 1000 if seconds >= MOMENTS_FROM_S * 1000 else seconds
        return max(moment_s - sent_s, 0.0)
    return seconds if seconds >= 0 and not math.isnan(seconds) else None


def _unix_time(text: str) -> float | None:
    """The moment of an HTTP date (RFC 9110, section 5.6.7), or of one by ISO 8601."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError):
            continue
    return None
