"""The code table: what each code means, which verdict it leads to, and what the user can do.

``CODES`` are the error codes in the body of an answer, which decide the verdict. ``WORDS`` are this
program's own codes for answers without one (``http_500``, ``timeout``), which only explain.
Sources: the vendor's page on the unenroll call (**page**), and its other public pages, on OAuth,
authorisation, errors and the enroll call (**docs**).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal


class Reach(IntEnum):
    """What an error affects. Of several errors, the one that affects most decides."""

    ROW = 1
    TARGET = 2
    GROUP = 3
    ORG = 4
    RUN = 5


VerdictName = Literal["not_enrolled", "failed", "review", "blocked", "retry", "refresh", "halt"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """An error code of the API: its verdict, what it affects, what the vendor says, what to do.

    ``message_explains``: only the server's message says what happened.
    """

    verdict: VerdictName
    reach: Reach
    says: str
    advice: str
    source: Literal["page", "docs"] = "docs"
    message_explains: bool = False

    @property
    def leads_to(self) -> str:
        """What happens to the row, in the words of the states."""
        if self.verdict == "blocked":
            return "blocked, with its whole " + self.reach.name.lower()
        if self.verdict == "halt":
            return "stops the " + self.reach.name.lower()
        return {"retry": "retried", "refresh": "retried with a new token, then stops the run"}.get(
            self.verdict, self.verdict
        )


NOT_APPLIED: Final = "not applied, and tried several times; if it failed, retry this code"
"""What to do is read when a run is over: then nothing is tried again by itself."""

CODES: Final[dict[str, Meaning]] = {
    "310149": Meaning(
        "not_enrolled", Reach.ROW, "no record for this user and target", "nothing to do"
    ),
    "310011": Meaning(
        "failed", Reach.ROW, "invalid user id", "check customerId, then retry this code", "page"
    ),
    "310019": Meaning(
        "failed", Reach.ROW, "target period not found", "check the target's period", "page"
    ),
    "300004": Meaning("failed", Reach.ROW, "invalid input", "check the row's values", "page"),
    "310119": Meaning(
        "review",
        Reach.ROW,
        "user already enrolled for the target",
        "unexpected for unenroll: check this customer by hand",
        "page",
    ),
    "310018": Meaning(
        "blocked",
        Reach.TARGET,
        "target rule not found",
        "check targetId: the rule's id, not a customer's target id",
        "page",
    ),
    "310017": Meaning(
        "blocked",
        Reach.GROUP,
        "target group not found or deactivated",
        "check targetGroupId",
        "page",
    ),
    "310141": Meaning(
        "halt", Reach.ORG, "data scope ALL is not supported", "use SELF or OTHER", "page"
    ),
    "310144": Meaning(
        "halt",
        Reach.ORG,
        "connected orgs not set properly in headers",
        "check that the org is connected, and the base URL",
        "page",
    ),
    "521": Meaning(
        "retry",
        Reach.ROW,
        "multiple actions for the same customer",
        NOT_APPLIED,
    ),
    "4001": Meaning("retry", Reach.ROW, "authorisation service down", NOT_APPLIED),
    "401": Meaning("refresh", Reach.RUN, "token invalid", "check the credentials"),
    "498": Meaning("refresh", Reach.RUN, "token expired", "refreshed automatically"),
    "403": Meaning("halt", Reach.RUN, "access denied", "ask for the default access group"),
    "4000": Meaning("halt", Reach.RUN, "access denied", "ask for the default access group"),
    "320001": Meaning(
        "halt", Reach.RUN, "invalid client key and secret", "check the client key and secret"
    ),
}


@dataclass(frozen=True, slots=True)
class Word:
    """A code of this program for an answer without one: the state it leads to, and what to do.

    ``message_explains``: only the server's message says what happened.
    """

    leads_to: str
    says: str
    advice: str
    message_explains: bool = False


WORDS: Final[dict[str, Word]] = {
    "http_204": Word(
        "review", "HTTP 204: an answer without content", "check this customer by hand"
    ),
    "no_data": Word(
        "review", "an answer with neither errors nor data", "check this customer by hand"
    ),
    "no_code": Word("review", "an error without a code", "read the message", True),
    "http_401": Word("stops the run", "unauthorised", "check the credentials"),
    "http_403": Word("stops the run", "access denied", "ask for the default access group"),
    "no_token": Word(
        "pending, or stops the run", "the token URL gave no token", "check the credentials"
    ),
    "http_3xx": Word("stops the run", "redirected to another address", "check the base URL"),
    "http_404": Word("stops the run", "no such path on this host", "check the base URL's prefix"),
    "http_405": Word("stops the run", "method not allowed there", "check the base URL's prefix"),
    "http_415": Word("stops the run", "content not accepted there", "check the base URL's prefix"),
    "http_429": Word(
        "failed after the last attempt", "too many requests", "lower --rate, then retry this code"
    ),
    "http_503": Word(
        "retried with Retry-After, else in_doubt", "service unavailable", "run again later"
    ),
    "http_4xx": Word("failed", "refused for another reason", "read the message", True),
    "http_5xx": Word(
        "in_doubt", "server error, perhaps after applying", "resume soon, or check by hand"
    ),
    "timeout": Word("in_doubt", "no answer within --read-timeout", "resume soon, or check by hand"),
    "connection_lost": Word(
        "in_doubt",
        "connection closed before the answer was complete",
        "resume soon, or check by hand",
    ),
    "unreadable": Word(
        "in_doubt", "the answer was not a JSON object", "resume soon, or check by hand"
    ),
    "oversized": Word(
        "in_doubt", "the answer was longer than 1 MiB", "resume soon, or check by hand"
    ),
    "killed": Word(
        "in_doubt", "the program ended before the answer came", "resume soon, or check by hand"
    ),
    "protected": Word(
        "blocked, or an invalid row", "on a never-list", "nothing: this customer is never called"
    ),
    "unreachable": Word(
        "pending", "host not found, or connection refused", "check the network and base URL"
    ),
    "proxy": Word("pending", "the proxy did not let it through", "check HTTPS_PROXY and NO_PROXY"),
    "too_many_files": Word(
        "pending", "the system allows no more open files", "raise ulimit -n, or lower --concurrency"
    ),
    "certificate": Word("stops the run", "wrong certificate or host name", "check the base URL"),
}


def advice(code: str | None) -> str:
    """What to do about ``code``, which may be any code in a ledger."""
    if code is None:
        return ""
    meaning = _meaning(code)
    return meaning.advice if meaning else "not documented: read the message"


def says(code: str | None) -> str:
    """What ``code`` means, if that is documented."""
    if code is None:
        return ""
    meaning = _meaning(code)
    return meaning.says if meaning else "not documented"


def message_explains(code: str | None) -> bool:
    """Whether only the server's message says what happened."""
    if code is None:
        return False
    meaning = _meaning(code)
    return meaning is None or meaning.message_explains


def _meaning(code: str) -> Meaning | Word | None:
    return CODES.get(code) or WORDS.get(code) or WORDS.get(f"{code[:-2]}xx")
