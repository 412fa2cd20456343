"""Senders that share a run: slices, the fence, who is given up, the first calls, one rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise

import psycopg
import pytest

from bulk_unenroll.errors import Fenced, FolderBusy, LedgerFailed, LedgerOutOfReach
from bulk_unenroll.ledger.postgres import job
from bulk_unenroll.ledger.postgres.job import hold, open_to_read
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.senders import ServerClock
from bulk_unenroll.ledger.postgres.session import Address
from bulk_unenroll.ledger.postgres.stopping import ask_to_stop, is_sending
from bulk_unenroll.ledger.sharing import Beat, Part
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import State
from tests.kit.postgres import Server
from tests.ledger.kit import (
    NOW_S,
    answer,
    begin,
    claim,
    confirmed,
    customers,
    history,
    keys,
    states,
    turn,
    unsent,
)
from tests.ledger.postgres.kit import TTL_S, Join, PostgresPlace, begun, tool, wait_until_blocked


def test_each_calls_slices_of_its_own_and_all_are_called_once(
    first: PostgresLedger, join: Join
) -> None:
    begun(first, 400)
    second = join()
    taken: list[list[int]] = [[], []]
    while len(taken[0]) + len(taken[1]) < 400:
        for number, ledger in enumerate((first, second)):
            taken[number] += customers(claim(ledger, 60, now_s=time.time()))
    assert sorted(taken[0] + taken[1]) == list(range(1, 401))
    assert min(len(taken[0]), len(taken[1])) > 100


def test_without_a_run_there_is_nothing_to_join(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(first, keys(1))
    first.close()
    with closing(PostgresLedger.beside_others(place.url, place.job)) as other:
        assert other.join("somebody@elsewhere") is None


def test_who_comes_before_the_run_begins_is_to_start_again(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(first, keys(1))
    with closing(PostgresLedger.beside_others(place.url, place.job)) as early:
        with pytest.raises(FolderBusy) as caught:
            early.join("somebody@elsewhere")
        assert caught.value.code == 75
        begin(first, now_s=time.time())
        assert early.join("somebody@elsewhere")


def test_nobody_joins_an_earlier_run_while_another_one_is_planned(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    """It would call those whom the new list leaves out. A stop would not reach the new run."""
    begun(first, 100)
    first.close()
    with (
        closing(PostgresLedger.open(place.url, place.job, TTL_S)) as planner,
        closing(PostgresLedger.beside_others(place.url, place.job, TTL_S)) as late,
    ):
        with pytest.raises(FolderBusy):
            late.join("somebody@elsewhere")
        with pytest.raises(FolderBusy):
            ask_to_stop(Address.of(place.url, place.job))
        confirmed(planner, keys(1, 2))
        begin(planner, now_s=time.time())
        assert late.join("somebody@elsewhere")


def test_nobody_plans_in_the_moment_in_which_another_one_joins(
    first: PostgresLedger, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(first, 100)
    first.close()
    with closing(PostgresLedger.beside_others(place.url, place.job, TTL_S)) as late:
        entered = late.shared.enter

        def enter(run: int, name: str) -> None:
            other = open_to_read(Address.of(place.url, place.job))
            with closing(other), pytest.raises(FolderBusy):
                hold(other)
            entered(run, name)

        monkeypatch.setattr(job, "PATIENCE_S", 0.0)
        monkeypatch.setattr(late.shared, "enter", enter)
        assert late.join("somebody@elsewhere")


def test_who_took_no_turn_for_too_long_is_given_up_and_told_as_such(
    first: PostgresLedger, join: Join
) -> None:
    begun(first, 100)
    second = join()
    lost = claim(second, 60, now_s=time.time())
    time.sleep(TTL_S * 1.2)
    turn(first, beat=Beat())
    calls = claim(first, 1000, now_s=time.time())
    assert len(calls) == 100, "its slices, and at once those who are in doubt"
    assert {call.id for call in calls if call.doubtful} == {call.id for call in lost}
    one = lost[0].enrollment.customer
    assert history(first, one)[0][2:] == ("unanswered", "sender_lost")


def test_who_was_given_up_records_and_claims_nothing(first: PostgresLedger, join: Join) -> None:
    begun(first, 100)
    second = join()
    (call,) = claim(second, 1, now_s=time.time())
    time.sleep(TTL_S * 1.2)
    turn(first, beat=Beat())
    with pytest.raises(Fenced) as caught:
        turn(second, answer(call), claim=5)
    assert caught.value.code == 75
    with pytest.raises(Fenced):
        second.shared.part()
    assert states(first)[call.enrollment.customer] == "in_doubt"
    assert first.reader.integrity_faults() == []


def test_after_an_outage_nobody_is_given_up_for_it(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    begun(first, 100)
    second = join()
    time.sleep(TTL_S * 1.2)
    place.after_kill()  # every connection is new now
    turn(first, beat=Beat())
    assert claim(second, 5, now_s=time.time())


def test_a_turn_whose_answer_was_lost_is_not_taken_twice(
    first: PostgresLedger, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(first, 100)
    (call,) = claim(first, 1, now_s=NOW_S)
    committed = first.connection.pipelined_transaction
    lost: list[bool] = []

    @contextmanager
    def loses_the_answer() -> Iterator[None]:
        with committed():
            yield
        if not lost:
            lost.append(True)
            first.connection.raw.close()
            raise LedgerOutOfReach("lost")

    monkeypatch.setattr(first.connection, "pipelined_transaction", loses_the_answer)
    found = turn(first, answer(call), claim=3, now_s=NOW_S + 1)
    assert customers(found.calls) == [2, 3, 4]
    assert states(first)[1] == "succeeded"
    assert len(history(first, 1)) == 1
    assert customers(claim(first, 1, now_s=NOW_S + 2)) == [5]


def test_a_server_that_came_back_with_less_is_not_trusted(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    begun(first, 100)
    claim(first, 3)
    claim(first, 3)
    with tool(place) as older_copy:
        older_copy.execute("UPDATE sender SET turn = 1")
    place.after_kill()
    with pytest.raises(LedgerFailed, match="lost 1 turns") as caught:
        turn(first)
    assert caught.value.code == 74


def test_that_is_noticed_too_where_something_else_was_asked_first(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    begun(first, 100)
    claim(first, 3)
    with tool(place) as older_copy:
        older_copy.execute("UPDATE sender SET turn = 0")
    place.after_kill()
    assert first.reader.sources(), "it connects again"
    with pytest.raises(LedgerFailed, match="lost 1 turns"):
        turn(first)


def asked_outside_turns(ledger: PostgresLedger) -> list[Callable[[], object]]:
    return [
        lambda: ledger.shared.share_rate("user@host", 0.01),
        ledger.shared.part,
        ledger.reader.sources,
        lambda: ledger.reader.at_one_moment().__enter__(),
        lambda: ledger.note("history", "something"),
        ledger.shared.leave,
        lambda: ledger.end_run(0, "done"),
    ]


def test_an_outage_outside_a_turn_is_waited_for(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    begun(first, 100)
    for ledger in (first, join()):
        for ask in asked_outside_turns(ledger):
            place.after_kill()
            ask()
    assert first.reader.runs()[-1].exit_code == 0


def test_one_makes_the_first_calls_and_the_others_wait(first: PostgresLedger, join: Join) -> None:
    begun(first, 100)
    assert first.shared.part() is Part.CANARY
    second, third = join(), join()
    assert second.shared.part() is third.shared.part() is Part.WAIT
    turn(first, beat=Beat(canary_passed=True))
    assert second.shared.part() is third.shared.part() is Part.SEND


def test_another_makes_them_where_the_first_is_gone(first: PostgresLedger, join: Join) -> None:
    begun(first, 100)
    assert first.shared.part() is Part.CANARY
    second, third = join(), join()
    first.shared.leave()
    assert second.shared.part() is Part.CANARY
    assert third.shared.part() is Part.WAIT


def test_one_alone_makes_them_where_two_ask_at_once(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    """The second one waits for the first one's answer, and must see whom that named."""
    begun(first, 100)
    second = join()
    with ThreadPoolExecutor() as pool:
        with first.connection.transaction():
            assert first.shared.part() is Part.CANARY
            part = pool.submit(second.shared.part)
            wait_until_blocked(place, second)
        assert part.result(timeout=30) is Part.WAIT


