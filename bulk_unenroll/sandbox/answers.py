"""The API's answers, in the envelopes that are documented or were observed. No state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from bulk_unenroll.sandbox.rules import Rule
from bulk_unenroll.sandbox.scenario import Scenario, number_of

MESSAGES: Final = {
    310011: "Invalid userId",
    310017: "Target group not found or deactivated",
    310018: "Target rule not found",
    310019: "Target period not found",
    310119: "User already enrolled for the target",
    310141: "Datascope 'ALL' is not supported for this 'API'",
    310144: "Connected Orgs not set properly in Headers",
    310149: "No record found for the user and target",
    300004: "Invalid input",
    320001: "Invalid client key and secret",
    4000: "Access denied",
    4001: "Authorisation service unavailable",
    521: "Multiple actions for the same customer",
}
FLAT: Final = frozenset({4000, 4001})
"""Codes of the authorisation service, which come in the flat envelope."""

JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
HTML: Final[Mapping[str, str]] = {"Content-Type": "text/html"}
PAGE: Final = "<html><head><title>{0}</title></head><body><h1>{0} Gateway</h1></body></html>"
OVERSIZE_BYTES: Final = 3 << 20


class Answer(NamedTuple):
    """Status, body and headers of an answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


def success(customer: int) -> Answer:
    """Return the documented answer to a successful call."""
    return Answer(200, b'{"data": %d, "errors": null, "warnings": null}' % customer, JSON)


def failure(code: int | str | None, status: int, message: str | None = None) -> Answer:
    """Return the documented answer with one error."""
    text = message or MESSAGES.get(number_of(code), "as the scenario says")
    if code in FLAT:
        return flat(status, code, text)
    errors = [{"code": code, "message": text}]
    return document(status, {"data": None, "errors": errors, "warnings": None})


def flat(status: int, code: int | str | None, message: str) -> Answer:
    """Return the flat envelope, as observed with authorisation errors."""
    return document(status, {"errorCode": code, "errorMessage": message})


def unauthorised() -> Answer:
    """Return the envelope observed for a wrong till or password. "true" is a string, indeed."""
    status = {"success": "true", "code": 401, "message": "Unauthorised"}
    return document(401, {"response": {"status": status}})


def document(status: int, content: object) -> Answer:
    """Return ``content`` as JSON."""
    return Answer(status, json.dumps(content).encode(), JSON)


def scripted(rule: Rule, scenario: Scenario) -> Answer:
    """Return the answer that a rule gives in place of the API."""
    headers = dict(rule.headers)
    if rule.retry_after is not None:
        headers["Retry-After"] = rule.retry_after
    if rule.act == "redirect":
        return Answer(rule.status or 302, b"", {"Location": "/elsewhere", **headers})
    if rule.act == "html":
        status = rule.status or 502
        page = PAGE.format(status) if rule.body is None else rule.body
        return Answer(status, page.encode(), {**HTML, **headers})
    if rule.body is not None:
        return Answer(rule.status or 200, rule.body.encode(), {**JSON, **headers})
    if rule.code is None and rule.message is None:
        return Answer(rule.status or 200, b"", headers)
    answer = failure(rule.code, rule.status or scenario.status_of(rule.code), rule.message)
    return answer._replace(headers={**JSON, **headers})


def corrupted(act: str, answer: Answer) -> Answer:
    """Return a documented answer as the act ``act`` changes it."""
    match act:
        case "garbage":
            return Answer(200, b"\x00\xff{", JSON)
        case "oversized":
            return answer._replace(body=answer.body + b" " * OVERSIZE_BYTES)
        case "errors_with_200":
            return answer._replace(status=200)
        case "empty_204":
            return Answer(204)
    return answer
