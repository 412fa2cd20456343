"""The proxy of an address, by the variables that other programs obey too.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in capitals or not. aiohttp could
read them itself, but would then also take credentials for our calls from ``.netrc``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.urls import is_loopback


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; ``headers`` hold its credentials, which stand nowhere else."""

    url: URL
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def proxy_for(address: str) -> Proxy | None:
    """The proxy through which ``address`` is called; None for none.

    This machine is called directly. Raises ``Misconfigured`` (78) for a proxy that cannot be used.
    """
    parts = urlsplit(address)
    proxies = getproxies_environment()
    found = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.hostname or ""
    if not found or is_loopback(host) or proxy_bypass(parts.netloc):
        return None
    variable = f"{parts.scheme.upper()}_PROXY" if parts.scheme in proxies else "ALL_PROXY"
    return _parse(found if "://" in found else f"http://{found}", variable)


def _parse(text: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(text)
        place = URL.build(scheme=parts.scheme, host=parts.hostname or "", port=parts.port)
    except ValueError:  # its message might repeat a password
        raise _unusable(variable, "is not a valid address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _unusable(variable, f"names a proxy of the kind {parts.scheme or 'none'}")
    if parts.username is None:
        return Proxy(place)
    from aiohttp import encode_basic_auth  # slow to import, and few have such a proxy

    try:
        secret = encode_basic_auth(unquote(parts.username), unquote(parts.password or ""))
    except ValueError:
        raise _unusable(variable, "holds a username or password that cannot be sent") from None
    return Proxy(place, {"Proxy-Authorization": secret})


def _unusable(variable: str, what: str) -> Misconfigured:
    return Misconfigured(
        f"{variable} {what}",
        "write http://HOST:PORT, or list the API's host in NO_PROXY",
    )
