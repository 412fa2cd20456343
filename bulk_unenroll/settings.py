"""Options and environment, checked once, as frozen values. Secrets: from the environment only."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bulk_unenroll.errors import Misconfigured

TOKEN_PATH: Final = "/v3/oauth/token/generate"  # noqa: S105 - a path, no secret
RESEND_WINDOW_S: Final = 900.0
"""An unanswered attempt is sent again by itself only while it is younger than this."""


@dataclass(frozen=True, slots=True)
class Share:
    """``12`` rows, or ``5%`` of them."""

    value: float
    percent: bool

    def exceeded(self, part: int, whole: int, *, least: int = 0) -> bool:
        """Whether ``part`` of ``whole`` is more than this; a percentage only from ``least`` on."""
        if not self.percent:
            return part > self.value
        return whole >= max(least, 1) and part * 100 > self.value * whole


RUN_MAX_INVALID: Final = Share(10, percent=True)
"""``--max-invalid`` of a run, where it is not given."""

UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}


# ── options ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``count`` starts in any sliding window of ``unit_s`` seconds."""

    count: int
    unit_s: float

    @property
    def per_s(self) -> float:
        """Starts a second."""
        return self.count / self.unit_s

    def __str__(self) -> str:
        name = next(name for name, unit_s in UNITS_S.items() if unit_s == self.unit_s)
        return f"{self.count}/{name}"


def parse_rate(text: str) -> Rate:
    """``100/min``, ``50/s``, ``1000/h``; raises ``ValueError``."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)", text.strip())
    if not match:
        raise ValueError(f"{text!r} is no rate: write N/s, N/min or N/h, such as 100/min")
    return Rate(int(match[1]), UNITS_S[match[2]])


def parse_share(text: str) -> Share:
    """``12`` or ``10%``; raises ``ValueError``."""
    match = re.fullmatch(r"([0-9]{1,12})|([0-9]{1,3}(?:\.[0-9]+)?)%", text.strip())
    if not match or float(match[2] or 0) > 100:
        raise ValueError(f"{text!r} is neither a number such as 12 nor a percentage such as 10%")
    return Share(float(match[1] or match[2]), percent=match[2] is not None)


def parse_duration_s(text: str) -> float:
    """``90s``, ``15m``, ``1h30m`` in seconds; raises ``ValueError``."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration: write 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600.0 + minutes * 60.0 + seconds


@dataclass(frozen=True, slots=True)
class Sending:
    """How to send; the command line holds the defaults.

    ``resend`` is ``--in-doubt resend``, ``adaptive`` is ``--pace adaptive``.
    """

    rate: Rate
    concurrency: int
    max_attempts: int
    read_timeout_s: float
    connect_timeout_s: float
    canary: int
    max_failures: Share
    resend: bool
    adaptive: bool = False

    def resend_after_s(self, now_s: float) -> float:
        """Calls in doubt that were sent later than this may be sent again: Unix seconds."""
        return now_s - RESEND_WINDOW_S if self.resend else math.inf


@dataclass(frozen=True, slots=True)
class Going:
    """Everything about going through with it, beside how to send.

    ``began_s`` is the command's start on the monotonic clock.
    """

    base_url: str | None
    sandbox: bool
    sandbox_scenario: Path | None
    expect: int | None
    stop_in_s: float | None
    export: bool
    log_ids: bool
    quiet: bool
    json: bool
    metrics_file: Path | None
    began_s: float


# ── the API's address ────────────────────────────────────────────────────────────────────────────


