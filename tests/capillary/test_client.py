"""The client and a server that breaks every rule: what was sent, and what came back."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import re
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from bulk_unenroll.capillary import client
from bulk_unenroll.capillary.calls import Fault, Loss, Reply
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.model import Enrollment, Target

ENROLLMENT = Enrollment(423789336, Target(None, 1001, 2001))
GOOD = json.dumps({"data": ENROLLMENT.customer, "errors": None}).encode()


async def at_once() -> None:
    """Do not wait after connecting."""


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A raw server. ``seen`` are the requests that it received completely."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.seen: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.seen.append(head + body)
                await self.talk(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wired(talk: Talk, **timeouts: float) -> AsyncIterator[tuple[Client, Wire]]:
    wire = Wire(talk)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = {"connect_timeout_s": 2.0, "read_timeout_s": 0.5, **timeouts}
    async with Client(f"http://127.0.0.1:{port}/v3.1", **limits) as client:
        yield client, wire
    server.close()


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def says(content: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return talk


def cuts(content: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.transport.abort()

    return talk


async def test_the_request_on_the_wire() -> None:
    async with wired(says(answer(GOOD))) as (client, wire):
        await client.unenroll(
            Enrollment(423789336, Target(7, 1001, 2001)), {"Authorization": "Basic x"}, at_once
        )
    (request,) = wire.seen
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert first == "POST /v3.1/targetGroups/1001/targets/2001/unEnroll HTTP/1.1"
    assert body == b'[{"customerId":423789336}]'
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Basic x"
    assert (headers["data-scope"], headers["data-scope-org"]) == ("OTHER", "7")


@pytest.mark.parametrize("name", ["X-CAP-REQUEST-ID", "X-Cap-Requestid"])
async def test_the_fields_of_a_reply(name: str) -> None:
    content = answer(GOOD, f"{name}: r-1", "Retry-After: 3", "Retry-After: 9", "Date: now")
    async with wired(says(content)) as (client, _):
        reply = await client.unenroll(ENROLLMENT, {}, at_once)
    assert reply == Reply(200, GOOD, "r-1", ("3", "9"), "now")


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (cuts(b""), "connection_lost"),
        (cuts(b"HTTP/1.1 200"), "connection_lost"),
        (cuts(answer(GOOD[:9], length=len(GOOD))), "connection_lost"),
        (cuts(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "connection_lost"),
        (says(b"SSH-2.0-OpenSSH_9\r\n\r\n"), "connection_lost"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n"), "connection_lost"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3_000_000 + b"\r\n\r\n"), "connection_lost"),
        (says(answer(b" " * (2 << 20))), "oversized"),
        (
            says(answer(gzip.compress(b" " * (64 << 20)), "Content-Encoding: gzip")),
            "oversized",
        ),
        (says(b""), "timeout"),
        (says(answer(GOOD[:9], length=len(GOOD))), "timeout"),
    ],
)
async def test_a_request_without_a_complete_answer_is_unanswered(talk: Talk, code: str) -> None:
    async with wired(talk) as (client, wire):
        fault = await client.unenroll(ENROLLMENT, {}, at_once)
    assert isinstance(fault, Fault)
    assert (fault.loss, fault.code) == (Loss.UNANSWERED, code)
    assert len(wire.seen) == 1


async def test_a_slow_answer_does_not_extend_the_timeout() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in answer(GOOD):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    async with wired(drip) as (client, _):
        began_s = asyncio.get_running_loop().time()
        fault = await client.unenroll(ENROLLMENT, {}, at_once)
        assert asyncio.get_running_loop().time() - began_s < 1.5
    assert isinstance(fault, Fault)
    assert fault.code == "timeout"


async def test_a_request_is_not_sent_again_when_its_connection_is_cut() -> None:
    """The server cuts the reused connection of the second call: one request, unanswered."""
    turns = iter([says(answer(GOOD)), cuts(b"")])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(turns)(reader, writer)

    async with wired(talk) as (client, wire):
        assert isinstance(await client.unenroll(ENROLLMENT, {}, at_once), Reply)
        fault = await client.unenroll(ENROLLMENT, {}, at_once)
        assert isinstance(fault, Fault)
        assert fault.loss is Loss.UNANSWERED
        assert len(wire.seen) == 2


@pytest.mark.parametrize(
    "unasked",
    [answer(b"", status="408 Request Timeout"), answer(b'{"data": 666, "errors": null}')],
    ids=["timed out", "a second answer"],
)
async def test_unasked_data_on_an_idle_connection_does_not_answer_the_next_call(
    unasked: bytes,
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(GOOD))
        asyncio.get_running_loop().call_later(0.02, writer.write, unasked)

    async with wired(talk) as (client, wire):
        await client.unenroll(ENROLLMENT, {}, at_once)
        await asyncio.sleep(0.2)
        assert await client.unenroll(ENROLLMENT, {}, at_once) == Reply(200, GOOD)
        assert len(wire.seen) == 2


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9\r\n", b""], ids=["speaks", "closes"])
async def test_nothing_is_sent_to_a_server_that_speaks_or_closes_first(greeting: bytes) -> None:
    seen: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        if not greeting:
            writer.close()
        seen.append(await reader.read())
        writer.close()

    async def until_it_has_spoken() -> None:
        await asyncio.sleep(0.1)

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3.1"
    async with Client(base_url, connect_timeout_s=2, read_timeout_s=1) as client:
        fault = await client.unenroll(ENROLLMENT, {}, until_it_has_spoken)
    server.close()
    await asyncio.sleep(0.05)
    assert isinstance(fault, Fault)
    assert fault.loss is Loss.UNSENT
    assert seen == [b""]


async def test_after_a_pause_the_time_limit_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun before the pause may leave only after it: its answer needs time."""
    monkeypatch.setattr(client, "AWAY_S", 0.1)
    monkeypatch.setattr(client, "LAST_READ_S", 0.1)
    loop = asyncio.get_running_loop()
    went_on_s = math.inf
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            client.Deadline(timeout).start(0.2)
            time.sleep(0.4)  # noqa: ASYNC251 - a pause is what is tried
            went_on_s = loop.time()
            await asyncio.sleep(5)
    assert 0.3 <= loop.time() - went_on_s < 5


