"""The unEnroll API's rules, with no I/O: build a request, judge an answer.

Facts and their sources:

* the call, its body and the codes 3xxxxx: the vendor's page "Unenroll a Customer to from Milestone
  or Streak" (``POST /targetGroups/{targetGroupId}/targets/{targetId}/unEnroll``);
* scope headers: the vendor's page on connected orgs data scopes;
* 498, 4000, 4001, 320001, 521 and 310149: the vendor's pages on OAuth, authorisation, errors and
  warnings, and the enroll call.

HTTP 200 is not success: business errors are known to come with 200 as well as with 4xx. So the
body's codes are read before the status.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final, Literal

import orjson

from bulk_unenroll.capillary.codes import CODES, Scope
from bulk_unenroll.model import Key, State

RETRY_AFTER_CAP_S: Final = 3600.0
"""No ``Retry-After`` stalls a run for longer than this."""

MAX_ANSWER_BYTES: Final = 1 << 20
MAX_MESSAGE_CHARS: Final = 2000
MAX_CODE_CHARS: Final = 64
MAX_REQUEST_ID_CHARS: Final = 200

UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What could command a terminal, or stand in no file: controls but tab and newline, half pairs."""

NO_CODE: Final = "no_code"
"""Stands for the code of an error that has none. Such an error gives way to a bad status."""


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def path(key: Key) -> str:
    """The path of the call, below the base URL and its prefix."""
    return f"/targetGroups/{key.group}/targets/{key.target}/unEnroll"


def body(key: Key) -> bytes:
    """The JSON body: always exactly one customer, for the API has no batch."""
    return b'[{"customerId":%d}]' % key.customer


