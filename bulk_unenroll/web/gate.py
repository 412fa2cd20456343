"""Who may ask for what: host, origin, identity and roles. Pure, but for the clock of sessions.

Sources: the ``Host`` check is against DNS rebinding; ``Sec-Fetch-Site`` and ``Origin`` against
requests that another site made (Fetch Metadata, W3C; RFC 6454).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

VIEW, PLAN, CONFIRM, IDS = "view", "plan", "confirm", "ids"
ROLES: Final = (VIEW, PLAN, CONFIRM, IDS)
"""To see counts and reports; to upload and plan; to confirm and stop; to see customers' ids."""
SAFE: Final = ("GET", "HEAD")
FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
IDLE_S: Final = 12 * 3600.0
PROOF_HEADER: Final = "X-Proxy-Secret"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    name: str
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        """Whether this person has a role."""
        return role in self.roles


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request the gate looks at. ``headers`` holds every value of a header."""

    method: str
    headers: Mapping[str, Sequence[str]]
    content_type: str = ""
    session: str = ""

    def one(self, name: str) -> str | None:
        """The only value of a header; None if there is none, or more than one."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status, and why, in words."""

    status: int
    why: str


class Identity(Protocol):
    """How a person is known."""

    def person(self, asked: Asked, now_s: float) -> Person | None:
        """Who asks; None if nobody who is known."""


@dataclass(slots=True)
class OwnMachine:
    """One person, who opened the link that was printed: it holds ``token``, once for a session."""

    name: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _seen_s: dict[str, float] = field(default_factory=dict)

    def open(self, token: str, now_s: float) -> str | None:
        """A new session for the right token."""
        if not _same(token, self.token):
            return None
        session = secrets.token_urlsafe(32)
        self._seen_s[session] = now_s
        return session

    def person(self, asked: Asked, now_s: float) -> Person | None:
        """Who has this session, which ends after twelve idle hours."""
        seen_s = self._seen_s.get(asked.session)
        if seen_s is None or now_s - seen_s > IDLE_S:
            self._seen_s.pop(asked.session, None)
            return None
        self._seen_s[asked.session] = now_s
        return Person(self.name, frozenset(ROLES))


@dataclass(frozen=True, slots=True)
class BehindProxy:
    """People whom a proxy signed in. It names them in ``header``, and proves itself by a secret."""

    secret: str = field(repr=False)
    people: Mapping[str, frozenset[str]]
    header: str = "X-Forwarded-User"

    def person(self, asked: Asked, now_s: float) -> Person | None:
        """Whom the proxy names, if that is one person of the list."""
        given, name = asked.one(PROOF_HEADER), asked.one(self.header)
        if given is None or name is None or not _same(given, self.secret):
            return None
        roles = self.people.get(name)
        return None if roles is None else Person(name, roles)


def refused_host(asked: Asked, hosts: Collection[str]) -> Refusal | None:
    """Why this server does not answer for the ``Host`` of a request; None if it does."""
    host = asked.one("Host")
    if not host:
        return Refusal(400, "The request does not say which host it is for.")
    if host.lower() not in hosts:
        return Refusal(421, "This address is not served here.")
    return None


def refused_origin(asked: Asked, hosts: Collection[str]) -> Refusal | None:
    """Why a request that changes something is refused; None if this page itself made it."""
    if asked.method in SAFE:
        return None
    site, origin = asked.one("Sec-Fetch-Site"), asked.one("Origin")
    is_own = site == "same-origin" if site is not None else _host_of(origin) in hosts
    if not is_own or (origin is not None and _host_of(origin) not in hosts):
        return Refusal(403, "This request came from another site, so nothing was done.")
    if asked.method == "POST" and asked.content_type not in FORMS:
        return Refusal(403, "This request is not one of this page's forms.")
    return None


def _host_of(origin: str | None) -> str:
    return urlsplit(origin).netloc.lower() if origin else ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