def test_a_stop_reaches_all_with_their_next_turn(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    begun(first, 100)
    second = join()
    turn(first, beat=Beat(stop=(77, "refused")))
    assert turn(second, beat=Beat()).stop == (77, "refused")
    with closing(PostgresLedger.beside_others(place.url, place.job)) as late:
        assert late.join("somebody@elsewhere") is None


def test_so_does_one_from_anywhere(first: PostgresLedger, join: Join, place: PostgresPlace) -> None:
    begun(first, 100)
    second = join()
    ask_to_stop(Address.of(place.url, place.job))
    for ledger in (first, second):
        stop = turn(ledger, beat=Beat()).stop
        assert stop is not None
        assert stop[0] == 3


def test_a_run_that_nobody_sends_for_is_stopped_for_whoever_comes_next(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    """A supervisor may be about to start a sender anew: that one must not go on."""
    begun(first, 100)
    first.shared.leave()
    address = Address.of(place.url, place.job)
    assert ask_to_stop(address)
    with closing(PostgresLedger.beside_others(place.url, place.job)) as late:
        assert late.join("somebody@elsewhere") is None
    assert not ask_to_stop(address), "there is nothing left to stop"


def test_a_run_that_is_planned_now_is_not_said_to_be_stopped(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(first, keys(1))
    with pytest.raises(FolderBusy, match="has begun no run of it yet"):
        ask_to_stop(Address.of(place.url, place.job))


def test_who_was_killed_is_not_said_to_send_for_ever(
    first: PostgresLedger, place: PostgresPlace
) -> None:
    begun(first, 100)
    with closing(open_to_read(Address.of(place.url, place.job))) as asks:
        assert is_sending(asks)
        time.sleep(TTL_S * 1.2)
        assert not is_sending(asks, TTL_S)
        assert [sender.silent_s > TTL_S for sender in first.reader.senders() or ()] == [True]


def test_each_hears_what_others_have_settled(first: PostgresLedger, join: Join) -> None:
    begun(first, 200)
    second = join()
    calls = claim(second, 5, now_s=time.time())
    turn(second, *[answer(call) for call in calls[:3]], answer(calls[3], State.FAILED),
         answer(calls[4], State.NOT_ENROLLED))  # fmt: skip
    others = turn(first, beat=Beat()).others
    assert (others.settled, others.bad, others.not_enrolled, others.senders) == (5, 1, 1, 1)
    second.shared.leave()
    assert turn(first, beat=Beat()).others.senders == 0


def test_more_is_left_while_another_has_calls_in_flight(first: PostgresLedger, join: Join) -> None:
    begun(first, 1)
    second = join()
    (call,) = claim(second, 5, now_s=time.time())
    assert turn(first, claim=5).more
    turn(second, answer(call))
    second.shared.leave()
    assert not turn(first, claim=5).more


def test_more_is_left_while_another_gives_the_last_call_back(
    first: PostgresLedger, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer in flight when that is asked, and was not yet due when that was."""
    begun(first, 1)
    second = join()
    calls = claim(second, 5, now_s=time.time())
    real = first.connection.send

    def send(statement: str, /, **values: object) -> psycopg.Cursor[Row]:
        if statement == "take_slice" and calls:
            turn(second, unsent(calls.pop(), again_s=time.time() + 60))
        return real(statement, **values)

    monkeypatch.setattr(first.connection, "send", send)
    assert turn(first, claim=5).more


def test_more_is_left_while_another_takes_the_last_rows(first: PostgresLedger, join: Join) -> None:
    """Nobody sees yet that it has them, nor can they be taken."""
    begun(first, 10)
    second = join()
    with first.connection.transaction():
        assert len(claim(first, 5)) == 5
        assert turn(second, claim=5).more


def test_the_starts_of_all_lie_one_interval_apart(
    first: PostgresLedger, join: Join, server: Server, place: PostgresPlace
) -> None:
    """By the clock of the server, which gives them away."""
    begun(first, 200)
    second = join()
    credential = f"till@{server.port}-{time.time()}"
    for ledger in (first, second):
        assert ledger.shared.share_rate(credential, 0.02) == 0.02
    before_s = time.time()
    for ledger in (first, second) * 4:
        starts = turn(ledger, beat=Beat(starts=5, lead_s=0.05)).starts_in_s
        assert [b - a for a, b in pairwise(starts)] == pytest.approx([0.02] * 4)
        after_s = next_start_s(place, credential)
        assert after_s - 5 * 0.02 > before_s - 1e-4, "all five come after those of the turn before"
        assert after_s - 5 * 0.02 <= max(before_s, time.time() + 0.05) + 0.001, "none is left out"
        before_s = after_s


def next_start_s(place: PostgresPlace, credential: str) -> float:
    query = "SELECT next_at FROM bulk_unenroll.pace WHERE credential = %s"
    with tool(place) as other:
        found = other.execute(query, [credential]).fetchone()
    assert found
    return float(found[0])


def test_a_start_is_as_far_off_as_it_is_however_long_its_turn_takes(
    first: PostgresLedger,
    server: Server,
    place: PostgresPlace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun(first, 200)
    credential = f"till@{server.port}-{time.time()}"
    first.shared.share_rate(credential, 0.02)
    committed = first.connection.pipelined_transaction

    @contextmanager
    def slowly() -> Iterator[None]:
        with committed():
            yield
            time.sleep(0.3)

    @contextmanager
    def held() -> Iterator[None]:
        with tool(place) as other, ThreadPoolExecutor() as pool:
            other.execute("BEGIN")
            other.execute(
                "SELECT FROM bulk_unenroll.pace WHERE credential = %s FOR UPDATE", [credential]
            )
            pool.submit(other.execute, "SELECT pg_sleep(0.3); COMMIT")
            yield

    def late_s() -> float:
        taken = turn(first, beat=Beat(starts=1, lead_s=1.0))
        (start_in_s,), granted_s = taken.starts_in_s, taken.granted_s
        now_s = time.time() - (time.monotonic() - granted_s)
        return now_s + start_in_s - (next_start_s(place, credential) - 0.02)

    with held():
        assert late_s() < 0.1
    monkeypatch.setattr(first.connection, "pipelined_transaction", slowly)
    assert late_s() < 0.1


def test_a_start_is_not_late_because_an_answer_was() -> None:
    """The server's clock is 1,000 s ahead; each start is meant for 1,105 by it, 105 by this one."""
    clock = ServerClock()
    assert clock.in_s(1105.0, server_s=1100.0, now_s=100.0) == 5.0
    assert clock.in_s(1105.0, server_s=1101.0, now_s=101.5) == 3.5, "it took half a second"
    assert clock.in_s(1105.0, server_s=1103.0, now_s=102.0) == 2.0, "the server's clock was set"
    assert clock.in_s(1205.0, server_s=1120.0, now_s=120.0) == 85.0, "or drifts"


def test_the_lower_of_two_rates_holds(first: PostgresLedger, join: Join, server: Server) -> None:
    begun(first, 200)
    credential = f"till@{server.port}-{time.time()}"
    other = PostgresLedger.open(server.url(), f"other-{time.time_ns()}")
    with closing(other):
        other.shared.share_rate(credential, 0.5)
        assert first.shared.share_rate(credential, 0.1) == 0.5


def test_a_pause_holds_up_all(first: PostgresLedger, join: Join, server: Server) -> None:
    begun(first, 200)
    second = join()
    credential = f"till@{server.port}-{time.time()}"
    for ledger in (first, second):
        ledger.shared.share_rate(credential, 0.02)
    turn(first, beat=Beat(pause_s=30.0))
    assert min(turn(second, beat=Beat(starts=2)).starts_in_s) > 29


def test_the_run_ends_with_its_last_sender(first: PostgresLedger, join: Join) -> None:
    begun(first, 1)
    second = join()
    first.end_run(0, "all settled")
    assert first.reader.runs()[-1].exit_code is None
    second.shared.leave()
    first.end_run(0, "all settled")
    assert first.reader.runs()[-1].exit_code == 0
