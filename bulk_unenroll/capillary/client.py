"""Sends one request and returns a reply or a fault. Never judges, retries or redirects."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from bulk_unenroll.capillary.calls import (
    MAX_ANSWER_BYTES,
    TIMEOUT,
    Fault,
    Loss,
    Reply,
    body,
    path,
    scope_headers,
)
from bulk_unenroll.capillary.proxies import Proxy, proxy_for
from bulk_unenroll.model import Enrollment

LAST_READ_S: Final = 0.5
AWAY_S: Final = 1.0
"""A timer that is late by more than this: the process did not run."""
Connected = Callable[[], Awaitable[None]]
MOST_HEADER_BYTES: Final = 1 << 16
MOST_HEADERS: Final = 1000
"""A gateway may add long headers, and many: an answer with them is still an answer."""
REQUEST_ID: Final = "X-CAP-REQUEST-ID"
REQUEST_ID_VARIANT: Final = "X-Cap-Requestid"
UNTRUSTED: Final = (aiohttp.ClientConnectorCertificateError, ssl.CertificateError)
UNREACHABLE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
LOST: Final = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError)


class UnusableConnection(Exception):
    """The server closed the connection, or sent data unasked. Nothing was sent over it."""


class Deadline:
    """A time limit that takes what has arrived by then.

    Where the process did not run for a while (a paused container, Ctrl-Z), its timers are due
    before it has read again, and what it had begun to send may leave only now. So the limit begins
    anew after such a time; and it ends with ``LAST_READ_S`` that are left for reading.
    """

    __slots__ = ("_due_s", "_is_last", "_loop", "_timeout", "_timeout_s", "_timer")

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def start(self, timeout_s: float) -> None:
        """Begin anew: the time is up in ``timeout_s``."""
        self.stop()
        self._timeout_s = timeout_s
        self._is_last = False
        self._wait(timeout_s)

    def stop(self) -> None:
        """There is no limit any more."""
        if self._timer:
            self._timer.cancel()

    def _wait(self, for_s: float) -> None:
        self._due_s = self._loop.time() + for_s
        self._timer = self._loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        if now_s - self._due_s >= AWAY_S:
            self.start(self._timeout_s)
        elif self._is_last:
            self._timeout.reschedule(now_s)
        else:
            self._is_last = True
            self._wait(LAST_READ_S)


class RequestProgress:
    """How far one request is. Its deadline is for connecting first, for the answer afterwards."""

    __slots__ = ("_connected", "deadline", "is_on_new_connection", "left")

    def __init__(self, connected: Connected | None, timeout: asyncio.Timeout) -> None:
        self._connected = connected
        self.deadline = Deadline(timeout)
        self.is_on_new_connection = False
        self.left = False

    def connecting(self, timeout_s: float) -> None:
        """Start the deadline of a new connection: no idle one was found."""
        self.is_on_new_connection = True
        self.deadline.start(timeout_s)

    async def established(self) -> None:
        """Wait for ``connected`` now that a new connection is established."""
        self.deadline.stop()  # this wait is not for the connection
        if self._connected:
            await self._connected()

    def leave(self, timeout_s: float) -> None:
        """Start the deadline of the answer: from now on the server may see the request."""
        self.left = True
        self.deadline.start(timeout_s)


PROGRESS: Final[ContextVar[RequestProgress]] = ContextVar("progress")
"""Of the request of the current task. Trace configs would do the same at an eighth more CPU."""


class Connector(aiohttp.TCPConnector):
    """Notes in ``RequestProgress`` when a request gets its connection.

    Refuses connections on which unasked data arrived, such as a 408 on an idle connection or a
    second answer to the previous call: aiohttp would read it as the answer to the next call.
    """

    def __init__(self, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        super().__init__(limit=0, keepalive_timeout=15)
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class names it so
    ) -> Connection:
        """Return a connection from the base class; raises ``UnusableConnection``."""
        connection = await super().connect(req, traces, timeout)
        if _is_unusable(connection):
            connection.close()
            raise UnusableConnection
        PROGRESS.get().leave(self._read_timeout_s)
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class names it so
    ) -> ResponseHandler:
        progress = PROGRESS.get()
        progress.connecting(self._connect_timeout_s)
        protocol = await super()._create_connection(req, traces, timeout)
        try:
            await progress.established()
        except BaseException:
            protocol.close()
            raise
        return protocol


def _is_unusable(connection: Connection) -> bool:
    return connection.protocol is None or connection.protocol.should_close


class Client:
    """One session with one API. Use it as an async context manager.

    ``read_timeout_s`` counts from sending the request to the last byte of the answer;
    ``connect_timeout_s`` limits everything before (DNS, TCP, TLS).
    """

    def __init__(self, base_url: str, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        self._base = URL(base_url, encoded=True)
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._session: aiohttp.ClientSession
        self._proxies: dict[str | None, Proxy | None] = {}

    async def __aenter__(self) -> Self:
        self._now = asyncio.get_running_loop().time
        self._session = aiohttp.ClientSession(
            connector=Connector(
                connect_timeout_s=self._connect_timeout_s, read_timeout_s=self._read_timeout_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "bulk-unenroll",
            },
            timeout=aiohttp.ClientTimeout(total=None),  # RequestProgress sets the deadlines
            max_line_size=MOST_HEADER_BYTES,
            max_field_size=MOST_HEADER_BYTES,
            max_headers=MOST_HEADERS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def unenroll(
        self, enrollment: Enrollment, headers: Mapping[str, str], connected: Connected
    ) -> Reply | Fault:
        """Take one customer out of one target; ``headers`` authorise the call.

        ``connected`` is awaited when a new connection is ready, before anything is sent over it.
        What it raises is raised, and nothing is sent.
        """
        customer, target = enrollment
        if target.org is not None:
            headers = {**headers, **scope_headers(target.org)}
        prefix = self._base.raw_path.rstrip("/")
        url = self._base.with_path(prefix + path(target), encoded=True)
        return await self.post(url, body(customer), headers, connected)

    async def post(
        self,
        url: URL,
        content: bytes,
        headers: Mapping[str, str],
        connected: Connected | None = None,
    ) -> Reply | Fault:
        """Post ``content`` once. An unusable idle connection is replaced by another one."""
        while True:
            timeout = asyncio.timeout(None)
            progress = RequestProgress(connected, timeout)
            PROGRESS.set(progress)
            try:
                return await self._post(url, content, headers, progress, timeout)
            except UnusableConnection:
                if progress.is_on_new_connection:
                    message = "the server closed the connection or sent data before the request"
                    return Fault(Loss.UNSENT, "unreachable", message)

    def _proxy_of(self, url: URL) -> Proxy | None:
        if url.host not in self._proxies:
            self._proxies[url.host] = proxy_for(str(url.origin()))
        return self._proxies[url.host]

    async def _post(
        self,
        url: URL,
        content: bytes,
        headers: Mapping[str, str],
        progress: RequestProgress,
        timeout: asyncio.Timeout,  # noqa: ASYNC109 - it is set while the request is under way
    ) -> Reply | Fault:
        proxy = self._proxy_of(url)
        try:
            async with timeout:
                response = await self._session.post(
                    url,
                    data=aiohttp.BytesPayload(content),  # spares aiohttp a lookup
                    headers=headers,
                    allow_redirects=False,
                    proxy=proxy.url if proxy else None,
                    proxy_headers=proxy.headers if proxy else None,
                )
                return await _read(response)
        except UNTRUSTED as error:
            return Fault(Loss.UNTRUSTED, "certificate", _describe(error))
        except aiohttp.ClientHttpProxyError as error:
            return Fault(Loss.UNSENT, "proxy", f"the proxy refused: HTTP {error.status}")
        except UNREACHABLE as error:
            return Fault(Loss.UNSENT, _why_unreachable(error), _describe(error))
        except TimeoutError:
            if timeout.expired() and not progress.left:
                return Fault(Loss.UNSENT, "unreachable", "no connection within --connect-timeout")
            message = f"no answer within {self._read_timeout_s:g} s"
            return Fault(Loss.UNANSWERED, TIMEOUT, message)
        except LOST as error:
            if progress.is_on_new_connection and not progress.left:  # a proxy hung up, for instance
                return Fault(Loss.UNSENT, "unreachable", _describe(error))
            return Fault(Loss.UNANSWERED, "connection_lost", _describe(error))
        finally:
            progress.deadline.stop()


def _why_unreachable(error: BaseException) -> str:
    errors = (errno.EMFILE, errno.ENFILE)
    is_full = isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno in errors
    return "too_many_files" if is_full else "unreachable"


async def _read(response: aiohttp.ClientResponse) -> Reply | Fault:
    """Read the whole answer, up to the first bytes over ``MAX_ANSWER_BYTES``."""
    headers = response.headers
    request_id = headers.get(REQUEST_ID) or headers.get(REQUEST_ID_VARIANT)
    stream = response.content
    try:
        content = await stream.readany()
        if not stream.at_eof():
            content = await _read_rest(stream, bytearray(content))
    finally:
        if not stream.at_eof():
            response.close()  # unread bytes must not reach the next call
    if len(content) > MAX_ANSWER_BYTES:
        message = "the answer is longer than 1 MiB"
        return Fault(Loss.UNANSWERED, "oversized", message, response.status, request_id)
    return Reply(
        response.status,
        content,
        request_id,
        tuple(headers.getall("Retry-After", ())),
        headers.get("Date"),
    )


async def _read_rest(stream: aiohttp.StreamReader, content: bytearray) -> bytes:
    while not stream.at_eof() and len(content) <= MAX_ANSWER_BYTES:
        content += await stream.readany()
    return bytes(content)


def _describe(error: BaseException) -> str:
    """One line about a transport error. Uses ``str`` only: a ``repr`` may show request headers."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"host {error.host} not found"
    if _why_unreachable(error) == "too_many_files":
        return "this process may open no more files: raise `ulimit -n`, or lower --concurrency"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or 'failed'}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within --connect-timeout"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"invalid HTTP: {_first_line(error.message).partition(': b')[0].rstrip(':')}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
