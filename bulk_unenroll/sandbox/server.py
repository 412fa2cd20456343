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
from bulk_unenroll.sandbox.access import AccessControl
from bulk_unenroll.sandbox.answers import Answer
from bulk_unenroll.sandbox.api import Api, Outcome
from bulk_unenroll.sandbox.book import Book
from bulk_unenroll.sandbox.call_log import CallLog
from bulk_unenroll.sandbox.reading import Reader, read_table
from bulk_unenroll.sandbox.rules import Call, parse_rules
from bulk_unenroll.sandbox.scenario import Scenario

PREFIXES: Final = ("/v3.1", "/v3", "/api_gateway/intouch-api-v3/v3.1")
TOKEN_PREFIXES: Final = ("", *PREFIXES, "/api_gateway/intouch-api-v3/v3")
UNENROLL: Final = "/targetGroups/{group:[0-9]{1,19}}/targets/{target:[0-9]{1,19}}/unEnroll"
REQUEST_ID: Final = "X-CAP-REQUEST-ID"
BODY_BYTES: Final = 1 << 20
TEACHABLE: Final[dict[str, Reader]] = {
    "customers": reading.ids,
    "targets": reading.targets,
    "groups": reading.ids,
    "orgs": reading.ids,
    "rules": parse_rules,
}


class Sandbox:
    """The server. Use it as an async context manager; ``base_url`` is set while it runs.

    Each call is written to ``journal``, as one line of JSON, before it is answered. ``clock`` is in
    seconds.
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
        self._access = AccessControl(self._scenario, clock)
        self._request_ids = (f"{uuid.uuid4().hex[:12]}-{number}" for number in count(1))
        self._start_over()

    @property
    def book(self) -> Book:
        """The book, which knows who was taken out."""
        return self._api.book

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call in order of arrival, as in ``/_sandbox/calls``."""
        return self._log.calls()

    async def start(self) -> str:
        """Start to listen. Return the base URL. Raises ``OSError`` for a bad port or journal."""
        self._closing = asyncio.Event()
        self._log = CallLog(self._journal)
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
        """Stop at once: silent calls are disconnected, delayed calls are answered."""
        self._closing.set()
        await self._runner.cleanup()
        self._log.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _start_over(self) -> None:
        self._api = Api(self._scenario)
        self._number = 0
        self._began_s = self._clock()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=BODY_BYTES)
        for prefix in PREFIXES:
            application.router.add_post(prefix + UNENROLL, self._unenroll)
        for prefix in TOKEN_PREFIXES:
            application.router.add_post(prefix + "/oauth/token/generate", self._token)
        application.router.add_get("/_sandbox/{what:book|calls|counts}", self._report)
        application.router.add_post("/_sandbox/teach", self._teach)
        application.router.add_post("/_sandbox/reset", self._reset)
        application.on_response_prepare.append(self._add_request_id)
        return application

    # ── the documented calls ─────────────────────────────────────────────────────────────────────

    async def _unenroll(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        refusal = self._access.refuse(request.headers)
        call = self._arrived(request, content, admitted=refusal is None)
        outcome = Outcome("refused", refusal) if refusal else self._api.handle(call)
        # before any delay, so that book and journal are right at any time
        self._log.add(call, outcome)
        if outcome.delay_s:
            await self._pause(outcome.delay_s)
        return await self._perform(request, outcome)

    async def _token(self, request: web.Request) -> web.Response:
        return _response(self._access.give_token(await request.read()))

    def _arrived(self, request: web.Request, content: bytes, *, admitted: bool) -> Call:
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
            attempt=self._api.count(org, group, target, customer) if admitted else 0,
        )

    async def _perform(self, request: web.Request, outcome: Outcome) -> web.StreamResponse:
        match outcome.act:
            case "silent" | "silent_unapplied":
                await self._closing.wait()
                _reset_connection(request)
            case "reset_before" | "reset_after":
                _reset_connection(request)
            case "half":
                return await self._send_in_parts(request, outcome.answer, complete=False)
            case "drip":
                return await self._send_in_parts(request, outcome.answer, complete=True)
        return _response(outcome.answer)

    async def _send_in_parts(
        self, request: web.Request, answer: Answer, *, complete: bool
    ) -> web.StreamResponse:
        """Send half of the body, then one byte per second, or close the connection."""
        stream = web.StreamResponse(status=answer.status, headers=answer.headers)
        stream.content_length = len(answer.body)
        await stream.prepare(request)
        middle = len(answer.body) // 2
        await stream.write(answer.body[:middle])
        for byte in answer.body[middle:] if complete else b"":
            await self._pause(1.0)
            await stream.write(bytes((byte,)))
        if not complete and request.transport is not None:
            request.transport.close()
        return stream

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _add_request_id(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault(REQUEST_ID, next(self._request_ids))

    # ── what really happened ─────────────────────────────────────────────────────────────────────

    async def _report(self, request: web.Request) -> web.Response:
        reports: dict[str, Callable[[], object]] = {
            "book": self._book_report,
            "calls": self._log.calls,
            "counts": self._counts_report,
        }
        return web.json_response(reports[request.match_info["what"]]())

    def _book_report(self) -> list[dict[str, int | None]]:
        return [
            {"org": org or None, "group": group, "target": target, "customer": who, "applied": n}
            for (org, group, target, who), n in self.book.applied.items()
        ]

    def _counts_report(self) -> dict[str, object]:
        script = self._api.script
        rules = zip(script.rules, script.used, strict=True)
        return {
            "calls": self._number,
            "applied": sum(self.book.applied.values()),
            "tokens": self._access.tokens_given,
            "answers": self._log.answers,
            "codes": self._log.codes,
            "rules": [{"act": rule.act, "used": used} for rule, used in rules],
        }

    async def _teach(self, request: web.Request) -> web.Response:
        try:
            taught = read_table("teach", json.loads(await request.read()), TEACHABLE)
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        rules = taught.pop("rules", None)
        if rules is not None:
            self._api.replace_rules(rules)
        self.book.teach(**taught)
        return web.json_response({})

    async def _reset(self, _: web.Request) -> web.Response:
        self._start_over()
        self._log.reset()
        self._access.reset()
        return web.json_response({})


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _customer(content: bytes) -> int | None:
    """The customer of a documented body, None for any other body."""
    try:
        ((entry),) = json.loads(content)
        customer = entry["customerId"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    # type() and not isinstance(): true is not an id
    return customer if type(customer) is int and 0 < customer <= reading.MAX_ID else None


def _org(request: web.Request) -> int | None:
    """The org of a documented header, None for any other header."""
    listed = ",".join(request.headers.getall("DATA-SCOPE-ORG", ()))
    return reading.digits(listed)


def _reset_connection(request: web.Request) -> None:
    """Reset the connection, so that the client sees an error and not an end."""
    transport = request.transport
    if transport is None:
        return
    held = transport.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
