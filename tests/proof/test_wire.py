"""Wire faults: "not sent" is said only where the server saw nothing, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from yarl import URL

from bulk_unenroll.capillary import client as program
from bulk_unenroll.capillary.calls import Fault, Loss, Reply
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.model import Enrollment, Target
from tests.kit.command import CREDENTIALS, Desk
from tests.kit.tiers import long, thorough
from tests.proof.kit.rude_server import (
    PATIENCE_S,
    Manner,
    RudeServer,
    Talk,
    answer,
    cuts,
    good,
    replies,
    says,
    success,
)

READ_TIMEOUT_S = 2.0
AT_ONCE = 24
WARM_UP, ATTACKED, THEN, STRANGER = 101, 102, 103, 666
GOOD = answer(success(ATTACKED))
HEADERS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
Outcome = Literal["unsent", "doubt", "answer"]


# ── manners that need more than a line ───────────────────────────────────────────────────────────


def resets_unread(talk: Talk) -> None:
    talk.arrival()
    talk.reset()


def resets_after_headers(talk: Talk) -> None:
    talk.head()
    talk.reset()


def resets_after_body(talk: Talk) -> None:
    talk.request()
    talk.reset()


def closes_unread(talk: Talk) -> None:
    talk.arrival()
    talk.close()


def ends_sending(talk: Talk) -> None:
    talk.request()
    talk.end_sending()
    talk.until_gone()


def drips_headers(talk: Talk) -> None:
    talk.request()
    for byte in HEADERS + b"X: y\r\n" * 100:
        talk.send(bytes([byte]))
        talk.sleep(0.05)


def refuses_before_it_is_asked(talk: Talk) -> None:
    talk.send(answer(b"", "Connection: close", status="503 Service Unavailable"))
    talk.acted()
    talk.until_gone()


def afterwards(content: bytes, *, closes: bool = True) -> Manner:
    """Answer well; a moment later send ``content`` over the idle connection."""

    def manner(talk: Talk) -> None:
        good(talk)
        talk.sleep(0.02)
        talk.send(content)
        if closes:
            talk.close()
        talk.acted()

    return manner


def closes_after(seconds: float) -> Manner:
    def manner(talk: Talk) -> None:
        talk.sleep(seconds)
        talk.close()

    return manner


# ── the kinds ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Kind:
    """A fault, and what may come of the call that meets it.

    ``fresh`` and ``reused`` are the outcomes over a connection of that sort. The manner of a kind
    that ``acts`` before or after the attacked call does so unasked, and the test waits for it.
    """

    manner: Manner
    fresh: tuple[Outcome, ...] = ("doubt",)
    reused: tuple[Outcome, ...] = ("doubt",)
    acts: Literal["", "before", "after"] = ""


ANSWER: tuple[Outcome, ...] = ("answer",)
ANY: tuple[Outcome, ...] = ("unsent", "doubt", "answer")

KINDS = {
    "accepted, then closed at once": Kind(closes_after(0), ("unsent", "doubt"), ANY),
    "reset before reading": Kind(resets_unread),
    "reset after reading the headers": Kind(resets_after_headers),
    "reset after reading the body": Kind(resets_after_body),
    "FIN as the request is written": Kind(closes_unread),
    "FIN, then silence": Kind(ends_sending),
    "half a status line": Kind(cuts(b"HTTP/1.1 20")),
    "closed after the headers": Kind(cuts(answer(b"", length=40))),
    "closed in a chunk": Kind(cuts(CHUNKED + b"20\r\n{")),
    "closed between chunks": Kind(cuts(CHUNKED + b"1\r\n{\r\n")),
    "no chunk size": Kind(cuts(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n")),
    "wrong chunk size": Kind(cuts(CHUNKED + b"2\r\n" + success(ATTACKED) + b"\r\n0\r\n\r\n")),
    "Content-Length too long, closed": Kind(cuts(answer(success(ATTACKED), length=999))),
    "Content-Length too long, silent": Kind(says(answer(success(ATTACKED), length=999))),
    "Content-Length too short": Kind(says(answer(success(ATTACKED), length=9)), ANY, ANY),
    "two Content-Lengths": Kind(says(answer(success(ATTACKED), "Content-Length: 2"))),
    "garbage for HTTP": Kind(says(random.Random(1).randbytes(400))),
    "another protocol": Kind(says(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "HTTP/0.9": Kind(cuts(success(ATTACKED))),
    "TLS where none is expected": Kind(cuts(TLS_ALERT)),
    "no such status": Kind(cuts(b"HTTP/1.1 abc OK\r\n\r\n")),
    "1xx, then nothing": Kind(says(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    "a flood of 100 Continue": Kind(says(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)),
    "101, then silence": Kind(
        says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ANSWER,
        ANSWER,
    ),
    "slow headers": Kind(drips_headers),
    "no answer ever": Kind(says(b"")),
    "truncated gzip": Kind(
        replies(answer(gzip.compress(success(ATTACKED))[:20], "Content-Encoding: gzip")), ANY, ANY
    ),
    "no gzip at all": Kind(says(answer(success(ATTACKED), "Content-Encoding: gzip"))),
    "refused before it was asked": Kind(refuses_before_it_is_asked, ANY, ANSWER, "before"),
    "two answers at once": Kind(says(GOOD + answer(success(STRANGER))), ANSWER, ANSWER),
    "a second answer a moment later": Kind(
        afterwards(answer(success(STRANGER)), closes=False), ANSWER, ANSWER, "after"
    ),
    "half a second answer a moment later": Kind(
        afterwards(b"HTTP/1.1 200 OK\r\nContent-", closes=False), ANSWER, ANSWER, "after"
    ),
    "408 while idle": Kind(
        afterwards(answer(b"", status="408 Request Timeout"), closes=False), ANSWER, ANSWER, "after"
    ),
    "closed while idle": Kind(afterwards(b""), ANSWER, ANSWER, "after"),
}


# ── the attack ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Found:
    """What came of the calls of a session, and what the server saw of them."""

    what: str
    answers: Mapping[int, Reply | Fault]
    expected: tuple[Outcome, ...]
    seen: Mapping[int, int]
    begun: int

    @property
    def unsent(self) -> int:
        return sum(outcome(given) == "unsent" for given in self.answers.values())

    def faults(self) -> Iterator[str]:
        """Every way in which a law was broken."""
        attacked = outcome(self.answers[ATTACKED])
        if attacked not in self.expected:
            yield f"{self.what}: {attacked}, not {self.expected}: {self.answers[ATTACKED]}"
        if outcome(self.answers[THEN]) != "answer":
            yield f"{self.what}: the next call came to {self.answers[THEN]}"
        if self.begun > len(self.answers) - self.unsent:
            yield f"{self.what}: {self.begun} requests seen, {self.unsent} said to be unsent"
        for customer, given in self.answers.items():
            if self.seen[customer] > 1:
                yield f"{self.what}: the server saw the call of {customer} twice"
            if outcome(given) == "unsent" and self.seen[customer]:
                yield f"{self.what}: the server saw {customer}, which is said to be unsent"
            if isinstance(given, Reply) and stranger(given, customer):
                yield f"{self.what}: {customer} was given the answer {given.body!r}"


def outcome(given: Reply | Fault) -> Outcome:
    if isinstance(given, Reply):
        return "answer"
    return "unsent" if given.loss is Loss.UNSENT else "doubt"


def stranger(reply: Reply, customer: int) -> bool:
    """Whether an answer was for somebody else."""
    try:
        return bool(json.loads(reply.body)["data"] != customer)
    except ValueError:
        return reply.status == 408


async def at_once() -> None:
    """Nothing to wait for once connected."""


def made(base_url: str, made_by: type[Client] = Client, **timeouts: float) -> Client:
    limits = {"connect_timeout_s": PATIENCE_S, "read_timeout_s": READ_TIMEOUT_S, **timeouts}
    return made_by(base_url, **limits)


async def call(client: Client, customer: int) -> Reply | Fault:
    return await client.unenroll(Enrollment(customer, Target(None, 1001, 2001)), {}, at_once)


async def attack(name: str, *, reused: bool, made_by: type[Client]) -> Found:
    """One session: a warm-up if the connection is to be a reused one, the attacked call, one more.

    A kind that acts between calls is waited for, so that the client can know before it goes on.
    """
    kind = KINDS[name]
    plan = (good, kind.manner) if reused else (kind.manner,)
    with RudeServer(*plan) as server:
        async with made(server.base_url, made_by) as client:
            answers = {}
            if reused:
                answers[WARM_UP] = await call(client, WARM_UP)
            if reused and kind.acts == "before":
                await settled(server)
            answers[ATTACKED] = await call(client, ATTACKED)
            if kind.acts == "after":
                await settled(server)
            answers[THEN] = await call(client, THEN)
    what = f"{name}, {'reused' if reused else 'fresh'} connection"
    seen = {customer: server.seen(customer) for customer in answers}
    return Found(what, answers, kind.reused if reused else kind.fresh, seen, server.begun)


async def settled(server: RudeServer) -> None:
    """The server acted, and the event loop read what it sent."""
    acted = await asyncio.to_thread(server.acted.wait, PATIENCE_S)
    assert acted
    await noticed()


async def noticed() -> None:
    """Let the event loop read what has come."""
    for _ in range(3):
        await asyncio.sleep(0.001)


async def attacks(rounds: int, made_by: type[Client] = Client) -> list[Found]:
    """Every kind over fresh and reused connections, many at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, reused: bool) -> Found:
        async with places:
            return await attack(name, reused=reused, made_by=made_by)

    return await asyncio.gather(
        *(one(name, reused) for _ in range(rounds) for name in KINDS for reused in (False, True))
    )


