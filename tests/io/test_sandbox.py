"""The sandbox is a faithful fake: documented answers, faults on script, an honest book."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import encode_basic_auth
from pydantic import SecretStr

from bulk_unenroll.sandbox import (
    SANDBOX_CLIENT_KEY,
    SANDBOX_CLIENT_SECRET,
    SANDBOX_PASSWORD,
    SANDBOX_USERNAME,
    Sandbox,
    ScenarioError,
    load_scenario,
    start_in_thread,
)
from bulk_unenroll.sandbox.scenario import parse_scenario
from bulk_unenroll.settings import Basic

PASSWORD = Basic.of(SecretStr(SANDBOX_USERNAME), SecretStr(SANDBOX_PASSWORD)).password_md5
BASIC = {"Authorization": encode_basic_auth(SANDBOX_USERNAME, PASSWORD.get_secret_value())}


class Caller:
    """Calls a sandbox as a client would."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self._session = session

    async def post(self, path: str, content: object, **headers: str) -> tuple[int, Any]:
        root = self.sandbox.base_url.removesuffix("/v3.1")
        async with self._session.post(
            root + path, json=content, headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text(errors="replace")
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text

    async def unenroll(
        self, customer: object, target: str = "1001/2001", prefix: str = "/v3.1", **headers: str
    ) -> tuple[int, Any]:
        group, rule = target.split("/")
        path = f"{prefix}/targetGroups/{group}/targets/{rule}/unEnroll"
        return await self.post(path, [{"customerId": customer}], **(headers or BASIC))

    async def code(self, customer: object, target: str = "1001/2001", **headers: str) -> object:
        """The error code, None for success."""
        _, document = await self.unenroll(customer, target, **headers)
        return document["errors"][0]["code"] if document["errors"] else None


Open = Callable[..., Any]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    session = aiohttp.ClientSession()
    sandboxes: list[Sandbox] = []

    async def open_(scenario: dict[str, Any] | None = None, **options: Any) -> Caller:
        sandbox = Sandbox(parse_scenario(scenario or {}), **options)
        await sandbox.__aenter__()
        sandboxes.append(sandbox)
        return Caller(sandbox, session)

    yield open_
    await session.close()
    for sandbox in sandboxes:
        await sandbox.__aexit__()


async def test_a_customer_is_taken_out_once(opened: Open) -> None:
    caller = await opened()
    assert await caller.unenroll(7) == (200, {"data": 7, "errors": None, "warnings": None})
    assert await caller.code(7) == 310149
    assert caller.sandbox.book.applied == {(0, 1001, 2001, 7): 1}


@pytest.mark.parametrize("prefix", ["/v3.1", "/v3", "/api_gateway/intouch-api-v3/v3.1"])
async def test_every_documented_prefix(opened: Open, prefix: str) -> None:
    assert (await (await opened()).unenroll(7, prefix=prefix))[0] == 200


@pytest.mark.parametrize("content", [[], [{}], [{"customerId": "7"}], {"customerId": 7}, [1, 2],
                                     [{"customerId": 1}, {"customerId": 2}]])  # fmt: skip
async def test_exactly_one_customer(opened: Open, content: object) -> None:
    caller = await opened()
    path = "/v3.1/targetGroups/1/targets/2/unEnroll"
    _, document = await caller.post(path, content, **BASIC)
    assert document["errors"][0]["code"] == 300004
    assert not caller.sandbox.book.applied


@pytest.mark.parametrize(
    ("customer", "target", "code"),
    [
        (999310011, "1/2", 310011),
        (999310019, "1/2", 310019),
        (999300004, "1/2", 300004),
        (999310149, "1/2", 310149),
        (999310119, "1/2", 310119),
        (7, "1/999999", 310018),
        (7, "999999/2", 310017),
    ],
)
async def test_test_ids_answer_their_code(
    opened: Open, customer: int, target: str, code: int
) -> None:
    caller = await opened()
    assert await caller.code(customer, target) == code
    assert not caller.sandbox.book.applied


async def test_test_ids_for_trouble(opened: Open) -> None:
    caller = await opened()
    assert (await caller.unenroll(999000503))[0] == 503
    with pytest.raises(aiohttp.ClientError):
        await caller.unenroll(999000000)
    assert await caller.code(999000000) == 310149


class TestAuth:
    async def test_basic(self, opened: Open) -> None:
        caller = await opened()
        status, document = await caller.unenroll(7, Authorization="Basic d3Jvbmc=")
        assert status == 401
        assert document["response"]["status"]["code"] == 401

    async def test_a_token_lives_as_long_as_it_says(self, opened: Open) -> None:
        now_s = [0.0]
        caller = await opened({"oauth": {"ttl_s": 10}}, clock=lambda: now_s[0])
        pair = {"key": SANDBOX_CLIENT_KEY, "secret": SANDBOX_CLIENT_SECRET}
        _, document = await caller.post("/v3/oauth/token/generate", pair)
        assert document["data"]["ttlSeconds"] == 10
        token = {"X-CAP-API-OAUTH-TOKEN": document["data"]["accessToken"]}
        assert (await caller.unenroll(7, **token))[0] == 200
        now_s[0] = 10.0
        assert (await caller.unenroll(8, **token))[0] == 498
        assert (await caller.unenroll(8, **{"X-CAP-API-OAUTH-TOKEN": "x"}))[0] == 401

    async def test_a_bad_pair(self, opened: Open) -> None:
        caller = await opened()
        status, document = await caller.post(
            "/v3/oauth/token/generate", {"key": "a", "secret": "b"}
        )
        assert status == 401
        assert document["errors"][0]["code"] == 320001


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"DATA-SCOPE": "SELF"}, None),
        ({"DATA-SCOPE": "ALL"}, 310141),
        ({"DATA-SCOPE": "OTHER"}, 310144),
        ({"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "1,2"}, 310144),
        ({"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "999999"}, 310144),
        ({"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "5"}, None),
    ],
)
async def test_scope(opened: Open, headers: dict[str, str], code: int | None) -> None:
    assert await (await opened()).code(7, **BASIC, **headers) == code


async def test_a_book_by_scenario_and_what_it_learns(opened: Open) -> None:
    caller = await opened(
        {"book": {"targets": ["1/2"], "customers": [7, 8], "not_enrolled": [8], "orgs": []}}
    )
    assert await caller.code(7, "1/2") is None
    assert await caller.code(8, "1/2") == 310149
    assert await caller.code(9, "1/2") == 310011
    assert await caller.code(7, "1/3") == 310018
    assert await caller.code(7, "3/2") == 310017
    taught = {"customers": [8, 9], "targets": ["3/2"]}
    assert (await caller.post("/_sandbox/teach", taught))[0] == 200
    assert await caller.code(8, "1/2") is None
    assert await caller.code(9, "3/2") is None


class TestRules:
    @pytest.mark.parametrize(
        ("act", "applied", "status"),
        [
            ("apply", True, 200),
            ("answer", False, 200),
            ("html", False, 502),
            ("redirect", False, 302),
            ("garbage", True, 200),
            ("oversized", True, 200),
        ],
    )
    async def test_answers(self, opened: Open, act: str, applied: bool, status: int) -> None:
        caller = await opened({"rule": [{"act": act}]})
        assert (await caller.unenroll(7))[0] == status
        assert bool(caller.sandbox.book.applied) is applied
        assert caller.sandbox.calls[0]["applied"] is applied

    @pytest.mark.parametrize(
        ("act", "applied"),
        [("reset_before", False), ("reset_after", True), ("half", True), ("silent", True),
         ("silent_unapplied", False), ("drip", True)],
    )  # fmt: skip
    async def test_broken_answers(self, opened: Open, act: str, applied: bool) -> None:
        caller = await opened({"rule": [{"act": act}]})
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with asyncio.timeout(0.3):
                await caller.unenroll(7)
        assert bool(caller.sandbox.book.applied) is applied

    async def test_when_they_act(self, opened: Open) -> None:
        refuse = {"act": "answer", "code": 521, "status": 400}
        caller = await opened({"rule": [{"attempt": 1, "customers": [7], **refuse}]})
        assert [await caller.code(who) for who in (7, 7, 8)] == [521, None, None]
        caller = await opened({"rule": [{"every": 3, "times": 1, **refuse}]})
        assert [await caller.code(who) for who in range(1, 7)] == [None, None, 521, *[None] * 3]
        now_s = [0.0]
        rule = {"after_s": 5, "before_s": 9, **refuse}
        caller = await opened({"rule": [rule]}, clock=lambda: now_s[0])
        found = []
        for now_s[0] in (0.0, 5.0, 9.0):
            found.append(await caller.code(int(now_s[0]) + 1))
        assert found == [None, 521, None]

    async def test_the_server_s_own_limit(self, opened: Open) -> None:
        caller = await opened({"limits": {"per_minute": 2}})
        assert [(await caller.unenroll(who))[0] for who in (1, 2, 3)] == [200, 200, 429]


async def test_the_journal_is_written_before_the_answer(opened: Open, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    caller = await opened({"rule": [{"act": "silent"}]}, journal=journal)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await caller.unenroll(7)
    (line,) = journal.read_text().splitlines()
    assert json.loads(line)["customer"] == 7


async def test_reset_forgets(opened: Open) -> None:
    caller = await opened()
    await caller.unenroll(7)
    await caller.post("/_sandbox/reset", {})
    assert await caller.code(7) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[bok]", ["bok", "book"]),
        ("[book]\ntarget = []", ["target", "targets"]),
        ('[[rule]]\nact = "reset-after"', ["reset-after", "reset_after"]),
        ("[rule]", ["[[rule]]"]),
        ("rule = [1]", ["[[rule]]"]),
        ("not toml", []),
    ],
)
def test_a_wrong_scenario_names_the_nearest_right_word(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as wrong:
        load_scenario(path)
    for word in words:
        assert word in str(wrong.value)


def test_it_runs_in_a_thread_and_stops() -> None:
    base_url, stop = start_in_thread()
    assert base_url.startswith("http://127.0.0.1:")
    stop()