async def test_a_timeout_does_not_affect_the_next_call() -> None:
    turns = iter([says(b""), says(answer(GOOD))])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(turns)(reader, writer)

    async with wired(talk) as (client, wire):
        assert isinstance(await client.unenroll(ENROLLMENT, {}, at_once), Fault)
        assert await client.unenroll(ENROLLMENT, {}, at_once) == Reply(200, GOOD)
        assert len(wire.seen) == 2


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Trace: " + 60_000 * "t"],
        [f"X-Hop-{number}: {number}" for number in range(900)],
        ["Set-Cookie: session=" + 7_000 * "c"] * 8,
    ],
    ids=["long", "many", "cookies"],
)
async def test_an_answer_with_long_or_many_headers_is_an_answer(headers: list[str]) -> None:
    async with wired(says(answer(GOOD, *headers))) as (client, wire):
        assert await client.unenroll(ENROLLMENT, {}, at_once) == Reply(200, GOOD)
        assert await client.unenroll(ENROLLMENT, {}, at_once) == Reply(200, GOOD)
    assert all(b"ookie" not in seen for seen in wire.seen)


async def test_headers_without_end_do_not_fill_the_memory() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(2_000):
            writer.write(b"X-%d: %s\r\n" % (number, 1000 * b"x"))
            await writer.drain()

    async with wired(talk) as (client, _):
        fault = await client.unenroll(ENROLLMENT, {}, at_once)
    assert isinstance(fault, Fault)
    assert fault.loss is Loss.UNANSWERED


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_redirects_are_never_followed(status: str) -> None:
    async with wired(says(answer(b"", "Location: /v3.1/elsewhere", status=status))) as (
        client,
        wire,
    ):
        reply = await client.unenroll(ENROLLMENT, {}, at_once)
    assert isinstance(reply, Reply)
    assert reply.status == int(status[:3])
    assert len(wire.seen) == 1


async def test_a_connection_for_which_no_file_is_left_is_not_sent_and_says_so() -> None:
    async with wired(says(answer(GOOD))) as (client, wire):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        opened = os.open(os.devnull, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened, hard))
        try:
            fault = await client.unenroll(ENROLLMENT, {}, at_once)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(opened)
        assert isinstance(fault, Fault)
        assert (fault.loss, fault.code) == (Loss.UNSENT, "too_many_files")
        assert "ulimit -n" in fault.message
        assert wire.seen == []


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:9/v3.1", "http://nowhere.invalid/v3.1"], ids=["refused", "dns"]
)
async def test_without_a_connection_the_request_was_not_sent(base_url: str) -> None:
    async with Client(base_url, connect_timeout_s=2, read_timeout_s=1) as client:
        fault = await client.unenroll(ENROLLMENT, {}, at_once)
    assert isinstance(fault, Fault)
    assert (fault.loss, fault.code) == (Loss.UNSENT, "unreachable")


