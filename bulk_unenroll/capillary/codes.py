"""The code table: what each error code means, what follows from it, and what to tell the operator.

Two kinds stand in it: codes that the API puts into an answer's body, which decide the verdict, and
words of ours for answers that carry no code (``http_500``, ``timeout``), which only explain.
Sources: the vendor's page of the unenroll call (**page**); its other public pages, on OAuth,
authorisation, errors and the enroll call (**docs**); this program (**ours**).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal


class Reach(IntEnum):
    """Whom an error concerns. The gravest among several wins."""

    ROW = 1
    TARGET = 2
    GROUP = 3
    ORG = 4
    RUN = 5


VerdictName = Literal["not_enrolled", "failed", "review", "blocked", "retry", "refresh", "halt"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """One body code: its verdict, whom it concerns, what the vendor says, what to do.

    ``message_explains``: only the server's own message says more.
    """

    verdict: VerdictName
    reach: Reach
    says: str
    advice: str
    source: Literal["page", "docs"] = "docs"
    message_explains: bool = False

    @property
    def leads_to(self) -> str:
        """What follows from it, in the words of the states."""
        if self.verdict == "blocked":
            return "blocked, with the whole " + self.reach.name.lower()
        if self.verdict == "halt":
            return "stops the " + self.reach.name.lower()
        return {"retry": "retried", "refresh": "a new token, then stops the run"}.get(
            self.verdict, self.verdict
        )


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
        "unexpected on unenroll: look at this customer by hand",
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
        "is the org connected? is the endpoint right?",
        "page",
    ),
    "521": Meaning(
        "retry",
        Reach.ROW,
        "multiple actions for the same customer",
        "retried by itself; not applied",
    ),
    "4001": Meaning(
        "retry", Reach.ROW, "authorisation service down", "retried by itself; not applied"
    ),
    "401": Meaning("refresh", Reach.RUN, "token invalid", "check the credentials"),
    "498": Meaning("refresh", Reach.RUN, "token expired", "refreshed by itself"),
    "403": Meaning("halt", Reach.RUN, "access denied", "ask for the default access group"),
    "4000": Meaning("halt", Reach.RUN, "access denied", "ask for the default access group"),
    "320001": Meaning(
        "halt", Reach.RUN, "invalid client key and secret", "check the client key and secret"
    ),
}


@dataclass(frozen=True, slots=True)
class Word:
    """One word of ours for an answer without a code: the state it leads to, and what to do.

    ``message_explains``: only the server's own message says more.
    """

    leads_to: str
    says: str
    advice: str
    message_explains: bool = False


WORDS: Final[dict[str, Word]] = {
    "http_204": Word("review", "answered 204, no content", "look at this customer by hand"),
    "no_data": Word("review", "no errors, but no data either", "look at this customer by hand"),
    "no_code": Word("review", "an error without a code", "read the message", True),
    "http_401": Word("stops the run", "unauthorised", "check the credentials"),
    "http_403": Word("stops the run", "access denied", "ask for the default access group"),
    "http_404": Word("stops the run", "no such path on this host", "check the base URL's prefix"),
    "http_429": Word(
        "failed after the last attempt", "too many requests", "lower --rate, then retry this code"
    ),
    "http_503": Word(
        "retried with Retry-After, else in_doubt", "service unavailable", "run again later"
    ),
    "http_4xx": Word("failed", "refused for another reason", "read the message", True),
    "http_5xx": Word(
        "in_doubt", "the server failed, perhaps after applying", "resume soon, or look by hand"
    ),
    "timeout": Word("in_doubt", "no answer within --read-timeout", "resume soon, or look by hand"),
    "connection_lost": Word(
        "in_doubt", "closed before the answer was whole", "resume soon, or look by hand"
    ),
    "unreadable": Word("in_doubt", "the answer was no JSON object", "resume soon, or look by hand"),
    "oversized": Word("in_doubt", "the answer was over 1 MiB", "resume soon, or look by hand"),
    "killed": Word(
        "in_doubt", "the program ended before the answer came", "resume soon, or look by hand"
    ),
    "unreachable": Word(
        "pending", "host not found, or the connection refused", "check the network and base URL"
    ),
    "certificate": Word("stops the run", "certificate or host name wrong", "check the base URL"),
}


def advice(code: str | None) -> str:
    """What to do about ``code``, for any code that a ledger can hold."""
    if code is None:
        return ""
    meaning = _meaning(code)
    return meaning.advice if meaning else "not documented: read the message"


def says(code: str | None) -> str:
    """What a code means, as far as it is documented."""
    if code is None:
        return ""
    meaning = _meaning(code)
    return meaning.says if meaning else "not documented"


def message_explains(code: str | None) -> bool:
    """Whether only the server's own message says what happened."""
    if code is None:
        return False
    meaning = _meaning(code)
    return meaning is None or meaning.message_explains


def _meaning(code: str) -> Meaning | Word | None:
    return CODES.get(code) or WORDS.get(code) or WORDS.get(f"{code[:-2]}xx")
