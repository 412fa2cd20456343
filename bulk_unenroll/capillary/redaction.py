"""What may be recorded and shown of a server's words: no secrets, nothing unprintable."""

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
"""What could command a terminal, or stand in no file: controls but tab and newline, half pairs."""


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


KNOWN_TOKENS: Final = 100
"""How many are kept out of records: calls in flight may still carry an earlier one."""


SHORTEST_SECRET_CHARS: Final = 4
"""Shorter ones would take words apart, and hide nothing."""


class Secrets:
    """What must not be written down, in every spelling in which a server may repeat it."""

    def __init__(self, *lasting: str) -> None:
        self._lasting = lasting
        self._tokens: deque[str] = deque(maxlen=KNOWN_TOKENS)
        self._compile()

    def add_token(self, token: str) -> None:
        """Know one more; the oldest beyond ``KNOWN_TOKENS`` is forgotten."""
        self._tokens.append(token)
        self._compile()

    def redact(self, text: str | None) -> str | None:
        """``text`` with ``***`` for every secret in it."""
        return text and self._pattern.sub("***", text)

    def _compile(self) -> None:
        known = (*self._lasting, *self._tokens)
        long = (secret for secret in known if len(secret) >= SHORTEST_SECRET_CHARS)
        spellings = {spelling for secret in long for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)  # one may hold another
        nothing = "(?!)"
        words = "|".join(map(re.escape, longest_first)) or nothing
        self._pattern = re.compile(words, re.IGNORECASE)


def _spellings(secret: str) -> set[str]:
    """As it is, in JSON (which may escape the slash, too), and in a URL."""
    in_json = json.dumps(secret)[1:-1]
    return {secret, in_json, in_json.replace("/", "\\/"), quote(secret, safe="")}
