"""A target that is blocked while several senders claim: nobody is settled who is being called."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.sharing import Beat
from bulk_unenroll.model import Blocked
from tests.ledger.kit import answer, begin, claim, confirmed, key, states, turn
from tests.ledger.postgres.kit import Join, PostgresPlace, begun, wait_until_blocked

GONE = Blocked(None, 1001, 2001, "310018", "no rule")


def test_a_call_that_another_claims_meanwhile_is_not_blocked(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    """Its claim is not yet committed when the target is blocked."""
    begun(first, 10)
    second = join()
    with ThreadPoolExecutor() as pool:
        with second.connection.transaction():
            calls = claim(second, 4, now_s=time.time())
            blocked = pool.submit(turn, first, blocked=[GONE])
            wait_until_blocked(place, first)
        assert blocked.result(timeout=30).blocked == 6
    turn(second, *map(answer, calls))
    assert Counter(states(first).values()) == {"succeeded": 4, "blocked": 6}
    assert first.reader.integrity_faults() == []


def test_what_is_blocked_meanwhile_is_claimed_by_nobody(
    first: PostgresLedger, join: Join, place: PostgresPlace
) -> None:
    begun(first, 10)
    second = join()
    with ThreadPoolExecutor() as pool:
        with first.connection.transaction():
            assert turn(first, blocked=[GONE]).blocked == 10
            claimed = pool.submit(claim, second, 4, now_s=time.time())
            wait_until_blocked(place, second)
        assert claimed.result(timeout=30) == []
    assert first.reader.integrity_faults() == []


def test_all_hear_of_a_block_with_their_next_turn(first: PostgresLedger, join: Join) -> None:
    begun(first, 10)
    second = join()
    turn(first, blocked=[GONE], beat=Beat())
    assert turn(second, beat=Beat()).others.blocked == (GONE,)
    assert turn(second, beat=Beat()).others.blocked == (), "once is enough"
    late = join()
    assert turn(late, beat=Beat()).others.blocked == (GONE,)


def test_who_hears_of_a_whole_group_hears_its_org(first: PostgresLedger, join: Join) -> None:
    confirmed(first, [key(1, org=7), key(2, group=1002, org=7)])
    begin(first, now_s=time.time())
    group = Blocked(7, 1001, None, "310017", "no group")
    turn(first, blocked=[group], beat=Beat())
    assert turn(join(), beat=Beat()).others.blocked == (group,)


def test_many_are_blocked_a_part_in_each_turn(first: PostgresLedger) -> None:
    """So the others wait for a moment at a time, however many there are."""
    begun(first, 45_000)
    (call,) = claim(first, 1, now_s=time.time())
    parts = [turn(first, blocked=[GONE])]
    while parts[-1].more and len(parts) < 10:
        parts.append(turn(first, now_s=time.time()))
        assert parts[-1].next_due_s is None or parts[-1].next_due_s <= time.time()
    assert [part.blocked for part in parts][:3] == [19_999, 20_000, 5_000]
    turn(first, answer(call))
    assert Counter(states(first).values()) == {"succeeded": 1, "blocked": 44_999}