def faults(found: list[Found]) -> list[str]:
    return [fault for one in found for fault in one.faults()]


@pytest.mark.attack(
    "wire faults",
    '"not sent" only where the server saw nothing; no hidden resend; no answer of another call',
)
@pytest.mark.parametrize("rounds", [1, *thorough(3), *long(25)])
async def test_not_sent_is_said_only_where_the_server_saw_nothing(
    rounds: int, proof: Callable[..., None]
) -> None:
    found = await attacks(rounds)
    broken = faults(found)
    proof(
        kinds=len(KINDS),
        calls=sum(len(one.answers) for one in found),
        said_to_be_unsent=sum(one.unsent for one in found),
        broken=len(broken),
    )
    assert broken == []


@pytest.mark.parametrize("rounds", [20, *long(500)])
async def test_a_kept_connection_that_ends_as_it_is_used_again_costs_at_most_a_doubt(
    rounds: int, seed: int
) -> None:
    """The server closes an idle connection at about the moment of the next call."""
    dice = random.Random(f"{seed}/idle")
    for number in range(rounds):
        manners = (good, closes_after(dice.random() / 500))
        with RudeServer(*manners) as server:
            async with made(server.base_url) as client:
                answers = {WARM_UP: await call(client, WARM_UP)}
                await asyncio.sleep(dice.random() / 500)
                answers[ATTACKED] = await call(client, ATTACKED)
                answers[THEN] = await call(client, THEN)
        seen = {customer: server.seen(customer) for customer in answers}
        found = Found(f"round {number}", answers, ("doubt", "answer"), seen, server.begun)
        assert not list(found.faults())