def parse_base_url(text: str) -> str:
    """The base URL, prefix included, without a trailing slash; raises ``Misconfigured`` (78)."""
    example = "such as https://HOST/v3.1"
    given = text.strip()
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words would repeat what may be a password
        raise Misconfigured(
            "the base URL's host or port is wrong", f"give a URL {example}"
        ) from None
    if "@" in given or parts.query or parts.fragment:
        raise Misconfigured(
            "the base URL may hold a host and a path only: no user, query or fragment",
            f"give a URL {example}",
        )
    if parts.scheme not in ("http", "https") or not host or re.search(r"[^!-~]|[\\<>\"]", given):
        raise Misconfigured(f"{given!r} is no base URL", f"give a URL {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise Misconfigured(
            f"http:// to {host} would send credentials in the clear", "use https://"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def is_rehearsal(base_url: str) -> bool:
    """Whether what is sent to ``base_url`` stays on this machine, so that nobody is taken out."""
    return is_loopback(urlsplit(base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def same_api(one: str, other: str) -> bool:
    """Whether two base URLs are one API; on loopback the port may differ."""
    a, b = urlsplit(one), urlsplit(other)
    if (a.scheme, a.hostname, a.path) != (b.scheme, b.hostname, b.path):
        return False
    default = {"http": 80, "https": 443}[a.scheme]
    return is_loopback(a.hostname or "") or (a.port or default) == (b.port or default)


def check_scope(base_url: str, other_orgs: bool) -> None:
    """Refuse ``DATA-SCOPE: OTHER`` where the endpoint might ignore it and act on the parent."""
    if other_orgs and not base_url.endswith("/v3.1"):
        raise Misconfigured(
            "a connected org needs a base URL that ends in /v3.1: elsewhere the scope headers might"
            " be ignored and the parent org's customers be called",
            "give --base-url .../v3.1",
        )


# ── credentials ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Basic:
    """Till and password hash. None shows in a ``repr``.

    ``password`` is never sent, but a server knows it and might repeat it; None where only the hash
    was given.
    """

    username: SecretStr
    password_md5: SecretStr
    password: SecretStr | None = None

    @classmethod
    def of(cls, username: SecretStr, password: SecretStr) -> Basic:
        """With the password's lower-case hex MD5, as the vendor's page on Basic asks."""
        content = password.get_secret_value().encode()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(username, SecretStr(digest), password)


@dataclass(frozen=True, slots=True)
class OAuth:
    """Client key and secret, and where to get a token."""

    key: SecretStr
    secret: SecretStr
    token_url: str


Credentials = Basic | OAuth


@dataclass(frozen=True, slots=True)
class Api:
    """Where to send, and as whom."""

    base_url: str
    credentials: Credentials


class Environment(BaseSettings):
    """``BULK_UNENROLL_*``; each secret may stand in a file named by the variable with ``_FILE``."""

    model_config = SettingsConfigDict(
        env_prefix="BULK_UNENROLL_",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    base_url: str | None = None
    token_url: str | None = None
    username: SecretStr | None = None
    username_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    password_md5: SecretStr | None = None
    password_md5_file: Path | None = None
    client_key: SecretStr | None = None
    client_key_file: Path | None = None
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None

    def secret(self, name: str) -> SecretStr | None:
        """The value of a variable or of its file; raises ``Misconfigured`` for both or neither."""
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        variable = f"BULK_UNENROLL_{name.upper()}"
        if path is None:
            return value
        if value is not None:
            raise Misconfigured(f"both {variable} and {variable}_FILE are set", "unset one of them")
        try:
            text = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Misconfigured(
                f"cannot read the file of {variable}_FILE: {why}", "check its path and permissions"
            ) from None
        if not text:
            raise Misconfigured(f"the file of {variable}_FILE is empty", "put the secret into it")
        return SecretStr(text)


def credentials(environment: Environment, base_url: str) -> Credentials:
    """Exactly one complete pair from the environment; raises ``Misconfigured`` (78)."""
    username = environment.secret("username")
    password = environment.secret("password")
    password_md5 = environment.secret("password_md5")
    key, secret = environment.secret("client_key"), environment.secret("client_secret")
    basic, oauth = (username, password, password_md5), (key, secret)
    if any(basic) and any(oauth):
        raise _wrong("both a username and a client key are set")
    if key and secret:
        return OAuth(key, secret, _token_url(environment, base_url))
    if username and ":" in username.get_secret_value():
        raise _wrong("BULK_UNENROLL_USERNAME holds a colon, which Basic authentication cannot")
    if username and password and not password_md5:
        return Basic.of(username, password)
    if username and password_md5 and not password:
        return Basic(username, _checked_md5(password_md5))
    if password and password_md5:
        raise _wrong("both BULK_UNENROLL_PASSWORD and BULK_UNENROLL_PASSWORD_MD5 are set")
    raise _wrong("the credentials are incomplete" if any((*basic, *oauth)) else "no credentials")


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(
        what,
        "set BULK_UNENROLL_CLIENT_KEY and BULK_UNENROLL_CLIENT_SECRET, or BULK_UNENROLL_USERNAME"
        " and BULK_UNENROLL_PASSWORD (or add _FILE to name a file), nothing else",
    )


def _checked_md5(given: SecretStr) -> SecretStr:
    text = given.get_secret_value().lower()
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise _wrong("BULK_UNENROLL_PASSWORD_MD5 is no MD5 in hex")
    return SecretStr(text)


def _token_url(environment: Environment, base_url: str) -> str:
    if environment.token_url:
        return parse_base_url(environment.token_url)
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}{TOKEN_PATH}"


def read_environment() -> Environment:
    """The environment as it is now; raises ``Misconfigured`` (78)."""
    try:
        return Environment()
    except ValueError as error:
        raise Misconfigured(f"a BULK_UNENROLL_ variable is wrong: {error}") from None