def scope_headers(org: int | None) -> dict[str, str]:
    """``DATA-SCOPE`` and ``DATA-SCOPE-ORG`` for a connected org; none at all for SELF."""
    return {} if org is None else {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": str(org)}


# ── what came back ───────────────────────────────────────────────────────────────────────────────


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


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Settle:
    """The answer is final for this customer/target. ``mismatch``: ``data`` echoes somebody else."""

    state: Literal[State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW]
    code: str | None
    message: str | None
    mismatch: bool = False


APPLIED: Final = Settle(State.SUCCEEDED, None, None)


@dataclass(frozen=True, slots=True)
class Block:
    """The target, or the whole group, is unknown: its remaining rows are not sent."""

    scope: Scope
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Certainly not applied. ``everyone``: the API asks all callers to wait."""

    code: str
    message: str
    everyone: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Certainly never left this machine."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """May have been applied; no answer tells."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The token or the password was not accepted."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Going on makes no sense: for this org, or for the run. ``credentials``: exit 77, else 78."""

    scope: Scope
    code: str
    message: str
    credentials: bool = False


Verdict = Settle | Block | Retry | Unsent | InDoubt | Unauthorised | Halt


# ── judging ──────────────────────────────────────────────────────────────────────────────────────


def judge(answer: Reply | Fault, customer: int, now_s: float) -> Verdict:
    """Judge an answer: transport first, then the body's error codes, then the status.

    ``now_s`` is Unix time, used for a ``Retry-After`` date where the answer carries no ``Date``.
    """
    if isinstance(answer, Fault):
        return _judge_fault(answer)
    document = _parse(answer.body)
    errors = list(_errors(document))
    if errors:
        found = _judge_errors(errors, answer, now_s)
        if found:
            return found
    if 200 <= answer.status < 300:
        return _judge_success(answer, document, customer)
    return _judge_status(answer, errors, now_s)


def _judge_errors(errors: list[_Error], reply: Reply, now_s: float) -> Verdict | None:
    """What the body's codes say; None where they leave it to the status."""
    known = [error for error in errors if error.code in CODES]
    if known:
        gravest = max(known, key=lambda error: CODES[error.code].scope)  # the first among equals
        return _judge_code(gravest, reply, now_s)
    unknown = [error for error in errors if error.code != NO_CODE or reply.status < 300]
    if unknown and not _status_speaks(reply.status):
        return Settle(State.REVIEW, unknown[0].code, unknown[0].message)
    return None


def _judge_fault(fault: Fault) -> Verdict:
    match fault.loss:
        case Loss.UNSENT:
            return Unsent(fault.code, fault.message)
        case Loss.UNTRUSTED:
            return Halt(Scope.RUN, fault.code, fault.message)
        case Loss.UNANSWERED:
            return InDoubt(fault.code, fault.message)


@dataclass(frozen=True, slots=True)
class _Error:
    code: str
    message: str


def _judge_code(error: _Error, reply: Reply, now_s: float) -> Verdict:
    meaning = CODES[error.code]
    code, message = error.code, error.message or meaning.says
    match meaning.verdict:
        case "not_enrolled":
            return Settle(State.NOT_ENROLLED, code, message)
        case "failed":
            return Settle(State.FAILED, code, message)
        case "review":
            return Settle(State.REVIEW, code, message)
        case "blocked":
            return Block(meaning.scope, code, message)
        case "retry":
            return _retry(code, message, reply, now_s)
        case "refresh":
            return Unauthorised(code, message)
        case "halt":
            return Halt(meaning.scope, code, message, credentials=meaning.scope is Scope.RUN)


def _judge_success(reply: Reply, document: object, customer: int) -> Verdict:
    if reply.status == 204:
        return Settle(State.REVIEW, "http_204", "answered 204: no content to judge by")
    if not isinstance(document, dict):
        return InDoubt("unreadable", f"HTTP {reply.status}, but the body is no JSON object")
    data = document.get("data")
    if data is None:
        return Settle(State.REVIEW, "no_data", "no errors, but no data either")
    named = _text(data)
    if named == str(customer):
        return APPLIED
    return Settle(State.SUCCEEDED, None, f"the answer names customer {named}", mismatch=True)


def _judge_status(reply: Reply, errors: list[_Error], now_s: float) -> Verdict:
    status, code = reply.status, f"http_{reply.status}"
    message = next((error.message for error in errors if error.message), f"HTTP {status}")
    if status in (401, 498):
        return Unauthorised(code, message)
    if status == 403:
        return Halt(Scope.RUN, code, message, credentials=True)
    if status == 429 or (status == 503 and reply.retry_after):
        return _retry(code, message, reply, now_s)
    if 300 <= status < 400 or status in (404, 405, 415):
        return Halt(Scope.RUN, code, f"{message}: is the base URL, prefix included, right?")
    if 400 <= status < 500:
        return Settle(State.FAILED, code, message)
    return InDoubt(code, message)


def _status_speaks(status: int) -> bool:
    """Whether an unknown code gives way to the status."""
    return status in (401, 403, 429, 498) or status >= 500


def _retry(code: str, message: str, reply: Reply, now_s: float) -> Retry:
    wait_s = retry_after_s(reply.retry_after, reply.date, now_s)
    return Retry(code, message, everyone=reply.status in (429, 503), retry_after_s=wait_s)


# ── the body ─────────────────────────────────────────────────────────────────────────────────────


def _parse(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _errors(document: object) -> Iterator[_Error]:
    """Every error in the three envelopes that the vendor documents, in the order listed."""
    if not isinstance(document, dict):
        return
    listed = document.get("errors")
    if listed is not None and listed != []:
        for item in listed if isinstance(listed, list) else [listed]:
            yield _error(item, "code", "message")
    if document.get("errorCode") is not None:
        yield _error(document, "errorCode", "errorMessage")
    response = document.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    if isinstance(status, dict) and status.get("code") not in (None, 200, "200"):
        yield _error(status, "code", "message")


def _error(item: object, code_key: str, message_key: str) -> _Error:
    if not isinstance(item, dict):
        return _Error(NO_CODE, _text(item))
    code, message = item.get(code_key), item.get(message_key)
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    word = str(code).strip() if isinstance(code, int | str) else ""
    return _Error(word or NO_CODE, _text(message))


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # it reads deeper nesting than it writes
        return "(nested too deeply to show)"


# ── what may be written down ─────────────────────────────────────────────────────────────────────

Redact = Callable[[str | None], str | None]


def recordable(verdict: Verdict, redact: Redact) -> Verdict:
    """``verdict`` in words that may be recorded and shown: see ``legible``.

    A code that stands in the table is nobody's secret, even where it looks like one.
    """
    words: dict[str, Any] = {}
    if verdict.code and verdict.code not in CODES:
        words["code"] = legible(verdict.code, redact, MAX_CODE_CHARS)
    if verdict.message:
        words["message"] = legible(verdict.message, redact, MAX_MESSAGE_CHARS)
    return replace(verdict, **words) if words else verdict


def legible(text: str, redact: Redact, most_chars: int) -> str:
    """A server's words without the secrets that ``redact`` knows, unprintables escaped, cut short.

    In this order: half a secret would not be recognised.
    """
    return UNPRINTABLE.sub(_escaped, redact(text) or "")[:most_chars]


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


# ── Retry-After ──────────────────────────────────────────────────────────────────────────────────


def retry_after_s(values: tuple[str, ...], date: str | None, now_s: float) -> float | None:
    """Seconds to wait by ``Retry-After`` (RFC 9110, section 10.2.3), the longest if it came twice.

    A date is read against the answer's own ``Date``, so a skewed clock on either side does not
    matter. Garbage and negative figures count as absent. Never above ``RETRY_AFTER_CAP_S``.
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