# ── no connection at all ─────────────────────────────────────────────────────────────────────────


@pytest.mark.attack(
    "wire faults, no connection", "not sent, no line in the record; the next call is clean"
)
@pytest.mark.parametrize("rounds", [3, *long(25)])
async def test_what_a_server_that_went_away_did_not_get_was_not_sent(
    rounds: int, proof: Callable[..., None]
) -> None:
    unsent = [await refused(reused=reused) for _ in range(rounds) for reused in (False, True)]
    proof(refused=len(unsent), said_to_be_unsent=sum(unsent))
    assert all(unsent)


async def refused(*, reused: bool) -> bool:
    """Whether a call is said to be unsent while nobody listens, and the next one goes well."""
    with RudeServer() as server:
        async with made(server.base_url) as client:
            if reused:
                await call(client, WARM_UP)
            server.hang_up()
            await noticed()
            given = await call(client, ATTACKED)
            server.listen_again()
            assert outcome(await call(client, THEN)) == "answer"
    assert (server.seen(ATTACKED), server.seen(THEN)) == (0, 1)
    return outcome(given) == "unsent"


@contextmanager
def crowd(port: int) -> Iterator[None]:
    """Fill the queue of connections to accept, so that no other gets through."""
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    yield
    for one in waiting:
        one.close()