async def test_if_connecting_takes_too_long_the_request_was_not_sent() -> None:
    """A listener with a full queue does not answer a SYN."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}/v3.1"
        async with Client(url, connect_timeout_s=0.3, read_timeout_s=0.3) as client:
            fault = await client.unenroll(ENROLLMENT, {}, at_once)
        for filler in fillers:
            filler.close()
    assert isinstance(fault, Fault)
    assert fault.loss is Loss.UNSENT


class Shimmed(aiohttp.ClientResponse):
    """Adds an argument that aiohttp 3.14 requires and aioresponses 0.7.9 does not pass."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **more)


class TestMapping:
    """How answers map to replies; no network at all."""

    @pytest.fixture(autouse=True)
    def shallow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # its history makes deep copies of all arguments, and a running deadline cannot be copied
        monkeypatch.setattr("aioresponses.core.copy", SimpleNamespace(deepcopy=lambda kept: kept))

    URL = "https://example.invalid/v3.1/targetGroups/1001/targets/2001/unEnroll"

    async def reply(self, **answered: Any) -> Reply | Fault:
        limits = {"connect_timeout_s": 1.0, "read_timeout_s": 1.0}
        with aioresponses() as mocked:
            mocked.post(self.URL, response_class=Shimmed, **answered)
            async with Client("https://example.invalid/v3.1", **limits) as client:
                return await client.unenroll(ENROLLMENT, {}, at_once)

    @pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 404, 429, 498, 500, 503])
    async def test_every_status_is_a_reply(self, status: int) -> None:
        reply = await self.reply(status=status, body=b"{}")
        assert isinstance(reply, Reply)
        assert (reply.status, reply.body) == (status, b"{}")

    @pytest.mark.parametrize(
        ("error", "loss"),
        [
            (aiohttp.ServerDisconnectedError(), Loss.UNANSWERED),
            (aiohttp.ClientPayloadError("half"), Loss.UNANSWERED),
            (aiohttp.ClientOSError(104, "reset"), Loss.UNANSWERED),
            (ConnectionResetError(104, "reset"), Loss.UNANSWERED),
            (aiohttp.SocketTimeoutError(), Loss.UNANSWERED),
            (aiohttp.ConnectionTimeoutError(), Loss.UNSENT),
        ],
    )
    async def test_errors_are_faults(self, error: Exception, loss: Loss) -> None:
        fault = await self.reply(exception=error)
        assert isinstance(fault, Fault)
        assert fault.loss is loss


async def test_nothing_is_sent_over_a_new_connection_until_connected_returns() -> None:
    waited: list[int] = []

    limits = {"read_timeout_s": 0.3, "connect_timeout_s": 0.3}
    async with wired(says(answer(GOOD)), **limits) as (client, wire):

        async def wait() -> None:
            await asyncio.sleep(0.5)
            waited.append(len(wire.seen))

        assert isinstance(await client.unenroll(ENROLLMENT, {}, wait), Reply)
        assert isinstance(await client.unenroll(ENROLLMENT, {}, wait), Reply)
    assert waited == [0]  # the second call reused the connection


async def test_a_fault_never_contains_credentials() -> None:
    for talk in (cuts(b""), cuts(answer(GOOD[:9], length=99)), says(b"")):
        async with wired(talk) as (client, _):
            fault = await client.unenroll(ENROLLMENT, {"Authorization": "Basic c2VjcmV0"}, at_once)
        assert "c2VjcmV0" not in repr(fault)


async def test_what_is_called_off_once_connected_is_not_sent() -> None:
    class CalledOff(Exception): ...

    async def call_off() -> None:
        raise CalledOff

    async with wired(says(answer(GOOD))) as (client, wire):
        with pytest.raises(CalledOff):
            await client.unenroll(ENROLLMENT, {}, call_off)
        assert wire.seen == []
        assert isinstance(await client.unenroll(ENROLLMENT, {}, at_once), Reply)
        assert len(wire.seen) == 1
