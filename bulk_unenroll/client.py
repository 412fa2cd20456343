"""A request in, a reply or a fault out. No judgement, no retries, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Final, Self

import aiohttp
from yarl import URL

from bulk_unenroll.model import Key
from bulk_unenroll.protocol import (
    MAX_ANSWER_BYTES,
    Fault,
    Loss,
    Reply,
    body,
    path,
    scope_headers,
)

REQUEST_ID_HEADERS: Final = ("X-CAP-REQUEST-ID", "X-Cap-Requestid")
UNTRUSTED: Final = (aiohttp.ClientConnectorCertificateError, ssl.CertificateError)
UNREACHABLE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
LOST: Final = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError)


class Client:
    """One session to one API. Use as an async context manager.

    ``read_timeout_s`` runs from when the request leaves to the answer's last byte;
    ``connect_timeout_s`` bounds everything before (DNS, TCP, TLS).
    """

    def __init__(self, base_url: str, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        self._base = URL(base_url, encoded=True)
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "bulk-unenroll",
            },
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s),
            trace_configs=[_deadline_from_sending(self._read_timeout_s)],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def unenroll(self, key: Key, headers: Mapping[str, str]) -> Reply | Fault:
        """Take one customer out of one target; ``headers`` authorise the call."""
        prefix = self._base.raw_path.rstrip("/")
        url = self._base.with_path(prefix + path(key), encoded=True)
        return await self.post(url, body(key), {**headers, **scope_headers(key.org)})

    async def post(self, url: URL, content: bytes, headers: Mapping[str, str]) -> Reply | Fault:
        """Post ``content`` once."""
        try:
            async with asyncio.timeout(None) as deadline:
                response = await self._session.post(
                    url,
                    data=content,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=deadline,
                )
                return await _read(response)
        except UNTRUSTED as error:
            return Fault(Loss.UNTRUSTED, "certificate", _say(error))
        except UNREACHABLE as error:
            return Fault(Loss.UNSENT, "unreachable", _say(error))
        except TimeoutError:
            message = f"no answer within {self._read_timeout_s:g} s"
            return Fault(Loss.UNANSWERED, "timeout", message)
        except LOST as error:
            return Fault(Loss.UNANSWERED, "connection_lost", _say(error))


async def _read(response: aiohttp.ClientResponse) -> Reply | Fault:
    """Read the answer whole, but no more of it than an answer can have."""
    request_id = next(
        (value for name in REQUEST_ID_HEADERS if (value := response.headers.get(name))), None
    )
    content = bytearray()
    try:
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                message = "the answer is longer than 1 MiB"
                return Fault(Loss.UNANSWERED, "oversized", message, response.status, request_id)
    finally:
        if not response.content.at_eof():
            response.close()  # what is left unread must not greet the next call
    return Reply(
        response.status,
        bytes(content),
        request_id,
        tuple(response.headers.getall("Retry-After", ())),
        response.headers.get("Date"),
    )


def _deadline_from_sending(read_timeout_s: float) -> aiohttp.TraceConfig:
    """Start the clock of an answer when its request has a connection to leave by."""

    async def start(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        deadline: asyncio.Timeout = context.trace_request_ctx
        deadline.reschedule(asyncio.get_running_loop().time() + read_timeout_s)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(start)
    trace.on_connection_reuseconn.append(start)
    return trace


def _say(error: BaseException) -> str:
    """One line on a transport error. ``str`` only: a ``repr`` may hold the request's headers."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"host {error.host} not found"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or 'failed'}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within --connect-timeout"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