async def test_what_waits_to_be_accepted_until_the_timeout_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        base_url = f"http://127.0.0.1:{port}/v3.1"
        async with made(base_url, connect_timeout_s=0.3) as client:
            with crowd(port):
                assert outcome(await call(client, ATTACKED)) == "unsent"


async def test_plain_http_where_tls_is_expected_was_not_sent() -> None:
    """The greeting of TLS was read by the server; nothing of the request was."""
    with RudeServer(says_at_once(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        async with made(server.base_url.replace("http:", "https:")) as client:
            assert outcome(await call(client, ATTACKED)) == "unsent"
    assert server.begun == 0


def says_at_once(content: bytes) -> Manner:
    def manner(talk: Talk) -> None:
        talk.arrival()
        talk.send(content)
        talk.until_gone()

    return manner


# ── controls ─────────────────────────────────────────────────────────────────────────────────────


class Repeating(Client):
    """Sends a call again by itself."""

    async def post(
        self, url: URL, content: bytes, headers: Mapping[str, str], connected: Any = None
    ) -> Reply | Fault:
        given = await super().post(url, content, headers, connected)
        if isinstance(given, Fault):
            given = await super().post(url, content, headers, connected)
        return given


@pytest.mark.thorough
async def test_a_client_that_repeats_a_call_is_found_out() -> None:
    """The control of "no hidden resend"."""
    assert any("saw the call" in fault for fault in faults(await attacks(1, Repeating)))


@pytest.mark.thorough
async def test_a_client_that_calls_every_lost_connection_unsent_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of "not sent"."""
    monkeypatch.setattr(program, "UNREACHABLE", program.LOST)
    assert any("said to be unsent" in fault for fault in faults(await attacks(1)))


@pytest.mark.thorough
async def test_a_pool_that_lends_any_open_connection_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of "no answer of another call"."""
    monkeypatch.setattr(program, "_is_unusable", lambda connection: False)
    assert any("was given the answer" in fault for fault in faults(await attacks(1)))


# ── the real command ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "state", "exit_code"),
    [
        pytest.param("no answer ever", "in_doubt", 3, marks=pytest.mark.thorough),
        pytest.param("reset after reading the body", "in_doubt", 3, marks=pytest.mark.thorough),
        pytest.param("half a status line", "in_doubt", 3, marks=pytest.mark.thorough),
        pytest.param("two answers at once", "succeeded", 0, marks=pytest.mark.thorough),
        pytest.param("408 while idle", "succeeded", 0, marks=pytest.mark.thorough),
    ],
)
def test_every_call_that_the_server_saw_is_in_the_record(
    desk: Desk, name: str, state: str, exit_code: int
) -> None:
    """One call meets the fault; ``--in-doubt hold`` lets nobody be called again."""
    rows = [(customer, 1001, 2001) for customer in (WARM_UP, ATTACKED, THEN)]
    path = desk.write("job.csv", rows)
    with RudeServer(good, KINDS[name].manner) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        options = ("--rate", "20/s", "--concurrency", 1, "--read-timeout", READ_TIMEOUT_S)
        ended = desk.do("run", path, "--yes", "--in-doubt", "hold", *options)
    states = {row["customerId"]: row["unenroll_status"] for row in desk.results()}
    assert ended.code == exit_code, ended.err
    assert states == {"101": "succeeded", "102": state, "103": "succeeded"}
    seen = Counter({customer: server.seen(customer) for customer in (WARM_UP, ATTACKED, THEN)})
    assert seen == on_record(desk.folder / "job.unenroll")


def on_record(folder: Path) -> Counter[int]:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return Counter(
            customer
            for (customer,) in connection.execute("SELECT customer_id FROM attempt_history")
        )
