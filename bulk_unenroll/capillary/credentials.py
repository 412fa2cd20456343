"""Credentials from the environment, and the endpoint that they are for."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bulk_unenroll.capillary.base_url import parse_base_url
from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.urls import is_text

TOKEN_PATH: Final = "/v3/oauth/token/generate"  # noqa: S105 - a path, not a secret


@dataclass(frozen=True, slots=True)
class Basic:
    """Username of a till and hash of its password. A ``repr`` shows neither.

    ``password`` is never sent, but kept so that it can be redacted: the server knows it and might
    repeat it. None if only the hash was given.
    """

    username: SecretStr
    password_md5: SecretStr
    password: SecretStr | None = None

    @classmethod
    def of(cls, username: SecretStr, password: SecretStr) -> Basic:
        """Hash the password as lower-case hex MD5, as the vendor's page on Basic requires."""
        content = password.get_secret_value().encode()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(username, SecretStr(digest), password)

    @property
    def user(self) -> str:
        """The username, to tell a person as whom the calls are made."""
        return self.username.get_secret_value()


@dataclass(frozen=True, slots=True)
class OAuth:
    """Client key and secret, and where to get a token."""

    key: SecretStr
    secret: SecretStr
    token_url: str

    @property
    def user(self) -> str:
        """The client key, to tell a person as whom the calls are made."""
        return self.key.get_secret_value()


Credentials = Basic | OAuth


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The API to call, and the credentials for it."""

    base_url: str
    credentials: Credentials


class Environment(BaseSettings):
    """The ``BULK_UNENROLL_*`` variables. A secret may be in a file that ``..._FILE`` names."""

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
    never: str | None = None

    def user(self) -> str | None:
        """The username or the client key, if one is set."""
        user = self.secret("username") or self.secret("client_key")
        return user.get_secret_value() if user else None

    def secret(self, name: str) -> SecretStr | None:
        """The secret from its variable or its file, None if neither is set.

        Raises ``Misconfigured`` (78) if both are set, or if the file is empty or unreadable.
        """
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        variable = f"BULK_UNENROLL_{name.upper()}"
        if path is None:
            return value and _checked(value, variable)
        if value is not None:
            raise Misconfigured(f"both {variable} and {variable}_FILE are set", "unset one of them")
        try:
            text = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Misconfigured(
                f"cannot read the file that {variable}_FILE names: {why}",
                "check its path and permissions",
            ) from None
        if not text:
            raise Misconfigured(
                f"the file that {variable}_FILE names is empty", "write the secret to it"
            )
        return _checked(SecretStr(text), f"the file that {variable}_FILE names")


def _checked(secret: SecretStr, place: str) -> SecretStr:
    """``secret``, unless it has what a copy or an editor adds and no API accepts."""
    text = secret.get_secret_value()
    for found, what in _ODDITIES:
        if found(text):
            raise Misconfigured(
                f"{place} {what}",
                "write the value alone; if a password is really like this, give its hash as"
                " BULK_UNENROLL_PASSWORD_MD5",
            )
    return secret


_ODDITIES: Final[tuple[tuple[Callable[[str], bool], str], ...]] = (
    (lambda text: text.startswith("\ufeff"), "begins with a byte order mark (BOM)"),
    (lambda text: bool(re.search(r"[\r\n]", text)), "has a line break"),
    (lambda text: bool(re.search(r"[\x00-\x1f\x7f]", text)), "has a control character"),
    (lambda text: text != text.strip(), "begins or ends with a blank"),
    (lambda text: len(text) > 1 and text[0] == text[-1] and text[0] in "\"'", "is in quotes"),
)
"""What a secret must not be, and how to say it."""


def credentials(environment: Environment, base_url: str) -> Credentials:
    """Return the one complete pair in the environment; raises ``Misconfigured`` (78)."""
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
        raise _wrong(
            "BULK_UNENROLL_USERNAME contains a colon, which Basic authentication does not allow"
        )
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
        " and BULK_UNENROLL_PASSWORD (or add _FILE to name a file), and no others",
    )


def _checked_md5(given: SecretStr) -> SecretStr:
    text = given.get_secret_value().lower()
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise _wrong("BULK_UNENROLL_PASSWORD_MD5 is not an MD5 hash in hex")
    return SecretStr(text)


def _token_url(environment: Environment, base_url: str) -> str:
    if environment.token_url:
        return parse_base_url(environment.token_url, "BULK_UNENROLL_TOKEN_URL")
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}{TOKEN_PATH}"


def read_environment() -> Environment:
    """Read the environment; raises ``Misconfigured`` (78)."""
    for field in Environment.model_fields:
        name = f"BULK_UNENROLL_{field.upper()}"
        is_path = field.endswith("_file")
        if not is_path and not is_text(os.environ.get(name, "")):
            raise Misconfigured(f"{name} is not UTF-8", "write it in UTF-8")
    try:
        return Environment()
    except ValueError as error:
        raise Misconfigured(f"a BULK_UNENROLL_ variable is invalid: {error}") from None
