"""How calls are authorised: by a Basic header, or by one OAuth token that all calls share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import orjson
from aiohttp import encode_basic_auth
from pydantic import SecretStr
from yarl import URL

from bulk_unenroll.capillary.calls import Fault, Reply
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.credentials import Basic, Credentials, OAuth
from bulk_unenroll.capillary.judge import judge
from bulk_unenroll.capillary.redaction import Secrets, recordable
from bulk_unenroll.capillary.verdicts import Halt, InDoubt, Retry, Unauthorised, Unsent, Verdict

DEFAULT_TTL_S: Final = 300.0
"""Used where an answer has no ``ttlSeconds``: the value of the vendor's sample."""

RENEW_SHARE: Final = 0.2
"""A token is renewed when this share of its life is left, but at most ``RENEW_MOST_S``."""

RENEW_MOST_S: Final = 30.0

SAME_TOKEN_MOST: Final = 5
"""A refused token that is handed out again this often is no cache's doing: some 15 s of pauses."""


class Auth(Protocol):
    """Authorises calls. ``generation`` counts the tokens; Basic has none to renew."""

    renewable: bool
    generation: int

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that authorise a call now."""

    def stale(self, now_s: float) -> bool:
        """Whether ``renew`` must be called before the next call is sent."""

    def invalidate(self, generation: int) -> None:
        """Note that a call with the token of this generation was refused."""

    async def renew(self, now_s: float) -> Verdict | None:
        """Get a new token. Return None, or a verdict that says why there is none."""

    def redact(self, text: str | None) -> str | None:
        """Return ``text`` without the secrets that a server may have repeated in it."""


class BasicAuth:
    """``Authorization: Basic base64(till:md5hex(password))``."""

    renewable = False
    generation = 0

    def __init__(self, credentials: Basic) -> None:
        username = credentials.username.get_secret_value()
        digest = credentials.password_md5.get_secret_value()
        header = encode_basic_auth(username, digest)
        self.headers: Mapping[str, str] = {"Authorization": header}
        password = credentials.password.get_secret_value() if credentials.password else ""
        self._secrets = Secrets(header.removeprefix("Basic ").rstrip("="), digest, password)

    def stale(self, now_s: float) -> bool:
        """Return False: a password does not expire."""
        return False

    def invalidate(self, generation: int) -> None:
        """Do nothing: a password cannot be renewed."""

    async def renew(self, now_s: float) -> Verdict | None:
        """Return None: a password cannot be renewed."""
        return None

    def redact(self, text: str | None) -> str | None:
        """Return ``text`` without the header's value, the password and its hash."""
        return self._secrets.redact(text)


class TokenAuth:
    """``X-CAP-API-OAUTH-TOKEN``, see the vendor's page on OAuth. All calls share one token."""

    renewable = True

    def __init__(self, credentials: OAuth, client: Client) -> None:
        self._credentials = credentials
        self._client = client
        self._token = SecretStr("")
        self._refused = SecretStr("")
        self._times_the_same = 0
        self._renew_at_s = 0.0
        self._secrets = Secrets(*_pair(credentials).values())
        self.generation = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that carries the current token."""
        return {"X-CAP-API-OAUTH-TOKEN": self._token.get_secret_value()}

    def stale(self, now_s: float) -> bool:
        """Whether there is no token, or it was refused, or it expires soon."""
        return not self._token or now_s >= self._renew_at_s

    def invalidate(self, generation: int) -> None:
        """Drop the token, unless it is newer than the one that was refused."""
        if generation == self.generation and self._token:
            self._refused, self._token = self._token, SecretStr("")
            self._times_the_same = 0

    async def renew(self, now_s: float) -> Verdict | None:
        """Fetch a token. Return None, or the verdict on an answer that has none.

        If the token call got no answer, the verdict is ``Unsent``: no customer was called yet. So
        it is for the token that was refused, which a server may hand out again for a moment; only
        if it does so ``SAME_TOKEN_MOST`` times, nobody is let in.
        """
        content = orjson.dumps(_pair(self._credentials))
        answer = await self._client.post(URL(self._credentials.token_url), content, {})
        token, ttl_s = _token(answer)
        if token is None:
            return recordable(_no_token(answer, now_s), self.redact)
        if token == self._refused.get_secret_value():
            self._times_the_same += 1
            return _no_new_token(final=self._times_the_same >= SAME_TOKEN_MOST)
        self._token = SecretStr(token)
        self._secrets.add_token(token)
        self._renew_at_s = now_s + ttl_s - min(RENEW_SHARE * ttl_s, RENEW_MOST_S)
        self.generation += 1
        return None

    def redact(self, text: str | None) -> str | None:
        """Return ``text`` without tokens, client secret and client key."""
        return self._secrets.redact(text)


def make_auth(credentials: Credentials, client: Client) -> Auth:
    """The ``Auth`` for these credentials."""
    if isinstance(credentials, Basic):
        return BasicAuth(credentials)
    return TokenAuth(credentials, client)


def _token(answer: Reply | Fault) -> tuple[str | None, float]:
    """The token and its life in seconds: ``{"data": {"accessToken": ..., "ttlSeconds": ...}}``."""
    if isinstance(answer, Fault) or not 200 <= answer.status < 300:
        return None, 0.0
    try:
        data = orjson.loads(answer.body)["data"]
        token, ttl_s = data["accessToken"], data.get("ttlSeconds")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None, 0.0
    has_ttl = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool) and ttl_s > 0
    is_usable = isinstance(token, str) and token and token.isascii() and token.isprintable()
    return (token if is_usable else None), float(ttl_s) if has_ttl else DEFAULT_TTL_S


def _no_token(answer: Reply | Fault, now_s: float) -> Verdict:
    """The verdict on a token call that returned no token: refused, or failed and may work later."""
    verdict = judge(answer, 0, now_s)
    match verdict:
        case Halt() | Retry(everyone=True):
            return verdict
        case Unauthorised(code, message):
            return Halt(Reach.RUN, code, message, credentials=True)
        case Retry() | Unsent() | InDoubt():
            return Unsent("no_token", f"no token: {verdict.message}")
        case _:
            return Halt(Reach.RUN, "no_token", "the token URL returned no token", credentials=True)


def _no_new_token(*, final: bool) -> Verdict:
    message = "the token URL hands out the token again that the API refused"
    if final:
        return Halt(Reach.RUN, "no_token", message, credentials=True)
    return Unsent("no_token", message)


def _pair(credentials: OAuth) -> dict[str, str]:
    """The body of a token call."""
    return {
        "key": credentials.key.get_secret_value(),
        "secret": credentials.secret.get_secret_value(),
    }
