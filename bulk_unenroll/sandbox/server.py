"""The fake API over HTTP, on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from bulk_unenroll.sandbox.book import MESSAGES, Book, Key
from bulk_unenroll.sandbox.scenario import Call, Rule, Scenario, load_scenario, parse_rules

SANDBOX_USERNAME: Final = "sandbox"
SANDBOX_PASSWORD: Final = "sandbox"  # noqa: S105 - for rehearsals on this machine only
SANDBOX_CLIENT_KEY: Final = "sandbox-key"
SANDBOX_CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105

PREFIXES: Final = ("", "/v3", "/v3.1", "/api_gateway/intouch-api-v3/v3.1")
UNENROLL: Final = r"/targetGroups/{group:\d+}/targets/{target:\d+}/unEnroll"
LOG_MOST: Final = 2_000_000
GATEWAY_PAGE: Final = (
    "<html><head><title>{0}</title></head><body><h1>{0} Gateway</h1></body></html>"
)
BUSINESS_200: Final = frozenset({310149, 310011, 310018, 310017})
"""Which business errors come with HTTP 200. Which ones really do is not documented."""


class Sandbox:
    """The server. Use as an async context manager; ``base_url`` is set while it is open.

    ``journal`` gets one JSON line for each request before it is answered. ``clock`` is in seconds.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        port: int = 0,
        journal: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scenario = scenario or Scenario()
        self.book = Book(self.scenario.book)
        self.calls: deque[dict[str, Any]] = deque(maxlen=LOG_MOST)
        self.base_url = ""
        self._port = port
        self._journal_path = journal
        self._clock = clock
        self._began_s = clock()
        self._dice = random.Random(self.scenario.seed)  # noqa: S311 - faults, not secrets
        self._attempts: dict[Key, int] = {}
        self._tokens: dict[str, float] = {}
        self._window: deque[float] = deque()
        self._number = 0
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._journal = self._journal_path.open("a") if self._journal_path else None
        application = web.Application(client_max_size=1 << 20)
        for prefix in PREFIXES:
            application.router.add_post(prefix + UNENROLL, self._unenroll)
            application.router.add_post(prefix + "/oauth/token/generate", self._token)
        application.router.add_get("/_sandbox/{what}", self._tell)
        application.router.add_post("/_sandbox/{what}", self._teach)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{self._port}/v3.1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._runner.cleanup()
        if self._journal:
            self._journal.close()

    # ── the documented call ──────────────────────────────────────────────────────────────────────

    async def _unenroll(self, request: web.Request) -> web.StreamResponse:
        self._number += 1
        refusal = self._refuse_caller(request) or self._refuse_pace()
        if refusal is not None:
            self._note(request, None, refusal.status, applied=False)
            return refusal
        org, code = self._org(request)
        customer = await self._customer(request)
        if code or customer is None:
            return self._answered(request, None, _failure(code or 300004), applied=False)
        group, target = int(request.match_info["group"]), int(request.match_info["target"])
        key = (org, group, target, customer)
        self._attempts[key] = attempt = self._attempts.get(key, 0) + 1
        at_s = self._clock() - self._began_s
        call = Call(org or None, group, target, customer, attempt, self._number, at_s)
        rule = next((r for r in self.scenario.rules if r.matches(call, self._dice)), None)
        return await self._act(request, key, rule or self._test_rule(customer, attempt))

    async def _customer(self, request: web.Request) -> int | None:
        """The one customer of a documented body."""
        try:
            ((entry),) = json.loads(await request.read())
            customer = entry["customerId"]
        except (ValueError, TypeError, KeyError):
            return None
        whole = isinstance(customer, int) and not isinstance(customer, bool)
        return customer if whole and customer > 0 else None

    def _test_rule(self, customer: int, attempt: int) -> Rule | None:
        asked = self.book.test_code(customer)
        if asked is None:
            return None
        if asked == 0:
            return Rule(act="reset_after") if attempt == 1 else None
        if asked in MESSAGES:
            return Rule(act="answer", code=asked, message=MESSAGES[asked])
        return Rule(act="html", status=asked) if 400 <= asked < 600 else None

    async def _act(self, request: web.Request, key: Key, rule: Rule | None) -> web.StreamResponse:
        if rule is None:
            code = self.book.unenroll(key)
            return self._answered(request, key, _result(key[3], code), applied=code is None)
        if rule.delay_s:
            await self._pause(rule.delay_s)
        applying = rule.act not in (
            "answer",
            "html",
            "reset_before",
            "silent_unapplied",
            "redirect",
        )
        code = self.book.unenroll(key) if applying else None
        applied = applying and code is None
        if rule.act == "apply":
            return self._answered(request, key, _result(key[3], code), applied=applied)
        response = _scripted(rule)
        if response is not None:
            return self._answered(request, key, response, applied=applied)
        self._note(request, key, rule.act, applied=applied)
        return await self._break(request, rule.act, _result(key[3], code))

    async def _break(self, request: web.Request, act: str, result: web.Response) -> web.Response:
        """Answer in no readable way."""
        if act in ("silent", "silent_unapplied"):
            await self._pause(3600.0)
        transport = request.transport
        if act in ("half", "drip") and transport is not None:
            content = bytes(result.body) if isinstance(result.body, bytes) else b""
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            transport.write(head + content[: len(content) // 2])
            for index in range(len(content) // 2, len(content) if act == "drip" else 0):
                await self._pause(1.0)
                transport.write(content[index : index + 1])
            await asyncio.sleep(0.01)
        if transport is not None:
            transport.abort()
        return web.Response(status=500)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    # ── who may call ─────────────────────────────────────────────────────────────────────────────

    def _refuse_caller(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("X-CAP-API-OAUTH-TOKEN")
        if token is not None:
            expires_s = self._tokens.get(token)
            if expires_s is None:
                return _flat(401, 401, "Token invalid")
            return _flat(498, 498, "Token expired") if self._clock() >= expires_s else None
        if request.headers.get("Authorization") == _BASIC:
            return None
        status = {"success": "true", "code": 401, "message": "Unauthorised"}
        return web.json_response({"response": {"status": status}}, status=401)

    def _org(self, request: web.Request) -> tuple[int, int | None]:
        """The org to act on (0 for SELF), or the code that refuses the scope."""
        scope = request.headers.get("DATA-SCOPE", "SELF")
        if scope == "SELF":
            return 0, None
        if scope == "ALL":
            return 0, 310141
        org = request.headers.get("DATA-SCOPE-ORG", "")
        if scope != "OTHER" or not org.isascii() or not org.isdigit():
            return 0, 310144
        return int(org), None if self.book.knows_org(int(org)) else 310144

    def _refuse_pace(self) -> web.Response | None:
        limit = self.scenario.limits.per_minute
        if limit is None:
            return None
        now_s = self._clock()
        while self._window and self._window[0] <= now_s - 60:
            self._window.popleft()
        if len(self._window) < limit:
            self._window.append(now_s)
            return None
        wait_s = max(1, round(self._window[0] + 60 - now_s + 0.5))
        told = {"Retry-After": str(wait_s)} if self.scenario.limits.retry_after else {}
        return web.Response(status=429, headers=told)

    async def _token(self, request: web.Request) -> web.Response:
        try:
            asked = json.loads(await request.read())
            pair = asked["key"], asked["secret"]
        except (ValueError, TypeError, KeyError):
            pair = None, None
        if pair != (SANDBOX_CLIENT_KEY, SANDBOX_CLIENT_SECRET):
            return _failure(320001, 401)
        token = uuid.uuid4().hex
        ttl_s = self.scenario.oauth.ttl_s
        self._tokens[token] = self._clock() + ttl_s
        data = {"accessToken": token, "ttlSeconds": ttl_s}
        return web.json_response({"data": data, "errors": None})

    # ── what really happened ─────────────────────────────────────────────────────────────────────

    def _answered(
        self, request: web.Request, key: Key | None, response: web.Response, *, applied: bool
    ) -> web.Response:
        response.headers["X-CAP-REQUEST-ID"] = f"sandbox-{self._number}"
        self._note(request, key, response.status, applied=applied)
        return response

    def _note(
        self, request: web.Request, key: Key | None, answer: int | str, *, applied: bool
    ) -> None:
        org, group, target, customer = key or (0, 0, 0, 0)
        entry = {
            "at_s": round(self._clock() - self._began_s, 6),
            "path": request.path,
            "org": org or None,
            "group": group,
            "target": target,
            "customer": customer,
            "applied": applied,
            "answer": answer,
        }
        self.calls.append(entry)
        if self._journal:
            self._journal.write(json.dumps(entry) + "\n")
            self._journal.flush()

    async def _tell(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what == "book":
            return web.json_response(
                [
                    {"org": org or None, "group": g, "target": t, "customer": c, "applied": n}
                    for (org, g, t, c), n in self.book.applied.items()
                ]
            )
        if what == "calls":
            return web.json_response(list(self.calls))
        if what == "counts":
            applied = sum(self.book.applied.values())
            return web.json_response({"calls": self._number, "applied": applied})
        raise web.HTTPNotFound

    async def _teach(self, request: web.Request) -> web.Response:
        """``teach``: {"customers": [...], "targets": ["g/t"], "rules": [...]}; ``reset``."""
        what = request.match_info["what"]
        if what == "reset":
            self.book = Book(self.scenario.book)
            self.calls.clear()
            self._attempts.clear()
            self._number = 0
            return web.json_response({})
        if what != "teach":
            raise web.HTTPNotFound
        try:
            taught = json.loads(await request.read())
            pairs = [name.split("/") for name in taught.get("targets", [])]
            rules = parse_rules(taught["rules"]) if "rules" in taught else None
        except (ValueError, AttributeError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        self.book.taught_customers.update(taught.get("customers", []))
        self.book.taught_targets.update((int(group), int(target)) for group, target in pairs)
        if rules is not None:
            self.scenario = replace(self.scenario, rules=rules)
        return web.json_response({})


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def _hashed(password: str) -> str:
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


_BASIC: Final = (
    "Basic " + base64.b64encode(f"{SANDBOX_USERNAME}:{_hashed(SANDBOX_PASSWORD)}".encode()).decode()
)


def _result(customer: int, code: int | None) -> web.Response:
    if code is not None:
        return _failure(code)
    return web.json_response({"data": customer, "errors": None, "warnings": None})


def _failure(code: int | str, status: int | None = None, message: str = "") -> web.Response:
    says = message or MESSAGES.get(int(code) if str(code).isdigit() else 0, "Unknown error")
    document = {"data": None, "errors": [{"code": code, "message": says}], "warnings": None}
    if status is None:
        status = 200 if code in BUSINESS_200 else 400
    return web.json_response(document, status=status)


def _flat(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"errorCode": code, "errorMessage": message}, status=status)


def _scripted(rule: Rule) -> web.Response | None:
    """The whole answer that a rule asks for; None where it breaks the connection."""
    headers = dict(rule.headers)
    if rule.retry_after is not None:
        headers["Retry-After"] = rule.retry_after
    match rule.act:
        case "answer":
            return _as_told(rule, headers)
        case "html":
            status = 502 if rule.status == 200 else rule.status
            page = GATEWAY_PAGE.format(status)
            return web.Response(status=status, text=page, content_type="text/html", headers=headers)
        case "garbage":
            return web.Response(status=200, body=b"\x00\xff{")
        case "oversized":
            return web.Response(status=200, body=b" " * (3 << 20))
        case "redirect":
            return web.Response(status=302, headers={"Location": "/elsewhere", **headers})
    return None


def _as_told(rule: Rule, headers: dict[str, str]) -> web.Response:
    if rule.body is not None:
        return web.Response(status=rule.status, text=rule.body, headers=headers)
    if rule.code is None:
        return web.Response(status=rule.status, headers=headers)
    response = _failure(rule.code, rule.status, rule.message)
    response.headers.update(headers)
    return response


# ── running it ───────────────────────────────────────────────────────────────────────────────────


async def serve(
    port: int, scenario: Path | None, journal: Path | None, announce: Callable[[str], object]
) -> None:
    """Serve until a signal; raises ``OSError`` if the port is taken, ``ScenarioError``."""
    loaded = load_scenario(scenario) if scenario else None
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Sandbox(loaded, port=port, journal=journal) as sandbox:
        announce(f"sandbox at {sandbox.base_url} (Ctrl-C ends it)")
        announce(f"BULK_UNENROLL_BASE_URL={sandbox.base_url}")
        announce(f"BULK_UNENROLL_USERNAME={SANDBOX_USERNAME}")
        announce(f"BULK_UNENROLL_PASSWORD={SANDBOX_PASSWORD}")
        await ended.wait()


def start_in_thread(scenario: Scenario | None = None) -> tuple[str, Callable[[], None]]:
    """Serve from a thread of its own; the base URL, and how to stop it."""
    ready = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        state["stop"], state["loop"] = asyncio.Event(), asyncio.get_running_loop()
        async with Sandbox(scenario) as sandbox:
            state["url"] = sandbox.base_url
            ready.set()
            await state["stop"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="sandbox", daemon=True)
    thread.start()
    ready.wait()

    def stop() -> None:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(timeout=5)

    return state["url"], stop
