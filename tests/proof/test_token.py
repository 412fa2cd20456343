"""A token that lives a second, with 64 calls in flight: one refresh for all, and no row pays."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from bulk_unenroll.capillary.auth import RENEW_SHARE, TokenAuth
from bulk_unenroll.capillary.calls import Fault, Reply
from bulk_unenroll.capillary.credentials import OAuth
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.model import Enrollment, State
from bulk_unenroll.option_values import Rate
from bulk_unenroll.sandbox import SANDBOX_CLIENT_KEY, SANDBOX_CLIENT_SECRET
from tests.kit.command import Desk, Witness, people
from tests.kit.tiers import long, thorough
from tests.sending.scripted import LOST, REFUSED, Job, error, http, keys, success

IN_FLIGHT: Final = 64
TTL_S: Final = 1.0
ANSWER_S: Final = 2.0
REVOKED_EVERY_S: Final = 6.0
ROWS: Final = 1000
LIFE_S: Final = TTL_S * (1 - RENEW_SHARE)
"""After so long a token is renewed."""

PAIR: Final = OAuth(SecretStr("key"), SecretStr("secret"), "http://127.0.0.1:1/token")
TROUBLES: Final = (http(500), http(503, "1"), http(429), LOST, REFUSED)
PROMISE: Final = "one refresh per expiry, no row is charged for it"


@dataclass
class Server:
    """Gives tokens and checks them, on the loop's clock: for their age when a call arrives, and for
    their being revoked when it is answered.

    ``trouble(n)`` is the answer to the nth token call, None for a token; at each of ``revoked_s``
    all tokens die early.
    """

    refusal: int = 498
    trouble: Callable[[int], Reply | Fault | None] = lambda number: None
    revoked_s: tuple[float, ...] = ()
    token_calls: int = 0
    given: int = 0
    refused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    born_s: dict[str, float] = field(default_factory=dict)

    async def post(self, url: object, content: bytes, headers: Mapping[str, str]) -> Reply | Fault:
        """Answer a token call."""
        self.token_calls += 1
        await asyncio.sleep(0.05)
        trouble = self.trouble(self.token_calls)
        if trouble:
            return trouble
        self.given += 1
        token = f"token-{self.given}"
        self.born_s[token] = now_s()
        return Reply(
            200, json.dumps({"data": {"accessToken": token, "ttlSeconds": TTL_S}}).encode()
        )

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Reply | Fault:
        """Answer a call, or refuse it for its token."""
        await asyncio.sleep(0.02)
        born_s = self.born_s[headers["X-CAP-API-OAUTH-TOKEN"]]
        if now_s() > born_s + TTL_S:
            return self._refuse()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(ANSWER_S)
        self.in_flight -= 1
        if any(born_s < at_s <= now_s() for at_s in self.revoked_s):
            return self._refuse()
        return success(key.customer)

    def _refuse(self) -> Reply:
        self.refused += 1
        return error(self.refusal, self.refusal)


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    with closing(made.ledger):
        made.ledger.connection.raw.execute("PRAGMA synchronous = OFF")  # no power is lost here
        yield made


@dataclass(frozen=True)
class Went:
    """How a job ended. A row that was charged for a refusal has no attempt left, and failed."""

    states: Mapping[State, int]
    endings: Mapping[int, str]
    most_tokens: int


async def gone(job: Job, server: Server, auth: TokenAuth | None = None) -> Went:
    """Send all rows, each with one attempt, 64 at a time."""
    job.plan(keys(range(1, ROWS + 1)))
    began_s = now_s()
    endings = await sent(job, server, auth)
    expiries = int((now_s() - began_s) / LIFE_S) + 1
    return Went(job.states(), endings, expiries + len(server.revoked_s))


async def sent(job: Job, server: Server, auth: TokenAuth | None = None) -> Mapping[int, str]:
    """Run what is left; why it ended early, if it did."""
    return await job.run(
        server,  # type: ignore[arg-type,unused-ignore]
        auth=auth or TokenAuth(PAIR, server),  # type: ignore[arg-type]
        rate=Rate(IN_FLIGHT, 1.0),
        concurrency=IN_FLIGHT,
        max_attempts=1,
    )


def revocations(dice: random.Random) -> tuple[float, ...]:
    """With time for two answers in between: a call that is refused twice ends the run."""
    return tuple(REVOKED_EVERY_S * number + dice.random() for number in range(1, 5))


@pytest.mark.looptime
@pytest.mark.attack("token", PROMISE)
async def test_one_refresh_an_expiry_and_no_row_pays(job: Job, proof: Callable[..., None]) -> None:
    server = Server()
    went = await gone(job, server)
    proof(rows=ROWS, in_flight=server.most_in_flight, tokens=server.given, refused=server.refused)
    assert went.states == {State.SUCCEEDED: ROWS}
    assert went.endings == {}
    assert server.most_in_flight == IN_FLIGHT
    assert server.given <= went.most_tokens
    assert server.refused == 0


@pytest.mark.looptime
@pytest.mark.attack("token revoked early", PROMISE)
@pytest.mark.parametrize("refusal", [401, *thorough(498)])
async def test_tokens_that_die_early_are_replaced_once_for_all(
    job: Job, seed: int, proof: Callable[..., None], refusal: int
) -> None:
    dice = random.Random(f"{seed}/revoked")
    server = Server(refusal, revoked_s=revocations(dice))
    went = await gone(job, server)
    proof(rows=ROWS, revoked=len(server.revoked_s), tokens=server.given, refused=server.refused)
    assert went.states == {State.SUCCEEDED: ROWS}
    assert went.endings == {}
    assert server.refused > IN_FLIGHT
    assert server.given <= went.most_tokens


@pytest.mark.looptime
@pytest.mark.attack("token call fails", PROMISE)
@pytest.mark.parametrize("rounds", [5, *long(30)])
async def test_a_token_call_that_fails_costs_no_row(
    job: Job, seed: int, proof: Callable[..., None], rounds: int
) -> None:
    """Half of the token calls fail, in several ways. A run without any token is resumed."""
    dice = random.Random(f"{seed}/trouble")
    failed = gave_up = 0
    for number in range(rounds):
        server = Server(trouble=lambda call: dice.choice((*[None] * len(TROUBLES), *TROUBLES)))
        job.plan(keys(range(1, 301), (1001, 3000 + number)), f"{number}.csv")
        while endings := await sent(job, server):
            assert list(endings) == [ExitCode.API_FAILS], f"round {number}"
            gave_up += 1
        failed += server.token_calls - server.given
        assert server.refused == 0, f"round {number}"
    proof(rounds=rounds, token_calls_failed=failed, runs_given_up=gave_up)
    assert job.states() == {State.SUCCEEDED: 300 * rounds}


@pytest.mark.looptime
@pytest.mark.thorough
async def test_a_refresh_for_every_refused_call_is_found_out(job: Job, seed: int) -> None:
    """The control: each call drops the token that it finds, though another has renewed it."""

    class Selfish(TokenAuth):
        def invalidate(self, generation: int) -> None:
            super().invalidate(self.generation)

    server = Server(revoked_s=revocations(random.Random(seed)))
    went = await gone(job, server, auth=Selfish(PAIR, server))  # type: ignore[arg-type]
    assert server.given > went.most_tokens


SCENARIO: Final = """
oauth.ttl_s = 1
[[rule]]
act = "apply"
delay_s = 1.0
"""


@pytest.mark.thorough
def test_the_real_command_renews_a_token_of_a_second_once_for_all(
    desk: Desk, witness: Callable[..., Witness]
) -> None:
    started = witness(SCENARIO)
    for name in ("USERNAME", "PASSWORD"):
        del desk.environment[f"BULK_UNENROLL_{name}"]
    desk.environment |= {
        "BULK_UNENROLL_CLIENT_KEY": SANDBOX_CLIENT_KEY,
        "BULK_UNENROLL_CLIENT_SECRET": SANDBOX_CLIENT_SECRET,
    }
    path = desk.write("job.csv", [(customer, 1001, 2001) for customer in people(200)])
    pace = ("--rate", f"{IN_FLIGHT}/s", "--concurrency", IN_FLIGHT, "--canary", 0)
    ended = desk.do("run", path, "--yes", "--json", "--max-attempts", 1, *pace)
    refused = sum(entry["act"] == "refused" for entry in started.seen())
    assert ended.code == 0, ended.err
    assert ended.json["status"]["succeeded"] == 200
    assert started.ask("counts")["tokens"] <= ended.json["seconds"] / LIFE_S + 1 + refused
