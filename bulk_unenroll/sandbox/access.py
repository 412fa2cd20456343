"""Which calls are admitted: credentials, tokens, and the server's own rate limit."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from bulk_unenroll.sandbox import answers
from bulk_unenroll.sandbox.answers import Answer
from bulk_unenroll.sandbox.scenario import CredentialSpec, Scenario

WINDOW_S: Final = 60.0


class AccessControl:
    """Admits or refuses calls. ``clock`` is in seconds and never goes back."""

    def __init__(self, scenario: Scenario, clock: Callable[[], float]) -> None:
        self.tokens_given = 0
        self._scenario = scenario
        self._clock = clock
        self._basic = _basic(scenario.credentials)
        self._expiries_s: dict[str, float] = {}
        self._starts_s: deque[float] = deque()

    def refuse(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer that refuses a call with these headers, or None to admit it."""
        return self._refuse_caller(headers) or self._refuse_rate()

    def give_token(self, content: bytes) -> Answer:
        """Return the documented answer to a request for a token."""
        credentials = self._scenario.credentials
        try:
            request = json.loads(content)
            pair = request["key"], request["secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            pair = None, None
        if pair != (credentials.client_key, credentials.client_secret):
            return answers.failure(320001, self._scenario.status_of(320001))
        token = uuid.uuid4().hex
        ttl_s = self._scenario.oauth.ttl_s
        self._expiries_s[token] = self._clock() + ttl_s
        self.tokens_given += 1
        data = {"accessToken": token, "ttlSeconds": ttl_s}
        return answers.document(200, {"data": data, "errors": None})

    def reset(self) -> None:
        """Forget earlier calls. Tokens stay valid, so that their holders can go on."""
        self._starts_s.clear()
        self.tokens_given = 0

    def _refuse_caller(self, headers: Mapping[str, str]) -> Answer | None:
        token = headers.get("X-CAP-API-OAUTH-TOKEN")
        if token is None:
            is_valid = headers.get("Authorization") == self._basic
            return None if is_valid else answers.unauthorised()
        expiry_s = self._expiries_s.get(token)
        if expiry_s is None:
            return answers.flat(401, 401, "Token invalid")
        return None if self._clock() < expiry_s else answers.failure(498, 498, "Token expired")

    def _refuse_rate(self) -> Answer | None:
        limit = self._scenario.limits.per_minute
        if limit is None:
            return None
        now_s = self._clock()
        while self._starts_s and self._starts_s[0] <= now_s - WINDOW_S:
            self._starts_s.popleft()
        if len(self._starts_s) < limit:
            self._starts_s.append(now_s)
            return None
        if not self._scenario.limits.retry_after:
            return Answer(429)
        wait_s = max(1, math.ceil(self._starts_s[0] + WINDOW_S - now_s))
        return Answer(429, b"", {"Retry-After": str(wait_s)})


def _basic(credentials: CredentialSpec) -> str:
    """``Basic base64(till:md5hex(password))``, as documented."""
    hashed = hashlib.md5(credentials.password.encode(), usedforsecurity=False).hexdigest()
    pair = f"{credentials.username}:{hashed}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
