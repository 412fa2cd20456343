"""The fake API over HTTP, on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from bulk_unenroll.sandbox import reading
from bulk_unenroll.sandbox.answers import Answer
from bulk_unenroll.sandbox.api import Api, Deed
from bulk_unenroll.sandbox.book import Book
from bulk_unenroll.sandbox.door import Door
from bulk_unenroll.sandbox.reading import Reader, read_table
from bulk_unenroll.sandbox.record import Record
from bulk_unenroll.sandbox.rules import Call, parse_rules
from bulk_unenroll.sandbox.scenario import Scenario

PREFIXES: Final = ("/v3.1", "/v3", "/api_gateway/intouch-api-v3/v3.1")
TOKEN_PREFIXES: Final = ("", *PREFIXES, "/api_gateway/intouch-api-v3/v3")
UNENROLL: Final = "/targetGroups/{group:[0-9]{1,19}}/targets/{target:[0-9]{1,19}}/unEnroll"
REQUEST_ID: Final = "X-CAP-REQUEST-ID"
BODY_BYTES: Final = 1 << 20
TAUGHT: Final[dict[str, Reader]] = {
    "customers": reading.ids,
    "targets": reading.targets,
    "groups": reading.ids,
    "orgs": reading.ids,
    "rules": parse_rules,
}


class Sandbox:
    """The server. ``base_url`` is set while it is open; use it as an async context manager.

    ``journal`` gets one JSON line for each call before it is answered. ``clock`` is in seconds.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        port: int = 0,
        journal: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = ""
        self._scenario = scenario or Scenario()
        self._port = port
        self._journal = journal
        self._clock = clock
        self._door = Door(self._scenario, clock)
        self._request_ids = (f"{uuid.uuid4().hex[:12]}-{number}" for number in count(1))
        self._begin()

    @property
    def book(self) -> Book:
        """Who was taken out."""
        return self._api.book

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call in order of arrival, as ``/_sandbox/calls`` tells them."""
        return self._record.calls()

    async def start(self) -> str:
        """Listen; the base URL. Raises ``OSError`` for a port or journal that is not to be had."""
        self._closing = asyncio.Event()
        self._record = Record(self._journal)
        runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        self._runner = runner
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await self.stop()
            raise
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v3.1"
        return self.base_url

    async def stop(self) -> None:
        """Stop at once: what is silent is cut off, what is delayed is answered."""
        self._closing.set()
        await self._runner.cleanup()
        self._record.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _begin(self) -> None:
        self._api = Api(self._scenario)
        self._number = 0
        self._began_s = self._clock()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=BODY_BYTES)
        for prefix in PREFIXES:
            application.router.add_post(prefix + UNENROLL, self._unenroll)
        for prefix in TOKEN_PREFIXES:
            application.router.add_post(prefix + "/oauth/token/generate", self._token)
        application.router.add_get("/_sandbox/{what:book|calls|counts}", self._tell)
        application.router.add_post("/_sandbox/teach", self._teach)
        application.router.add_post("/_sandbox/reset", self._reset)
        application.on_response_prepare.append(self._sign)
        return application

    # ── the documented calls ─────────────────────────────────────────────────────────────────────

    async def _unenroll(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        refusal = self._door.refuse(request.headers)
        call = self._arrived(request, content, let_in=refusal is None)
        deed = Deed("refused", refusal) if refusal else self._api.decide(call)
        # before any delay: whoever asks the book or the journal meanwhile is told the truth
        self._record.note(call, deed)
        if deed.delay_s:
            await self._pause(deed.delay_s)
        return await self._perform(request, deed)

    async def _token(self, request: web.Request) -> web.Response:
        return _response(self._door.give_token(await request.read()))

    def _arrived(self, request: web.Request, content: bytes, *, let_in: bool) -> Call:
        self._number += 1
        scope = request.headers.get("DATA-SCOPE")
        org = _org(request) if scope == "OTHER" else None
        group, target = int(request.match_info["group"]), int(request.match_info["target"])
        customer = _customer(content)
        return Call(
            number=self._number,
            at_s=round(self._clock() - self._began_s, 6),
            prefix=sys.intern(request.path.partition("/targetGroups")[0]),
            scope=scope,
            org=org,
            group=group,
            target=target,
            customer=customer,
            attempt=self._api.count(org, group, target, customer) if let_in else 0,
        )

    async def _perform(self, request: web.Request, deed: Deed) -> web.StreamResponse:
        match deed.act:
            case "silent" | "silent_unapplied":
                await self._closing.wait()
                _cut(request)
            case "reset_before" | "reset_after":
                _cut(request)
            case "half":
                return await self._send_in_parts(request, deed.answer, whole=False)
            case "drip":
                return await self._send_in_parts(request, deed.answer, whole=True)
        return _response(deed.answer)

    async def _send_in_parts(
        self, request: web.Request, answer: Answer, *, whole: bool
    ) -> web.StreamResponse:
        """Half the body at once; then a byte a second, or the end of the connection."""
        stream = web.StreamResponse(status=answer.status, headers=answer.headers)
        stream.content_length = len(answer.body)
        await stream.prepare(request)
        middle = len(answer.body) // 2
        await stream.write(answer.body[:middle])
        for byte in answer.body[middle:] if whole else b"":
            await self._pause(1.0)
            await stream.write(bytes((byte,)))
        if not whole and request.transport is not None:
            request.transport.close()
        return stream

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault(REQUEST_ID, next(self._request_ids))

    # ── what really happened ─────────────────────────────────────────────────────────────────────

    async def _tell(self, request: web.Request) -> web.Response:
        tellers: dict[str, Callable[[], object]] = {
            "book": self._tell_book,
            "calls": self._record.calls,
            "counts": self._tell_counts,
        }
        return web.json_response(tellers[request.match_info["what"]]())

    def _tell_book(self) -> list[dict[str, int | None]]:
        return [
            {"org": org or None, "group": group, "target": target, "customer": who, "applied": n}
            for (org, group, target, who), n in self.book.applied.items()
        ]

    def _tell_counts(self) -> dict[str, object]:
        script = self._api.script
        rules = zip(script.rules, script.used, strict=True)
        return {
            "calls": self._number,
            "applied": sum(self.book.applied.values()),
            "tokens": self._door.tokens_given,
            "answers": self._record.answers,
            "codes": self._record.codes,
            "rules": [{"act": rule.act, "used": used} for rule, used in rules],
        }

    async def _teach(self, request: web.Request) -> web.Response:
        try:
            taught = read_table("teach", json.loads(await request.read()), TAUGHT)
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        rules = taught.pop("rules", None)
        if rules is not None:
            self._api.follow(rules)
        self.book.teach(**taught)
        return web.json_response({})

    async def _reset(self, _: web.Request) -> web.Response:
        self._begin()
        self._record.forget()
        self._door.forget()
        return web.json_response({})


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _customer(content: bytes) -> int | None:
    """The one customer of a documented body."""
    try:
        ((entry),) = json.loads(content)
        customer = entry["customerId"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    # type() rather than isinstance(): true is no id
    return customer if type(customer) is int and 0 < customer <= reading.ID_MOST else None


def _org(request: web.Request) -> int | None:
    """The one org of a documented header."""
    listed = ",".join(request.headers.getall("DATA-SCOPE-ORG", ()))
    return reading.digits(listed)


def _cut(request: web.Request) -> None:
    """Reset the connection, so that the other side sees more than an end."""
    transport = request.transport
    if transport is None:
        return
    held = transport.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
