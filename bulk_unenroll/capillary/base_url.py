"""The API's address: what a base URL may look like, and which two are the same API."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.settings import is_loopback


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
