"""A call on the wire: its path, body and scope headers, and the reply or the fault.

Sources: the vendor's page "Unenroll a Customer to from Milestone or Streak", and its page on
connected orgs data scopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from bulk_unenroll.model import Target

MAX_ANSWER_BYTES: Final = 1 << 20

TIMEOUT: Final = "timeout"
"""The code of a fault: the answer did not come in time."""


def path(target: Target) -> str:
    """The path of the call, below the base URL and its prefix."""
    return f"/targetGroups/{target.group}/targets/{target.rule}/unEnroll"


def body(customer: int) -> bytes:
    """The JSON body: always exactly one customer, because the API has no batch call."""
    return b'[{"customerId":%d}]' % customer


def scope_headers(org: int | None) -> dict[str, str]:
    """``DATA-SCOPE`` and ``DATA-SCOPE-ORG`` for a connected org; no headers for SELF."""
    return {} if org is None else {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": str(org)}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read completely."""

    status: int
    body: bytes
    request_id: str | None = None
    retry_after: tuple[str, ...] = ()
    date: str | None = None


class Loss(Enum):
    """What is known about a request that got no readable answer."""

    UNSENT = "unsent"  # certainly not sent: DNS, connection refused, connect timeout
    UNANSWERED = "unanswered"  # sent, and perhaps applied
    UNTRUSTED = "untrusted"  # certainly not sent: wrong certificate or host name


@dataclass(frozen=True, slots=True)
class Fault:
    """No readable answer.

    ``code`` is one of this program's own codes; ``status`` is the HTTP status, if one was received.
    """

    loss: Loss
    code: str
    message: str
    status: int | None = None
    request_id: str | None = None
