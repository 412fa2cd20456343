"""What a call looks like on the wire: path, body, scope headers; a reply, or a fault."""

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
    """The JSON body: always exactly one customer, for the API has no batch."""
    return b'[{"customerId":%d}]' % customer


def scope_headers(org: int | None) -> dict[str, str]:
    """``DATA-SCOPE`` and ``DATA-SCOPE-ORG`` for a connected org; none at all for SELF."""
    return {} if org is None else {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": str(org)}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read to its last byte."""

    status: int
    body: bytes
    request_id: str | None = None
    retry_after: tuple[str, ...] = ()
    date: str | None = None


class Loss(Enum):
    """What is known of a request that has no readable answer."""

    UNSENT = "unsent"  # certainly never left: DNS, refused, connect timeout
    UNANSWERED = "unanswered"  # may have been applied
    UNTRUSTED = "untrusted"  # certificate or host name wrong: certainly not sent


@dataclass(frozen=True, slots=True)
class Fault:
    """No answer. ``code`` is a stable word of ours, ``status`` an HTTP status if one was seen."""

    loss: Loss
    code: str
    message: str
    status: int | None = None
    request_id: str | None = None
