"""What a run promises, on a virtual clock, with a scripted API and a real ledger."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest
from pydantic import SecretStr

from bulk_unenroll.capillary.auth import TokenAuth
from bulk_unenroll.capillary.calls import Reply
from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.credentials import OAuth
from bulk_unenroll.capillary.verdicts import Halt, Verdict
from bulk_unenroll.ledger.counts import known_by_target
from bulk_unenroll.ledger.interface import Reopening
from bulk_unenroll.model import Enrollment, State
from bulk_unenroll.option_values import Limit, Rate
from tests.sending.scripted import (
    LOST,
    REFUSED,
    Answer,
    Basic,
    Job,
    ScriptedApi,
    Watcher,
    error,
    http,
    keys,
)

pytestmark = [pytest.mark.looptime]
TOKEN_1 = {"X-CAP-API-OAUTH-TOKEN": "token-1"}


def token_auth(token_url: Any) -> TokenAuth:
    pair = OAuth(SecretStr("key-word"), SecretStr("secret-word"), "http://127.0.0.1:1/token")
    return TokenAuth(pair, token_url)


async def test_every_row_is_called_once(job: Job) -> None:
    rows = keys(range(1, 301), (1001, 2001), (1001, 2002))
    job.plan(rows)
    api = ScriptedApi()
    assert await job.run(api) == {}
    assert job.states() == {State.SUCCEEDED: 600}
    assert api.calls() == Counter(rows)


async def test_nobody_is_called_twice_by_a_second_run(job: Job) -> None:
    job.plan(keys(range(1, 50)))
    await job.run(ScriptedApi())
    again = ScriptedApi()
    await job.run(again)
    assert not again.starts


async def test_never_more_in_flight_than_concurrency(job: Job) -> None:
    job.plan(keys(range(1, 200)))
    api = ScriptedApi(latency_s=1.0)
    await job.run(api, concurrency=4)
    assert api.most_in_flight == 4


async def test_an_unanswered_call_is_sent_again_and_succeeds(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lambda key, attempt, at_s: LOST if attempt == 1 else None)
    await job.run(api)
    assert job.states() == {State.SUCCEEDED: 1}
    assert len(api.starts) == 2


async def test_hold_leaves_an_unanswered_call_in_doubt(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lambda key, attempt, at_s: LOST)
    await job.run(api, in_doubt="hold")
    assert job.states() == {State.IN_DOUBT: 1}
    assert len(api.starts) == 1


async def test_an_unanswered_call_stays_in_doubt_when_attempts_run_out(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lambda key, attempt, at_s: LOST)
    await job.run(api, max_attempts=3)
    assert job.states() == {State.IN_DOUBT: 1}
    assert len(api.starts) == 3


async def test_an_old_unanswered_call_is_not_sent_again_by_itself(job: Job) -> None:
    job.plan(keys([7]))
    await job.run(ScriptedApi(lambda key, attempt, at_s: LOST), in_doubt="hold")
    job.now_s += 901
    late = ScriptedApi()
    await job.run(late)
    assert not late.starts
    job.ledger.reopen(Reopening([State.IN_DOUBT]), now_s=job.now_s)
    await job.run(late)
    assert job.states() == {State.SUCCEEDED: 1}


async def test_after_doubt_a_refusal_does_not_make_a_failure(job: Job) -> None:
    def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        return LOST if attempt == 1 else http(429)

    job.plan(keys([7]))
    await job.run(ScriptedApi(script), max_attempts=3)
    assert job.states() == {State.IN_DOUBT: 1}


async def test_429_pauses_everyone_for_as_long_as_it_asks(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    refused_s: list[float] = []

    def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        if not refused_s:
            refused_s.append(at_s)
            return http(429, "30")
        return None

    api = ScriptedApi(script)
    watcher = Watcher()
    await job.run(api, watcher=watcher)
    assert job.states() == {State.SUCCEEDED: 100}
    assert not [at_s for at_s, _ in api.starts if refused_s[0] < at_s < refused_s[0] + 30]
    assert watcher.pauses == [30]


async def test_a_429_without_retry_after_backs_off(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lambda key, attempt, at_s: http(429) if attempt < 4 else None)
    await job.run(api)
    at = [at_s for at_s, _ in api.starts]
    assert [round(b - a) for a, b in itertools.pairwise(at)] == [1, 2, 4]


async def test_refused_to_the_end_is_failed_with_its_code(job: Job) -> None:
    job.plan(keys([7]))
    api = ScriptedApi(lambda key, attempt, at_s: http(429))
    await job.run(api)
    assert len(api.starts) == 5
    assert job.states() == {State.FAILED: 1}


async def test_an_unknown_target_blocks_its_rows_and_no_others(job: Job) -> None:
    job.plan(keys(range(1, 301), (1001, 2001), (1001, 9)))
    api = ScriptedApi(lambda key, attempt, at_s: error(310018) if key.target.rule == 9 else None)
    await job.run(api, canary=10)
    assert job.states() == {State.SUCCEEDED: 300, State.BLOCKED: 300}
    assert sum(1 for _, key in api.starts if key.target.rule == 9) <= 16


async def test_an_unknown_group_blocks_all_its_targets(job: Job) -> None:
    job.plan(keys(range(1, 101), (1001, 2001), (9, 1), (9, 2)))
    api = ScriptedApi(lambda key, attempt, at_s: error(310017) if key.target.group == 9 else None)
    await job.run(api)
    assert job.states() == {State.SUCCEEDED: 100, State.BLOCKED: 200}


async def test_a_scope_error_halts_that_org_alone(job: Job) -> None:
    job.plan(keys(range(1, 101), org=5) + keys(range(1, 101), org=6))
    api = ScriptedApi(lambda key, attempt, at_s: error(310144) if key.target.org == 5 else None)
    endings = await job.run(api)
    assert list(endings) == [78]
    assert job.states() == {State.SUCCEEDED: 100, State.PENDING: 100}
    assert sum(1 for _, key in api.starts if key.target.org == 5) <= 16


async def test_a_scope_error_of_the_only_org_ends_the_run(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: error(310144))
    assert list(await job.run(api)) == [78]
    assert job.states() == {State.PENDING: 100}
    assert len(api.starts) <= 8


@pytest.mark.parametrize(("status", "code"), [(404, 78), (302, 78), (403, 77), (401, 77)])
async def test_a_halting_answer_leaves_its_row_pending(job: Job, status: int, code: int) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: http(status))
    assert list(await job.run(api)) == [code]
    assert job.states() == {State.PENDING: 100}
    assert len(api.starts) <= 8


async def test_what_cannot_be_reached_is_probed_by_one_row_and_given_up(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: REFUSED)
    assert list(await job.run(api, concurrency=1)) == [69]
    assert job.states() == {State.PENDING: 100}
    at = [at_s for at_s, _ in api.starts]
    assert [round(b - a) for a, b in itertools.pairwise(at)] == [1, 2, 4]


async def test_after_an_answer_it_is_probed_for_longer(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: REFUSED if len(api.starts) > 5 else None)
    assert list(await job.run(api, concurrency=1)) == [69]
    at = [at_s for at_s, _ in api.starts[5:]]
    gaps = [round(b - a) for a, b in itertools.pairwise(at)]
    assert gaps == [1, 2, 4, 8, 15, 30, 60]
    assert job.states() == {State.SUCCEEDED: 5, State.PENDING: 95}


async def test_a_short_outage_costs_nobody_an_attempt(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: REFUSED if 0.05 < at_s < 20 else None)
    assert await job.run(api, max_attempts=1) == {}
    assert job.states() == {State.SUCCEEDED: 100}


class TestCanary:
    async def test_the_first_rows_are_spread_over_the_targets(self, job: Job) -> None:
        job.plan(keys(range(1, 101), (1, 1)) + keys(range(1, 101), (1, 2), (2, 3), (2, 4)))
        api = ScriptedApi()
        await job.run(api, canary=8)
        first = Counter(key.target for _, key in api.starts[:8])
        assert set(first.values()) == {2}

    async def test_it_stops_the_run_if_none_succeeds(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310011))
        assert list(await job.run(api, canary=10)) == [69]
        assert job.states() == {State.FAILED: 10, State.PENDING: 90}

    async def test_half_of_them_must_succeed(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310149) if key.customer % 3 else None)
        halts = await job.run(api, canary=10)
        assert list(halts) == [69]
        assert "3 of the first 10 calls succeeded, and 7 were not enrolled" in halts[69]
        assert len(api.starts) == 10
        again = await job.run(api, canary=10)
        assert list(again) == [69], "what the folder knows does not help"

    async def test_a_list_that_goes_on_counts_what_the_folder_knows_of_it(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        await job.run(ScriptedApi())
        grown = job.plan(keys(range(1, 151)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310149))
        known = known_by_target(job.ledger.reader, [grown])
        assert await job.run(api, canary=10, known=known) == {}
        assert len(api.starts) == 50

    async def test_another_list_is_not_excused_by_a_good_one(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        await job.run(ScriptedApi())
        other = job.plan(keys(range(101, 151)), "b.csv")
        api = ScriptedApi(lambda key, attempt, at_s: error(310149))
        known = known_by_target(job.ledger.reader, [other])
        assert list(await job.run(api, canary=10, known=known)) == [69]
        assert len(api.starts) == 10

    async def test_many_that_are_not_enrolled_stop_the_run(self, job: Job) -> None:
        job.plan(keys(range(1, 1001)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310149) if key.customer > 50 else None)
        halts = await job.run(api, canary=10, max_not_enrolled=Limit(50, percent=True))
        assert "were not enrolled: above --max-not-enrolled" in halts[69]
        assert len(api.starts) < 130

    async def test_but_not_those_whom_a_lost_call_had_taken_out(self, job: Job) -> None:
        job.plan(keys(range(1, 301)))

        def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
            if key.customer > 200:
                return None
            return LOST if attempt == 1 else error(310149)

        api = ScriptedApi(script)
        limit = Limit(50, percent=True)
        assert await job.run(api, concurrency=200, max_not_enrolled=limit) == {}
        assert job.states() == {State.SUCCEEDED: 100, State.NOT_ENROLLED: 200}

    async def test_not_if_no_row_remains(self, job: Job) -> None:
        job.plan(keys(range(1, 11)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310011))
        assert await job.run(api, canary=10) == {}

    async def test_nothing_else_goes_before_it_has_passed(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        api = ScriptedApi(latency_s=5)
        await job.run(api, canary=3)
        assert len([1 for at_s, _ in api.starts if at_s < 5]) == 3

    async def test_one_worker_and_a_slow_pace_do_not_shorten_it(self, job: Job) -> None:
        job.plan(keys(range(1, 31)))
        api = ScriptedApi(lambda key, attempt, at_s: error(310011))
        endings = await job.run(api, canary=10, concurrency=1, rate=Rate(100, 60.0))
        assert list(endings) == [69]
        assert len(api.starts) == 10

    async def test_it_stops_the_run_also_when_the_other_rows_wait_for_their_time(
        self, job: Job
    ) -> None:
        job.plan(keys(range(1, 13)))
        early = range(1, 9)
        refused = ScriptedApi(lambda key, attempt, at_s: http(429, "3000"))
        await job.run(refused, stop_after_s=1)
        api = ScriptedApi(lambda key, attempt, at_s: error(310011))
        assert list(await job.run(api, canary=4)) == [69]
        assert {key.customer for _, key in api.starts}.isdisjoint(early)
        assert job.states() == {State.FAILED: 4, State.PENDING: 8}

    async def test_a_run_that_was_killed_in_it_goes_on(self, job: Job) -> None:
        """What was in flight is sent again first, and was applied before: that is no bad sign."""
        job.plan(keys(range(1, 101)))
        lost = ScriptedApi(lambda key, attempt, at_s: LOST)
        assert list(await job.run(lost, canary=10, max_attempts=1)) == [69]
        api = ScriptedApi(lambda key, attempt, at_s: error(310149) if key.customer < 11 else None)
        assert await job.run(api, canary=10) == {}
        assert len(api.starts) == 100

    async def test_nor_does_it_go_on_without_one_good_sign(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        lost = ScriptedApi(lambda key, attempt, at_s: LOST)
        await job.run(lost, canary=10, max_attempts=1)
        api = ScriptedApi(lambda key, attempt, at_s: error(310149))
        assert list(await job.run(api, canary=10)) == [69]
        assert len(api.starts) == 20

    async def test_unanswered_first_rows_are_tried_to_their_end(self, job: Job) -> None:
        job.plan(keys(range(1, 101)))
        api = ScriptedApi(lambda key, attempt, at_s: http(500))
        assert list(await job.run(api, canary=4, max_attempts=3)) == [69]
        assert job.states() == {State.IN_DOUBT: 4, State.PENDING: 96}


async def test_too_many_failures_stop_the_run(job: Job) -> None:
    job.plan(keys(range(1, 1001)))
    api = ScriptedApi(lambda key, attempt, at_s: error(310011) if key.customer % 4 else None)
    endings = await job.run(api, max_failures=Limit(50, percent=True))
    assert list(endings) == [69]
    assert 100 <= len(api.starts) <= 120


async def test_failures_by_number_stop_at_the_first(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: error(310011))
    endings = await job.run(api, max_failures=Limit(0, percent=False), concurrency=1)
    assert list(endings) == [69]
    assert len(api.starts) == 1


async def test_a_stop_awaits_what_is_in_flight_and_releases_the_rest(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(latency_s=10)
    endings = await job.run(api, stop_after_s=1)
    assert list(endings) == [3]
    assert job.states() == {State.SUCCEEDED: 8, State.PENDING: 92}
    rest = ScriptedApi()
    assert await job.run(rest) == {}
    assert len(rest.starts) == 92


async def test_a_stop_in_a_long_pause_ends_at_once(job: Job) -> None:
    job.plan(keys(range(1, 101)))
    api = ScriptedApi(lambda key, attempt, at_s: http(429, "3600"))
    await job.run(api, stop_after_s=60)
    assert job.now_s < 1_700_000_000.0 + 62
    assert job.states() == {State.PENDING: 100}


async def test_a_pause_does_not_outlive_the_last_row(job: Job) -> None:
    job.plan(keys([7]))
    await job.run(ScriptedApi(lambda key, attempt, at_s: http(429, "3000")), max_attempts=1)
    assert job.states() == {State.FAILED: 1}
    assert job.now_s < 1_700_000_000.0 + 10


class Token(Basic):
    """A token that the server stops accepting at certain times."""

    renewable = True

    def __init__(self) -> None:
        self.renewed: list[float] = []
        self.current = 0

    @property
    def generation(self) -> int:  # type: ignore[override]
        return len(self.renewed)

    def stale(self, now_s: float) -> bool:
        return self.current != self.generation or not self.renewed

    def invalidate(self, generation: int) -> None:
        if generation == self.generation:
            self.current = -1

    async def renew(self, now_s: float) -> Verdict | None:
        self.renewed.append(now_s)
        self.current = self.generation
        return None


async def test_an_expired_token_is_renewed_once_for_all(job: Job) -> None:
    job.plan(keys(range(1, 201)))
    token = Token()

    def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        return http(498) if at_s > 0.1 and len(token.renewed) < 2 else None

    api = ScriptedApi(script)
    assert await job.run(api, auth=token, max_attempts=1) == {}
    assert job.states() == {State.SUCCEEDED: 200}
    assert len(token.renewed) == 2


async def test_a_token_that_lives_shorter_than_the_pace_waits_is_renewed_in_time(job: Job) -> None:
    class ShortLived(Token):
        def stale(self, now_s: float) -> bool:
            return not self.renewed or now_s - self.renewed[-1] > 60

    job.plan(keys(range(1, 8)))
    token = ShortLived()

    def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        return http(498) if at_s - token.renewed[-1] > 61 else None

    api = ScriptedApi(script)
    assert await job.run(api, auth=token, rate=Rate(10, 3600.0)) == {}
    assert job.states() == {State.SUCCEEDED: 7}
    assert len(api.starts) == 7


async def test_a_row_refused_with_the_new_token_too_halts(job: Job) -> None:
    job.plan(keys(range(1, 201)))
    api = ScriptedApi(lambda key, attempt, at_s: http(401))
    assert list(await job.run(api, auth=Token())) == [77]
    assert job.states() == {State.PENDING: 200}


class Cache:
    """A token URL that hands out ``token-1`` until ``until_s``, whatever became of it."""

    def __init__(self, until_s: float) -> None:
        self.until_s = asyncio.get_running_loop().time() + until_s
        self.asked = 0

    async def post(self, url: object, content: bytes, headers: object) -> Reply:
        self.asked += 1
        number = 1 if asyncio.get_running_loop().time() < self.until_s else 2
        return Reply(200, b'{"data": {"accessToken": "token-%d", "ttlSeconds": 9999}}' % number)


@pytest.mark.parametrize("until_s", [0.5, 5, 14])
async def test_a_refused_token_that_is_given_out_again_for_a_moment_is_waited_for(
    job: Job, until_s: float
) -> None:
    job.plan(keys(range(1, 201)))
    cache = Cache(until_s)
    auth = token_auth(cache)

    def script(key: Enrollment, attempt: int, at_s: float) -> Answer | None:
        return http(401) if at_s > 0.1 and auth.headers == TOKEN_1 else None

    assert await job.run(ScriptedApi(script), auth=auth) == {}
    assert job.states() == {State.SUCCEEDED: 200}
    assert cache.asked <= 7


async def test_a_refused_token_that_is_given_out_again_and_again_ends_with_77(job: Job) -> None:
    job.plan(keys(range(1, 201)))
    auth = token_auth(Cache(9999))
    api = ScriptedApi(lambda key, attempt, at_s: http(401) if at_s > 0.1 else None)
    halts = await job.run(api, auth=auth)
    assert list(halts) == [77]
    assert "again that the API refused" in str(halts[77])
    assert job.states()[State.PENDING] > 150


async def test_no_token_no_call(job: Job) -> None:
    class Denied(Token):
        async def renew(self, now_s: float) -> Verdict | None:
            return Halt(Reach.RUN, "320001", "invalid pair", credentials=True)

    job.plan(keys(range(1, 11)))
    api = ScriptedApi()
    assert list(await job.run(api, auth=Denied())) == [77]
    assert not api.starts


async def test_the_pace_is_kept_and_used(job: Job) -> None:
    job.plan(keys(range(1, 301)))
    api = ScriptedApi(
        lambda key, attempt, at_s: LOST if attempt == 1 and key.customer % 5 == 0 else None
    )
    await job.run(api, rate=Rate(100, 60.0))
    at = [at_s for at_s, _ in api.starts]
    for first, beyond in zip(at, at[100:], strict=False):
        assert beyond - first > 60
    assert len(at) / (at[-1] - at[0]) > 0.97 * 100 / 60


async def test_slow_connections_do_not_bunch_what_reaches_the_server(job: Job) -> None:
    job.plan(keys(range(1, 201)))
    api = ScriptedApi(connect_s=lambda number: 1.5 if number < 25 else 0.0)
    await job.run(api, rate=Rate(20, 1.0), concurrency=64)
    at = sorted(at_s for at_s, _ in api.starts)
    assert len(at) == 200
    for first, beyond in zip(at, at[20:], strict=False):
        assert beyond - first > 1


async def test_the_pace_is_kept_over_stops_and_resumes(job: Job) -> None:
    job.plan(keys(range(1, 301)))
    at: list[float] = []
    for _ in range(5):
        api = ScriptedApi()
        began_s, offset_s = job.now_s, asyncio.get_running_loop().time()
        await job.run(api, rate=Rate(100, 60.0), stop_after_s=20)
        at += [began_s + at_s - offset_s for at_s, _ in api.starts]
        job.now_s += 0.1
    assert len(at) > 150
    for first, beyond in zip(at, at[100:], strict=False):
        assert beyond - first > 60


async def test_a_pause_that_ends_during_a_slow_commit_is_noticed(job: Job) -> None:
    job.plan(keys(range(1, 31)))
    await job.run(ScriptedApi(), rate=Rate(10, 1.0), stop_after_s=0.7)
    async with asyncio.timeout(60):
        await job.run(ScriptedApi(), rate=Rate(10, 1.0), turn_s=0.5)
    assert job.states() == {State.SUCCEEDED: 30}


async def test_a_lower_rate_counts_the_starts_of_the_run_before(job: Job) -> None:
    job.plan(keys(range(1, 301)))
    await job.run(ScriptedApi(), rate=Rate(600, 60.0), stop_after_s=10)
    api = ScriptedApi()
    began_s = asyncio.get_running_loop().time()
    await job.run(api, rate=Rate(30, 60.0))
    assert api.starts[0][0] - began_s > 50


async def test_why_a_run_pauses_names_no_customer(job: Job) -> None:
    job.plan(keys([423789336]))
    refused = Reply(429, b'{"errors": [{"code": 429, "message": "too much for 423789336"}]}')
    reasons: list[str] = []

    class Listener(Watcher):
        def paused(self, seconds: float, why: str) -> None:
            reasons.append(why)

    api = ScriptedApi(lambda key, attempt, at_s: refused if attempt == 1 else None)
    await job.run(api, watcher=Listener())
    assert reasons
    assert not any("423789336" in why for why in reasons)
