"""The sandbox: documented answers, scripted failures, and a true record of what it did."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from bulk_unenroll import sandbox as package
from bulk_unenroll.sandbox import (
    SANDBOX_CLIENT_KEY,
    SANDBOX_CLIENT_SECRET,
    Sandbox,
    Scenario,
    ScenarioError,
    load_scenario,
    parse_scenario,
    serve,
    start_in_thread,
)
from bulk_unenroll.sandbox.rules import ACTS

SAMPLES = Path(__file__).parents[2] / "sample_inputs"
# base64(sandbox:md5hex(sandbox)), calculated with md5sum and base64
BASIC = {"Authorization": "Basic c2FuZGJveDo5M2JjNjNlMGI0ZjQ4ZmJiZmY1NjhkOWZjMGRjM2RlZg=="}
PAIR = {"key": SANDBOX_CLIENT_KEY, "secret": SANDBOX_CLIENT_SECRET}
TOKEN = "/v3/oauth/token/generate"
CALL = "/v3.1/targetGroups/1001/targets/2001/unEnroll"


class Response(NamedTuple):
    """An answer as received; ``document`` is None if it is not JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def document(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> object:
        """The error code, None for success."""
        errors = self.document["errors"]
        return errors[0]["code"] if errors else None


class Caller:
    """Calls a sandbox as a client does."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.root = sandbox.base_url.removesuffix("/v3.1")
        self.port = int(self.root.rpartition(":")[2])
        self._session = session

    async def post(self, path: str, content: object, headers: Any = None) -> Response:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        async with self._session.post(
            self.root + path, data=data, headers=headers, allow_redirects=False
        ) as answer:
            return Response(answer.status, await answer.read(), answer.headers)

    async def ask(self, what: str) -> Any:
        async with self._session.get(f"{self.root}/_sandbox/{what}") as answer:
            return await answer.json()

    async def teach(self, **taught: object) -> Response:
        return await self.post("/_sandbox/teach", taught)

    async def unenroll(self, who: int, target: str = "1001/2001", headers: Any = BASIC) -> Response:
        group, rule = target.split("/")
        path = f"/v3.1/targetGroups/{group}/targets/{rule}/unEnroll"
        return await self.post(path, [{"customerId": who}], headers)

    async def code(self, who: int, target: str = "1001/2001", **scope: str) -> object:
        return (await self.unenroll(who, target, {**BASIC, **scope})).code

    async def raw(self, who: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a call, and return the streams without reading the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps([{"customerId": who}])
        lines = (f"POST {CALL} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}",
                 f"Authorization: {BASIC['Authorization']}", "", body)  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        return reader, writer


Open = Callable[..., Awaitable[Caller]]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.005)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """A function that opens a sandbox with a scenario, given as a TOML document."""
    session = aiohttp.ClientSession()
    sandboxes: list[Sandbox] = []

    async def open_(scenario: dict[str, Any] | None = None, **options: Any) -> Caller:
        sandbox = Sandbox(parse_scenario(scenario or {}), **options)
        await sandbox.start()
        sandboxes.append(sandbox)
        return Caller(sandbox, session)

    yield open_
    await session.close()
    for sandbox in sandboxes:
        await sandbox.stop()


class TestTheCall:
    async def test_a_customer_is_taken_out_once(self, opened: Open) -> None:
        caller = await opened()
        got = await caller.unenroll(7)
        assert (got.status, got.document) == (200, {"data": 7, "errors": None, "warnings": None})
        again = await caller.unenroll(7)
        assert (again.status, again.code, again.document["data"]) == (200, 310149, None)
        assert caller.sandbox.book.applied == {(0, 1001, 2001, 7): 1}

    @pytest.mark.parametrize("prefix", ["/v3.1", "/v3", "/api_gateway/intouch-api-v3/v3.1"])
    async def test_every_documented_prefix(self, opened: Open, prefix: str) -> None:
        caller = await opened()
        path = CALL.replace("/v3.1", prefix)
        assert (await caller.post(path, [{"customerId": 7}], BASIC)).status == 200
        assert caller.sandbox.calls[0]["prefix"] == prefix

    @pytest.mark.parametrize(
        "path",
        [CALL.replace("/v3.1", ""), CALL.replace("v3.1", "v4"), CALL.replace("2001", "x"),
         CALL.replace("2001", "٣"), CALL.replace("1001", "٣"),
         CALL.replace("2001", "9" * 20), CALL + "/"],
    )  # fmt: skip
    async def test_other_paths_are_not_found(self, opened: Open, path: str) -> None:
        caller = await opened()
        assert (await caller.post(path, [{"customerId": 7}], BASIC)).status == 404
        assert not caller.sandbox.calls

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[" * 5000, [], [{}], [7], [[7]], {"customerId": 7}, None,
         [{"customerId": "7"}], [{"customerId": 7.0}], [{"customerId": True}],
         [{"customerId": None}], [{"customerId": 0}], [{"customerId": -7}],
         [{"customerId": 2**63}], [{"customerId": 1}, {"customerId": 2}]],
    )  # fmt: skip
    async def test_the_body_must_name_exactly_one_customer(
        self, opened: Open, content: object
    ) -> None:
        caller = await opened()
        got = await caller.post(CALL, content, BASIC)
        assert (got.status, got.code) == (400, 300004)
        assert not caller.sandbox.book.applied
        assert caller.sandbox.calls[0]["code"] == 300004

    async def test_every_answer_has_a_request_id_of_its_own(self, opened: Open) -> None:
        caller = await opened({"rule": [{"customer": 3, "act": "html"}]})
        answers = [await caller.unenroll(who) for who in (1, 1, 2, 3)]
        answers += [await caller.unenroll(4, headers={}), await caller.post("/elsewhere", [])]
        answers += [await caller.post(TOKEN, PAIR), await caller.post(TOKEN, {})]
        assert len({got.headers["X-CAP-REQUEST-ID"] for got in answers}) == len(answers)

    async def test_a_customer_in_another_org_or_target_is_another_enrollment(
        self, opened: Open
    ) -> None:
        caller = await opened()
        other = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "5"}
        assert await caller.code(7) is None
        assert await caller.code(7, "1001/2002") is None
        assert await caller.code(7, **other) is None
        assert await caller.code(7, **other) == 310149


class TestTestIds:
    @pytest.mark.parametrize(
        ("code", "status"),
        [(310011, 200), (310149, 200), (310119, 400), (310019, 400), (310017, 400),
         (310018, 400), (300004, 400), (310141, 400), (310144, 400), (521, 400),
         (320001, 401)],
    )  # fmt: skip
    async def test_a_customer_that_is_answered_with_a_code(
        self, opened: Open, code: int, status: int
    ) -> None:
        caller = await opened()
        got = await caller.unenroll(999_000_000 + code)
        assert (got.status, got.code) == (status, code)
        assert got.document["data"] is None
        assert "as the scenario" not in got.document["errors"][0]["message"]
        assert not caller.sandbox.book.applied

    @pytest.mark.parametrize(("code", "status"), [(4000, 403), (4001, 503)])
    async def test_codes_of_the_authorisation_service_come_flat(
        self, opened: Open, code: int, status: int
    ) -> None:
        got = await (await opened()).unenroll(999_000_000 + code)
        assert (got.status, got.document["errorCode"]) == (status, code)

    async def test_targets_groups_and_orgs(self, opened: Open) -> None:
        caller = await opened()
        assert await caller.code(7, "1/999999") == 310018
        assert await caller.code(7, "999999/2") == 310017
        other = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "999999"}
        assert await caller.code(7, **other) == 310144
        assert not caller.sandbox.book.applied

    async def test_customers_that_are_answered_with_a_status_or_a_reset(self, opened: Open) -> None:
        caller = await opened()
        page = await caller.unenroll(999000500)
        assert (page.status, page.document) == (500, None)
        assert b"<html>" in page.body
        empty = await caller.unenroll(999000503)
        assert (empty.status, empty.body) == (503, b"")
        with pytest.raises(aiohttp.ClientError):
            await caller.unenroll(999000000)
        assert await caller.code(999000000) == 310149
        assert caller.sandbox.book.applied == {(0, 1001, 2001, 999000000): 1}

    async def test_ids_that_are_taught_or_listed_are_not_test_ids(self, opened: Open) -> None:
        caller = await opened()
        await caller.teach(customers=[999310011], groups=[999999], orgs=[999999])
        other = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "999999"}
        assert await caller.code(999310011, "999999/999999", **other) is None
        assert await caller.code(999310011) is None
        caller = await opened({"book": {"customers": [999310119]}})
        assert await caller.code(999310119) is None
        assert await caller.code(999310149) == 310011

    async def test_a_rule_that_only_delays_keeps_test_ids(self, opened: Open) -> None:
        caller = await opened({"rule": [{"delay_s": 0.01}]})
        assert await caller.code(999310119) == 310119


class TestAuth:
    async def test_the_documented_example(self, opened: Open) -> None:
        caller = await opened({"credentials": {"username": "store123", "password": "Pass123"}})
        vector = "c3RvcmUxMjM6MmYyM2ZhMzU3OWYzZjc1MTc1NzkzNjQ5MTE1YzFiMjU="
        headers = {"Authorization": f"Basic {vector}"}
        assert (await caller.unenroll(7, headers=headers)).status == 200
        assert (await caller.unenroll(8)).status == 401

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Basic d3Jvbmc="}, {"Authorization": "Bearer x"},
         {"Authorization": aiohttp.encode_basic_auth("sandbox", "sandbox")}],
    )  # fmt: skip
    async def test_a_wrong_password_is_refused(self, opened: Open, headers: dict[str, str]) -> None:
        caller = await opened()
        got = await caller.unenroll(7, headers=headers)
        status = {"success": "true", "code": 401, "message": "Unauthorised"}
        assert (got.status, got.document) == (401, {"response": {"status": status}})
        assert not caller.sandbox.book.applied
        (call,) = caller.sandbox.calls
        assert (call["act"], call["customer"], call["attempt"]) == ("refused", 7, 0)

    @pytest.mark.parametrize(
        "path",
        [TOKEN, "/v3.1/oauth/token/generate", "/oauth/token/generate",
         "/api_gateway/intouch-api-v3/v3/oauth/token/generate"],
    )  # fmt: skip
    async def test_a_token_expires_after_its_ttl(self, opened: Open, path: str) -> None:
        now_s = [0.0]
        caller = await opened({"oauth": {"ttl_s": 10}}, clock=lambda: now_s[0])
        got = await caller.post(path, PAIR)
        assert (got.status, got.document["errors"]) == (200, None)
        assert got.document["data"]["ttlSeconds"] == 10
        token = {"X-CAP-API-OAUTH-TOKEN": got.document["data"]["accessToken"]}
        now_s[0] = 9.99
        assert (await caller.unenroll(7, headers=token)).status == 200
        now_s[0] = 10.0
        dead = await caller.unenroll(8, headers=token)
        assert (dead.status, dead.code) == (498, 498)
        unknown = await caller.unenroll(8, headers={"X-CAP-API-OAUTH-TOKEN": "x"})
        assert (unknown.status, unknown.document["errorCode"]) == (401, 401)
        assert (await caller.ask("counts"))["tokens"] == 1

    async def test_tokens_differ_and_expire_after_300_s_by_default(self, opened: Open) -> None:
        caller = await opened()
        given = [(await caller.post(TOKEN, PAIR)).document["data"] for _ in range(2)]
        assert [data["ttlSeconds"] for data in given] == [300, 300]
        assert given[0]["accessToken"] != given[1]["accessToken"]

    @pytest.mark.parametrize(
        "content", [{**PAIR, "secret": "x"}, {**PAIR, "key": "x"}, {"key": "x"}, [], b"{", b""]
    )
    async def test_a_wrong_key_or_secret_is_refused(self, opened: Open, content: object) -> None:
        got = await (await opened()).post(TOKEN, content)
        assert (got.status, got.code) == (401, 320001)


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "orgs", "code"),
        [
            ("SELF", [], None),
            ("SELF", ["999999"], None),
            ("OTHER", ["5"], None),
            ("ALL", [], 310141),
            ("ALL", ["5"], 310141),
            ("OTHER", [], 310144),
            ("OTHER", [""], 310144),
            ("OTHER", ["1,2"], 310144),
            ("OTHER", ["1", "2"], 310144),
            ("OTHER", ["x"], 310144),
            ("OTHER", ["٣"], 310144),
            ("OTHER", ["05"], 310144),
            ("OTHER", ["999999"], 310144),
            ("ELSE", ["5"], 310144),
        ],
    )
    async def test_scope(self, opened: Open, scope: str, orgs: list[str], code: int | None) -> None:
        caller = await opened()
        named = [("DATA-SCOPE-ORG", org) for org in orgs]
        headers = [*BASIC.items(), ("DATA-SCOPE", scope), *named]
        assert (await caller.unenroll(7, headers=headers)).code == code
        assert caller.sandbox.calls[0]["scope"] == scope
        assert bool(caller.sandbox.book.applied) is (code is None)

    async def test_a_scenario_lists_the_connected_orgs(self, opened: Open) -> None:
        caller = await opened({"book": {"orgs": [5]}})
        codes = [
            await caller.code(7, **{"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": org})
            for org in ("5", "6")
        ]
        assert codes == [None, 310144]
        assert [call["org"] for call in caller.sandbox.calls] == [5, 6]


class TestBook:
    async def test_a_book_from_a_scenario(self, opened: Open) -> None:
        book = {"targets": ["1/2", {"group": 1, "target": 4}], "groups": [5],
                "customers": [7], "not_enrolled": [8]}  # fmt: skip
        caller = await opened({"book": book})
        asked = [
            (7, "1/2"),
            (7, "1/4"),
            (7, "5/77"),
            (8, "1/2"),
            (9, "1/2"),
            (7, "1/3"),
            (7, "3/2"),
        ]
        codes = [await caller.code(who, target) for who, target in asked]
        assert codes == [None, None, None, 310149, 310011, 310018, 310017]

    async def test_customers_from_a_file(self, opened: Open, tmp_path: Path) -> None:
        (tmp_path / "ids.txt").write_text("7\n\n8\r\n")
        path = tmp_path / "s.toml"
        path.write_text('[book]\ncustomers_file = "ids.txt"\ncustomers = 9\n')
        async with Sandbox(load_scenario(path)) as sandbox, aiohttp.ClientSession() as session:
            caller = Caller(sandbox, session)
            assert [await caller.code(who) for who in (7, 8, 9, 10)] == [None] * 3 + [310011]

    async def test_teaching_adds_to_the_book(self, opened: Open) -> None:
        caller = await opened({"book": {"targets": ["1/2"], "customers": [7], "not_enrolled": 8}})
        assert await caller.code(8, "1/2") == await caller.code(8, "1/2") == 310149
        taught = {"customers": [8, 9], "targets": ["3/2"], "groups": [4]}
        assert (await caller.teach(**taught)).status == 200
        assert [await caller.code(*of) for of in ((8, "1/2"), (9, "3/2"), (7, "4/4"))] == [None] * 3

    async def test_a_taught_customer_is_enrolled_again(self, opened: Open) -> None:
        caller = await opened()
        assert await caller.code(7) is None
        await caller.teach(customers=7)
        assert [await caller.code(7), await caller.code(7)] == [None, 310149]
        (entry,) = await caller.ask("book")
        assert entry == {"org": None, "group": 1001, "target": 2001, "customer": 7, "applied": 2}

    @pytest.mark.parametrize(
        ("setting", "statuses"),
        [({}, [200, 400]), (200, [200, 200]), (422, [422, 422]), ({"310018": 404}, [200, 404])],
    )
    async def test_the_status_that_comes_with_an_error(
        self, opened: Open, setting: Any, statuses: list[int]
    ) -> None:
        caller = await opened({"errors_with_status": setting})
        got = [await caller.unenroll(999310011), await caller.unenroll(999310018)]
        assert [answer.status for answer in got] == statuses


class TestActs:
    @pytest.mark.parametrize(
        ("act", "applied", "status"),
        [("apply", True, 200), ("garbage", True, 200), ("oversized", True, 200),
         ("errors_with_200", True, 200), ("empty_204", True, 204), ("answer", False, 200),
         ("html", False, 502), ("redirect", False, 302)],
    )  # fmt: skip
    async def test_answers(self, opened: Open, act: str, applied: bool, status: int) -> None:
        caller = await opened({"rule": [{"act": act}]})
        assert (await caller.unenroll(7)).status == status
        assert bool(caller.sandbox.book.applied) is applied
        (call,) = caller.sandbox.calls
        assert (call["act"], call["applied"], call["answer"]) == (act, applied, status)

    @pytest.mark.parametrize(
        ("act", "applied"),
        [("reset_before", False), ("reset_after", True), ("half", True), ("silent", True),
         ("silent_unapplied", False), ("drip", True)],
    )  # fmt: skip
    async def test_broken_answers(self, opened: Open, act: str, applied: bool) -> None:
        caller = await opened({"rule": [{"act": act}]})
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with asyncio.timeout(0.2):
                await caller.unenroll(7)
        assert bool(caller.sandbox.book.applied) is applied
        (call,) = caller.sandbox.calls
        assert (call["act"], call["applied"], call["answer"]) == (act, applied, act)

    async def test_a_reset_is_seen_by_the_client(self, opened: Open) -> None:
        caller = await opened({"rule": [{"act": "reset_before"}]})
        reader, writer = await caller.raw(7)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    async def test_a_reset_can_be_delayed(self, opened: Open) -> None:
        caller = await opened({"rule": [{"act": "reset_before", "delay_s": 0.1}]})
        began_s = time.monotonic()
        with pytest.raises(aiohttp.ClientError):
            await caller.unenroll(7)
        assert time.monotonic() - began_s >= 0.1

    async def test_half_an_answer_ends_without_a_reset(self, opened: Open) -> None:
        caller = await opened({"rule": [{"kind": "half_body"}]})
        reader, writer = await caller.raw(7)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length
        assert 0 < len(body) < int(length[1])
        assert b"X-CAP-REQUEST-ID" in head
        writer.close()

    async def test_silence_lasts_until_the_client_disconnects(self, opened: Open) -> None:
        caller = await opened({"rule": [{"act": "silent"}]})
        tasks = len(asyncio.all_tasks())
        reader, writer = await caller.raw(7)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        writer.close()
        await until(lambda: len(asyncio.all_tasks()) == tasks)

    async def test_the_contents_of_each_answer(self, opened: Open) -> None:
        caller = await opened()

        async def answer_of(**rule: object) -> Response:
            await caller.teach(rules=[rule], customers=[7])
            return await caller.unenroll(7)

        large = await answer_of(act="oversized")
        assert len(large.body) > 1 << 20
        assert large.document["data"] == 7
        assert (await answer_of(act="garbage")).document is None
        moved = await answer_of(act="redirect", status=307, headers={"Location": "/x"})
        assert (moved.status, moved.headers["Location"]) == (307, "/x")
        assert (await answer_of(body='{"data": 5}')).document == {"data": 5}
        busy = await answer_of(status=429, retry_after="3")
        assert (busy.status, busy.headers["Retry-After"], busy.body) == (429, "3", b"")
        named = await answer_of(code=310018)
        assert (named.status, named.code) == (400, 310018)
        assert named.document["errors"][0]["message"] == "Target rule not found"
        word = await answer_of(code="NEW", status=200, message="what?")
        assert word.document["errors"] == [{"code": "NEW", "message": "what?"}]
        assert (await answer_of(message="what?")).document["errors"][0]["code"] is None
        page = await answer_of(act="html", status=520, body="<p>")
        assert (page.status, page.body, page.headers["Content-Type"]) == (520, b"<p>", "text/html")

    async def test_errors_can_come_with_200(self, opened: Open) -> None:
        caller = await opened({"rule": [{"act": "errors_with_200"}]})
        got = await caller.unenroll(7, "1/999999")
        assert (got.status, got.code) == (200, 310018)

    async def test_a_delay_affects_no_other_call_and_the_book_changes_at_once(
        self, opened: Open
    ) -> None:
        caller = await opened({"rule": [{"customer": 7, "delay_s": 0.4}]})
        began_s = time.monotonic()
        slow = asyncio.create_task(caller.unenroll(7))
        await until(lambda: bool(caller.sandbox.calls))
        assert await caller.code(8) is None
        assert time.monotonic() - began_s < 0.4
        assert [entry["customer"] for entry in await caller.ask("book")] == [7, 8]
        assert (await slow).code is None
        assert time.monotonic() - began_s >= 0.4


class TestRules:
    @pytest.mark.parametrize(
        ("when", "refused"),
        [
            ({}, [1, 2, 3, 4, 5, 6]),
            ({"customers": [2, 5]}, [2, 5]),
            ({"customer": 2}, [2]),
            ({"group": 1001}, [1, 2, 3, 4, 5, 6]),
            ({"groups": [9]}, []),
            ({"target": [2001, 9]}, [1, 2, 3, 4, 5, 6]),
            ({"targets": 9}, []),
            ({"org": 5}, []),
            ({"attempt": 1}, [1, 2, 3, 4, 5, 6]),
            ({"attempt": [2, 3]}, []),
            ({"nth": 3}, [3]),
            ({"nth": [1, 6]}, [1, 6]),
            ({"every": 3}, [3, 6]),
            ({"every": 2, "times": 2}, [2, 4]),
            ({"times": 0}, []),
            ({"probability": 0}, []),
            ({"probability": 1, "customers": [4, 6], "times": 1}, [4]),
            ({"after_s": 2, "before_s": 5}, [2, 3, 4]),
        ],
    )
    async def test_when_a_rule_applies(
        self, opened: Open, when: dict[str, Any], refused: list[int]
    ) -> None:
        now_s = [0.0]
        caller = await opened({"rule": [{**when, "code": 521}]}, clock=lambda: now_s[0])
        found = []
        for who in range(1, 7):
            now_s[0] = float(who)
            found += [who] if await caller.code(who) == 521 else []
        assert found == refused
        assert (await caller.ask("counts"))["rules"] == [{"act": "answer", "used": len(refused)}]

    async def test_attempts_are_counted_for_each_customer_and_target(self, opened: Open) -> None:
        caller = await opened({"rule": [{"attempt": 1, "code": 521}]})
        asked = [(7, "1/1"), (8, "1/1"), (7, "1/1"), (7, "1/2"), (7, "1/2")]
        codes = [await caller.code(who, target) for who, target in asked]
        assert codes == [521, 521, None, 521, None]
        other = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "5"}
        assert await caller.code(7, "1/1", **other) == 521

    async def test_the_first_rule_that_matches_applies(self, opened: Open) -> None:
        rules = [{"customer": 7, "code": 521}, {"code": 310019}]
        caller = await opened({"rule": rules})
        assert [await caller.code(7), await caller.code(8)] == [521, 310019]

    async def test_random_numbers_depend_only_on_the_seed(self, opened: Open) -> None:
        async def refused(seed: int, *before: dict[str, Any]) -> list[int]:
            random_rule = {"probability": 0.5, "seed": seed, "code": 521}
            caller = await opened({"rule": [*before, random_rule, {"act": "apply"}]})
            return [who for who in range(1, 31) if await caller.code(who) == 521]

        first = await refused(3)
        assert 5 < len(first) < 25
        assert first == await refused(3)
        assert first != await refused(4)

    async def test_a_scenario_can_be_used_again(self, opened: Open) -> None:
        scenario = parse_scenario({"rule": [{"times": 1, "code": 521}]})
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with Sandbox(scenario) as sandbox:
                    caller = Caller(sandbox, session)
                    assert [await caller.code(7), await caller.code(7)] == [521, None]

    async def test_rules_do_not_apply_to_refused_or_malformed_calls(self, opened: Open) -> None:
        caller = await opened({"rule": [{"act": "silent"}]})
        assert (await caller.unenroll(7, headers={})).status == 401
        assert (await caller.post(CALL, [], BASIC)).code == 300004


class TestLimits:
    async def test_a_sliding_minute(self, opened: Open) -> None:
        now_s = [0.0]
        caller = await opened({"limits": {"per_minute": 2}}, clock=lambda: now_s[0])
        assert await caller.code(1) is None
        now_s[0] = 30.5
        assert await caller.code(2) is None
        busy = await caller.unenroll(3)
        assert (busy.status, busy.headers["Retry-After"]) == (429, "30")
        now_s[0] = 60.0
        assert await caller.code(3) is None
        assert (await caller.unenroll(4)).headers["Retry-After"] == "31"
        assert [call["answer"] for call in caller.sandbox.calls] == [200, 200, 429, 200, 429]

    async def test_without_retry_after(self, opened: Open) -> None:
        caller = await opened({"limits": {"per_minute": 1, "retry_after": False}})
        await caller.unenroll(1)
        busy = await caller.unenroll(2)
        assert busy.status == 429
        assert "Retry-After" not in busy.headers


class TestWitness:
    async def test_calls_and_counts(self, opened: Open) -> None:
        now_s = [100.0]
        rules = [{"customer": 8, "act": "reset_after"}]
        caller = await opened({"rule": rules}, clock=lambda: now_s[0])
        now_s[0] = 101.5
        await caller.code(7, **{"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "5"})
        with pytest.raises(aiohttp.ClientError):
            await caller.unenroll(8)
        await caller.unenroll(8, headers={})
        calls = await caller.ask("calls")
        assert calls[0] == {
            "number": 1, "at_s": 1.5, "prefix": "/v3.1", "scope": "OTHER", "org": 5,
            "group": 1001, "target": 2001, "customer": 7, "attempt": 1, "applied": True,
            "act": "apply", "answer": 200, "code": None,
        }  # fmt: skip
        found = [(call["number"], call["answer"], call["applied"]) for call in calls]
        assert found == [(1, 200, True), (2, "reset_after", True), (3, 401, False)]
        assert await caller.ask("counts") == {
            "calls": 3, "applied": 2, "tokens": 0, "codes": {},
            "answers": {"200": 1, "reset_after": 1, "401": 1},
            "rules": [{"act": "reset_after", "used": 1}],
        }  # fmt: skip

    async def test_reset_starts_over(self, opened: Open) -> None:
        now_s = [0.0]
        rules = [{"attempt": 1, "times": 1, "code": 521}, {"before_s": 5, "delay_s": 0}]
        scenario = {"rule": rules, "limits": {"per_minute": 2}}
        caller = await opened(scenario, clock=lambda: now_s[0])
        token = (await caller.post(TOKEN, PAIR)).document["data"]["accessToken"]
        await caller.teach(rules=[])
        for now_s[0] in (0.0, 9.0):
            assert (await caller.post("/_sandbox/reset", {})).status == 200
            assert await caller.ask("calls") == await caller.ask("book") == []
            headers = {"X-CAP-API-OAUTH-TOKEN": token}
            codes = [(await caller.unenroll(7, headers=headers)).code for _ in range(2)]
            assert codes == [521, None]
            counts = await caller.ask("counts")
            assert (counts["calls"], counts["applied"], counts["codes"]) == (2, 1, {"521": 1})
            assert [rule["used"] for rule in counts["rules"]] == [1, 1]

    @pytest.mark.parametrize(
        ("taught", "words"),
        [({"customer": [1]}, ["customer", "customers"]), ({"customers": ["1"]}, ["integer"]),
         ({"targets": ["1-2"]}, ["group/target"]), ({"rules": [{"acts": "half"}]}, ["act"]),
         ([], ["table"]), (b"{", [])],
    )  # fmt: skip
    async def test_wrong_teaching_is_refused_with_the_reason(
        self, opened: Open, taught: object, words: list[str]
    ) -> None:
        got = await (await opened()).post("/_sandbox/teach", taught)
        assert got.status == 400
        assert all(word in got.body.decode() for word in words)

    async def test_the_journal_is_written_before_the_answer(
        self, opened: Open, tmp_path: Path
    ) -> None:
        journal = tmp_path / "journal"
        rules = [{"customer": 7, "act": "silent"}, {"customer": 8, "delay_s": 60}]
        caller = await opened({"rule": rules}, journal=journal)
        for who in (7, 8):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await caller.unenroll(who)
        await caller.unenroll(9, headers={})
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        assert lines == await caller.ask("calls")
        assert [line["customer"] for line in lines] == [7, 8, 9]
        assert journal.stat().st_mode & 0o777 == 0o600

    async def test_a_journal_is_appended_to(self, opened: Open, tmp_path: Path) -> None:
        for _ in range(2):
            caller = await opened(journal=tmp_path / "journal")
            await caller.unenroll(7)
            await caller.post("/_sandbox/reset", {})
        assert len((tmp_path / "journal").read_text().splitlines()) == 2


class TestScenarioFile:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("not toml", []),
            ("[bok]", ["bok", "did you mean 'book'"]),
            ("book = 1", ["[book]", "table"]),
            ("seed = 'x'", ["seed", "integer"]),
            ("[book]\ntarget = []", ["[book]", "did you mean 'targets'"]),
            ("[book]\ntargets = ['1_0/2']", ["targets", "group/target"]),
            ("[book]\ntargets = [{group = 1}]", ["targets", "{group, target}"]),
            ("[book]\ncustomers = ['7']", ["customers", "'7'"]),
            ("[book]\ncustomers = [true]", ["customers", "True"]),
            ("[book]\ncustomers_file = 'none.txt'", ["customers_file", "none.txt"]),
            ("[book]\ncustomers_file = 'wrong.txt'", ["line 2", "customerId"]),
            ("[oauth]\nttl_s = -1", ["ttl_s", "-1"]),
            ("[oauth]\nttl_s = nan", ["ttl_s", "nan"]),
            ("[limits]\nper_minute = 0", ["per_minute", "0"]),
            ("[limits]\nretry_after = 1", ["retry_after", "true or false"]),
            ("[credentials]\nuser = 'x'", ["user", "did you mean 'username'"]),
            ("errors_with_status = 99", ["errors_with_status", "99"]),
            ("[errors_with_status]\nx = 200", ["errors_with_status", "'x'"]),
            ("[rule]", ["[[rule]]"]),
            ("rule = [1]", ["[[rule]] 1"]),
            ("[[rule]]\n[[rule]]\ndelay = 1", ["[[rule]] 2", "did you mean 'delay_s'"]),
            ("[[rule]]\nact = 'reset-after'", ["reset-after", "did you mean 'reset_after'"]),
            ("[[rule]]\nact = 7", ["act", "7"]),
            ("[[rule]]\ncustomer = 1\ncustomers = 2", ["customers", "again"]),
            ("[[rule]]\nprobability = 10", ["probability", "0 to 1"]),
            ("[[rule]]\nstatus = 100", ["status", "200"]),
            ("[[rule]]\nact = 'silent'\nstatus = 500", ["'status'", "'silent'"]),
            ('[[rule]]\nretry_after = "a\\nb"', ["retry_after", "line"]),
            ("[[rule]]\nheaders = 'x'", ["headers", "table"]),
            ("[[rule]]\nmessage = 1", ["message", "string"]),
            ("[[rule]]\ncode = 1.5", ["code", "1.5"]),
        ],
    )
    def test_an_error_is_named_in_one_line(
        self, tmp_path: Path, text: str, words: list[str]
    ) -> None:
        (tmp_path / "wrong.txt").write_text("7\ncustomerId\n")
        path = tmp_path / "s.toml"
        path.write_text(text)
        with pytest.raises(ScenarioError) as wrong:
            load_scenario(path)
        message = str(wrong.value)
        assert all(word in message for word in words), message
        assert message
        assert "\n" not in message

    def test_a_missing_file_raises_file_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            load_scenario(tmp_path / "none.toml")

    def test_an_empty_scenario_is_the_default(self) -> None:
        assert parse_scenario({}) == Scenario()

    @pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.toml")), ids=lambda path: path.name)
    def test_the_samples_load(self, path: Path) -> None:
        assert load_scenario(path).rules

    def test_the_scenario_in_the_docstring_is_valid(self, tmp_path: Path) -> None:
        reference = (package.__doc__ or "").partition("::\n")[2].partition("=====")[0]
        (tmp_path / "ids.txt").write_text("7\n")
        path = tmp_path / "s.toml"
        path.write_text(reference)
        scenario = load_scenario(path)
        assert scenario.book.customers == frozenset({423789336, 7})
        assert scenario.rules[0].retry_after == "5"

    def test_the_docstring_names_every_act(self) -> None:
        listed = re.findall(r"^``(\w+)`` +(?:yes|no) ", package.__doc__ or "", re.MULTILINE)
        assert sorted(listed) == sorted(ACTS)


class TestRunning:
    async def test_it_stops_at_once_even_with_calls_waiting(self) -> None:
        rules = [{"nth": 1, "act": "silent"}, {"nth": 2, "act": "drip"}, {"delay_s": 60}]
        async with aiohttp.ClientSession() as session:
            sandbox = Sandbox(parse_scenario({"rule": rules}))
            await sandbox.start()
            caller = Caller(sandbox, session)
            waiting = [asyncio.create_task(caller.unenroll(who)) for who in (1, 2, 3)]
            await until(lambda: len(sandbox.calls) == 3)
            began_s = time.monotonic()
            await sandbox.stop()
            assert time.monotonic() - began_s < 2
            ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(ends[0], aiohttp.ClientError)
        assert [end.code for end in ends[1:] if isinstance(end, Response)] == [None, None]

    async def test_it_can_be_reached_only_from_this_machine(self, opened: Open) -> None:
        caller = await opened()
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.2", caller.port)

    async def test_a_port_in_use_raises_os_error(self, opened: Open) -> None:
        caller = await opened()
        with pytest.raises(OSError, match="in use"):
            await Sandbox(port=caller.port).start()

    async def test_it_can_start_again_on_its_port(self) -> None:
        sandbox = Sandbox()
        first = await sandbox.start()
        await sandbox.stop()
        port = int(first.split(":")[2].split("/")[0])
        async with Sandbox(port=port) as again:
            assert again.base_url == first == f"http://127.0.0.1:{port}/v3.1"

    async def test_serve_announces_its_address_and_ends_when_cancelled(
        self, tmp_path: Path
    ) -> None:
        announced: list[str] = []
        path = tmp_path / "s.toml"
        path.write_text('[credentials]\nusername = "till"\n')
        task = asyncio.create_task(serve(0, path, tmp_path / "journal", announced.append))
        await until(lambda: len(announced) == 4)
        base_url = announced[0].split()[2]
        assert announced[1:3] == [
            f"BULK_UNENROLL_BASE_URL={base_url}", "BULK_UNENROLL_USERNAME=till"
        ]  # fmt: skip
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", int(base_url.split(":")[2].split("/")[0]))

    async def test_start_in_a_thread(self) -> None:
        base_url, stop = start_in_thread(parse_scenario({"rule": [{"status": 418}]}))
        path = f"{base_url}/targetGroups/1/targets/2/unEnroll"
        async with (
            aiohttp.ClientSession() as session,
            session.post(path, json=[{"customerId": 7}], headers=BASIC) as answer,
        ):
            assert answer.status == 418
        stop()
        stop()
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", int(base_url.split(":")[2].split("/")[0]))

    def test_a_failure_to_start_in_a_thread_is_raised(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(_: Sandbox) -> str:
            raise OSError("no port")

        monkeypatch.setattr(Sandbox, "start", refuse)
        with pytest.raises(OSError, match="no port"):
            start_in_thread()


def test_it_imports_nothing_else_of_this_program() -> None:
    files = sorted(Path(package.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                root, _, rest = name.partition(".")
                assert root in {*sys.stdlib_module_names, "aiohttp", "bulk_unenroll"}, name
                assert root != "bulk_unenroll" or rest.partition(".")[0] == "sandbox", name
