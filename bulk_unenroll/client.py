"""A request in, a reply or a fault out. No judgement, no retries, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Final, Self

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
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

Connected = Callable[[], Awaitable[None]]
REQUEST_ID_HEADERS: Final = ("X-CAP-REQUEST-ID", "X-Cap-Requestid")
UNTRUSTED: Final = (aiohttp.ClientConnectorCertificateError, ssl.CertificateError)
UNREACHABLE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
LOST: Final = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError)


class SpoiltConnection(Exception):
    """The server ended or spoke before it was asked. Nothing was sent over this connection."""


class Connector(aiohttp.TCPConnector):
    """Lends no connection on which something came that nobody asked for.

    aiohttp would take that for the answer to the next call: a 408 sent to an idle connection, or a
    second answer to the call before.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class names it so
    ) -> Connection:
        """A connection as the base class finds or makes it; raises ``SpoiltConnection``."""
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is None or connection.protocol.should_close:
            connection.close()
            raise SpoiltConnection
        return connection


class Departure:
    """When one request leaves: its deadline is that of connecting before, of the answer after."""

    deadline: asyncio.Timeout

    def __init__(self, read_timeout_s: float, connected: Connected | None) -> None:
        self._read_timeout_s = read_timeout_s
        self._connected = connected
        self.is_reused = False
        self.left = False

    async def over_new_connection(self) -> None:
        """A new connection stands; leave when ``connected`` lets go."""
        if self._connected:
            self.deadline.reschedule(None)  # what is waited for here is not the connection
            await self._connected()
        self._leave()

    def over_reused_connection(self) -> None:
        """A kept connection was found; leave."""
        self.is_reused = True
        self._leave()

    def _leave(self) -> None:
        """From here on the request may have been seen."""
        self.left = True
        self.deadline.reschedule(asyncio.get_running_loop().time() + self._read_timeout_s)


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
            connector=Connector(limit=0, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "bulk-unenroll",
            },
            timeout=aiohttp.ClientTimeout(total=None),  # the deadlines are ours: see Departure
            trace_configs=[_departures()],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def unenroll(
        self, key: Key, headers: Mapping[str, str], connected: Connected
    ) -> Reply | Fault:
        """Take one customer out of one target; ``headers`` authorise the call.

        ``connected`` is awaited when a new connection stands, before anything is sent over it.
        """
        prefix = self._base.raw_path.rstrip("/")
        url = self._base.with_path(prefix + path(key), encoded=True)
        return await self.post(url, body(key), {**headers, **scope_headers(key.org)}, connected)

    async def post(
        self,
        url: URL,
        content: bytes,
        headers: Mapping[str, str],
        connected: Connected | None = None,
    ) -> Reply | Fault:
        """Post ``content`` once. A kept connection that was found spoilt makes way for another."""
        while True:
            departure = Departure(self._read_timeout_s, connected)
            try:
                return await self._post(url, content, headers, departure)
            except SpoiltConnection:
                if not departure.is_reused:
                    message = "the server closes or speaks before it is asked"
                    return Fault(Loss.UNSENT, "unreachable", message)

    async def _post(
        self, url: URL, content: bytes, headers: Mapping[str, str], departure: Departure
    ) -> Reply | Fault:
        try:
            async with asyncio.timeout(self._connect_timeout_s) as departure.deadline:
                response = await self._session.post(
                    url,
                    data=content,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=departure,
                )
                return await _read(response)
        except UNTRUSTED as error:
            return Fault(Loss.UNTRUSTED, "certificate", _say(error))
        except UNREACHABLE as error:
            return Fault(Loss.UNSENT, "unreachable", _say(error))
        except TimeoutError:
            if departure.deadline.expired() and not departure.left:
                return Fault(Loss.UNSENT, "unreachable", "no connection within --connect-timeout")
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


def _departures() -> aiohttp.TraceConfig:
    """Tell a ``Departure`` when its request has a connection to leave by."""

    async def created(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        await context.trace_request_ctx.over_new_connection()

    async def reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.over_reused_connection()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(created)
    trace.on_connection_reuseconn.append(reused)
    return trace


def _say(error: BaseException) -> str:
    """One line on a transport error. ``str`` only: a ``repr`` may hold the request's headers."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"host {error.host} not found"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or 'failed'}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within --connect-timeout"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"no valid HTTP: {_first_line(error.message).partition(': b')[0].rstrip(':')}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
