"""Makes a server's text safe to record and show: no secrets, nothing unprintable."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from bulk_unenroll.capillary.codes import CODES
from bulk_unenroll.capillary.verdicts import Verdict

MAX_MESSAGE_CHARS: Final = 2000
MAX_CODE_CHARS: Final = 64
MAX_REQUEST_ID_CHARS: Final = 200

UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tab and newline, which a terminal may obey; half surrogate pairs."""

Redact = Callable[[str | None], str | None]


def recordable(verdict: Verdict, redact: Redact) -> Verdict:
    """Return ``verdict`` with a code and a message that may be recorded and shown: see ``legible``.

    A code of the table is never redacted, even if it equals a secret.
    """
    safe: dict[str, Any] = {}
    if verdict.code and verdict.code not in CODES:
        safe["code"] = legible(verdict.code, redact, MAX_CODE_CHARS)
    if verdict.message:
        safe["message"] = legible(verdict.message, redact, MAX_MESSAGE_CHARS)
    return replace(verdict, **safe) if safe else verdict


def legible(text: str, redact: Redact, most_chars: int) -> str:
    """Return a server's text redacted, with unprintable characters escaped, cut at ``most_chars``.

    Redacted first: part of a secret would not be recognised.
    """
    return UNPRINTABLE.sub(_escape, redact(text) or "")[:most_chars]


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


KNOWN_TOKENS: Final = 100
"""How many tokens are redacted: calls in flight may still use an earlier one."""


SHORTEST_SECRET_CHARS: Final = 4
"""Redacting shorter ones would break up words and hide nothing."""


class Secrets:
    """Redacts secrets in every spelling in which a server may repeat them."""

    def __init__(self, *lasting: str) -> None:
        self._lasting = lasting
        self._tokens: deque[str] = deque(maxlen=KNOWN_TOKENS)
        self._compile()

    def add_token(self, token: str) -> None:
        """Redact this token too; beyond ``KNOWN_TOKENS`` the oldest is dropped."""
        self._tokens.append(token)
        self._compile()

    def redact(self, text: str | None) -> str | None:
        """Return ``text`` with ``***`` for every secret in it."""
        return text and self._pattern.sub("***", text)

    def _compile(self) -> None:
        known = (*self._lasting, *self._tokens)
        long = (secret for secret in known if len(secret) >= SHORTEST_SECRET_CHARS)
        spellings = {spelling for secret in long for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)  # one may contain another
        matches_nothing = "(?!)"
        pattern = "|".join(map(re.escape, longest_first)) or matches_nothing
        self._pattern = re.compile(pattern, re.IGNORECASE)


def _spellings(secret: str) -> set[str]:
    """The secret as it is, as in JSON (which may also escape the slash), and as in a URL."""
    in_json = json.dumps(secret)[1:-1]
    return {secret, in_json, in_json.replace("/", "\\/"), quote(secret, safe="")}
