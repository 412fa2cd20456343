"""The API's address: which base URLs are valid, and when two of them mean the same API."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.urls import is_loopback

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse_base_url(text: str, name: str = "the base URL") -> str:
    """Return the base URL with its prefix and no trailing slash; raises ``Misconfigured`` (78).

    ``name`` is what a message calls it.
    """
    example = "such as https://HOST/v3.1"
    given = text.strip()
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its message might repeat a password
        raise Misconfigured(
            f"{name} has an invalid host or port", f"give a URL {example}"
        ) from None
    if "@" in given or parts.query or parts.fragment:
        raise Misconfigured(
            f"{name} must have a host and a path only, without user, query or fragment",
            f"give a URL {example}",
        )
    if parts.scheme not in ("http", "https") or not host or re.search(r"[^!-~]|[\\<>\"]", given):
        raise Misconfigured(f"{name} {given!r} is not valid", f"give a URL {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise Misconfigured(
            f"http:// to {host} would send credentials in the clear", "use https://"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def is_on_this_machine(base_url: str) -> bool:
    """Whether ``base_url`` names this machine; what listens there may still pass calls on."""
    return is_loopback(urlsplit(base_url).hostname or "")


def same_api(one: str, other: str) -> bool:
    """Whether two base URLs mean the same API; on loopback the port may differ."""
    a, b = urlsplit(one), urlsplit(other)
    if (a.scheme, a.hostname, a.path) != (b.scheme, b.hostname, b.path):
        return False
    default = DEFAULT_PORTS[a.scheme]
    return is_loopback(a.hostname or "") or (a.port or default) == (b.port or default)


def check_scope(base_url: str, other_orgs: bool) -> None:
    """Raise ``Misconfigured`` (78) where ``DATA-SCOPE: OTHER`` might be ignored.

    The call would then reach a customer of the parent org.
    """
    if other_orgs and not base_url.endswith("/v3.1"):
        raise Misconfigured(
            "a connected org needs a base URL that ends in /v3.1: with any other, the API might"
            " ignore the scope headers and act on the parent org's customers",
            "give --base-url .../v3.1",
        )


def host_of(base_url: str) -> str:
    """The host of an API, and its port if that is not the usual one."""
    parts = urlsplit(base_url)
    usual = parts.port == DEFAULT_PORTS.get(parts.scheme)
    return parts.netloc.rpartition(":")[0] if usual else parts.netloc
