"""The verdict on an answer of the unEnroll API. Pure: no I/O, no clock.

Sources of the facts:

* the codes 3xxxxx: the vendor's page "Unenroll a Customer to from Milestone
  or Streak" (``POST /targetGroups/{targetGroupId}/targets/{targetId}/unEnroll``);
* 498, 4000, 4001, 320001, 521 and 310149: the vendor's pages on OAuth, authorisation, errors and
  warnings, and the enroll call.

HTTP 200 does not mean success: business errors come with 200 as well as with 4xx. So the codes in
the body count before the status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson

from bulk_unenroll.capillary.calls import Fault, Loss, Reply
from bulk_unenroll.capillary.codes import CODES, Reach
from bulk_unenroll.capillary.retry_after import retry_after_s
from bulk_unenroll.capillary.verdicts import (
    APPLIED,
    Block,
    Halt,
    InDoubt,
    Retry,
    Settle,
    Unauthorised,
    Unsent,
    Verdict,
)
from bulk_unenroll.model import State

NO_CODE: Final = "no_code"
"""The code of an error that has none. A status that is not 2xx counts more than such an error."""


def judge(answer: Reply | Fault, customer: int, now_s: float) -> Verdict:
    """Return the verdict: by the transport first, then the codes in the body, then the status.

    ``now_s`` is Unix time, used for a ``Retry-After`` date if the answer has no ``Date``.
    """
    if isinstance(answer, Fault):
        return _judge_fault(answer)
    document = _parse(answer.body)
    errors = list(_errors(document))
    verdict = _judge_errors(errors, answer, now_s) if errors else None
    if verdict:
        return verdict
    if 200 <= answer.status < 300:
        return _judge_success(answer, document, customer)
    return _judge_status(answer, errors, now_s)


def _judge_errors(errors: list[_Error], reply: Reply, now_s: float) -> Verdict | None:
    """The verdict by the codes in the body; None if the status decides."""
    known = [error for error in errors if error.code in CODES]
    if known:
        widest = max(known, key=lambda error: CODES[error.code].reach)  # of equals, the first
        return _judge_code(widest, reply, now_s)
    unknown = [error for error in errors if error.code != NO_CODE or reply.status < 300]
    if unknown and not _status_decides(reply.status):
        return Settle(State.REVIEW, unknown[0].code, unknown[0].message)
    return None


def _judge_fault(fault: Fault) -> Verdict:
    match fault.loss:
        case Loss.UNSENT:
            return Unsent(fault.code, fault.message)
        case Loss.UNTRUSTED:
            return Halt(Reach.RUN, fault.code, fault.message, left=False)
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
            return Block(meaning.reach, code, message)
        case "retry":
            return _retry(code, message, reply, now_s)
        case "refresh":
            return Unauthorised(code, message)
        case "halt":
            return Halt(meaning.reach, code, message, credentials=meaning.reach is Reach.RUN)


def _judge_success(reply: Reply, document: object, customer: int) -> Verdict:
    if reply.status == 204:
        return Settle(State.REVIEW, "http_204", "HTTP 204: an answer without content")
    if not isinstance(document, dict):
        return InDoubt("unreadable", f"HTTP {reply.status}, but the body is not a JSON object")
    data = document.get("data")
    if data is None:
        return Settle(State.REVIEW, "no_data", "an answer with neither errors nor data")
    echoed = _text(data)
    if echoed == str(customer):
        return APPLIED
    return Settle(State.SUCCEEDED, None, f"the answer names customer {echoed}", mismatch=True)


def _judge_status(reply: Reply, errors: list[_Error], now_s: float) -> Verdict:
    status, code = reply.status, f"http_{reply.status}"
    message = next((error.message for error in errors if error.message), f"HTTP {status}")
    if status in (401, 498):
        return Unauthorised(code, message)
    if status == 403:
        return Halt(Reach.RUN, code, message, credentials=True)
    if status == 429 or (status == 503 and reply.retry_after):
        return _retry(code, message, reply, now_s)
    if 300 <= status < 400 or status in (404, 405, 415):
        return Halt(Reach.RUN, code, f"{message}: check the base URL and its prefix")
    if 400 <= status < 500:
        return Settle(State.FAILED, code, message)
    return InDoubt(code, message)


def _status_decides(status: int) -> bool:
    """Whether the status counts more than an unknown code."""
    return status in (401, 403, 429, 498) or status >= 500


def _retry(code: str, message: str, reply: Reply, now_s: float) -> Retry:
    wait_s = retry_after_s(reply.retry_after, reply.date, now_s)
    return Retry(code, message, everyone=reply.status in (429, 503), retry_after_s=wait_s)


# ── the body ─────────────────────────────────────────────────────────────────────────────────────


def _parse(content: bytes) -> object:
    """The JSON in a body: UTF-8 (RFC 8259), or what some gateways make of it."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(content)
    for encoding in (json.detect_encoding(content), "latin-1"):
        with suppress(UnicodeDecodeError, orjson.JSONDecodeError):
            return orjson.loads(content.decode(encoding))
    return None


def _errors(document: object) -> Iterator[_Error]:
    """Every error of the three envelopes that the vendor documents, in order."""
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
    text = str(code).strip() if isinstance(code, int | str) else ""
    return _Error(text or NO_CODE, _text(message))


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # orjson reads deeper nesting than it writes
        return "(nested too deeply to show)"
