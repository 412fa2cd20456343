"""Addresses: which are remote, which are this machine, and the part of them that may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

SCHEMES: Final = ("s3", "gs", "https", "http")
# one slash: pathlib merges two
_REMOTE: Final = re.compile(rf"(?P<scheme>{'|'.join(SCHEMES)}):/{{1,2}}(?=[^/])", re.IGNORECASE)


def is_remote(name: str | Path) -> bool:
    """Whether ``name`` is the address of a remote file."""
    return _REMOTE.match(str(name)) is not None


def scheme_of(url: str) -> str:
    """The scheme of an address, in lower case."""
    return url.partition(":")[0].lower()


def has_userinfo(url: str) -> bool:
    """Whether an address has a username or a password before its host."""
    return "@" in _authority(url)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, judged by its name or address alone."""
    import ipaddress  # slow to import, and rarely needed

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def without_secrets(url: str) -> str:
    """Return ``url`` without userinfo and without query, which may be a signature.

    The result may be kept and shown. A local path, and any other text, is returned unchanged.
    """
    found = _REMOTE.match(url)
    if not found:
        return url
    authority = _authority(url)
    path = url[found.end() + len(authority) :]
    if scheme_of(url) in ("http", "https"):
        path = re.split(r"[?#]", path, maxsplit=1)[0]
    return f"{scheme_of(url)}://{authority.rpartition('@')[2]}{path}"


def _authority(url: str) -> str:
    found = _REMOTE.match(url)
    return re.split(r"[/?#]", url[found.end() :], maxsplit=1)[0] if found else ""


def is_text(value: str) -> bool:
    """Whether a value of the environment is text: it holds what was no UTF-8 as surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in value)
