"""What every kind of ledger hands out to be called, and when."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from bulk_unenroll.ledger.interface import Ledger, Selection
from bulk_unenroll.model import Blocked, State
from tests.ledger.kit import (
    NOW_S,
    NOW_TEXT,
    Place,
    answer,
    begin,
    claim,
    confirmed,
    customers,
    history,
    key,
    keys,
    plan,
    results,
    states,
    turn,
    unanswered,
    unsent,
)


class TestClaiming:
    def test_nobody_is_called_who_stands_in_no_confirmed_source(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1), "a.csv")
        plan(ledger, keys(2), "b.csv")
        plan(ledger, keys(3), "a.csv")
        begin(ledger)
        assert customers(claim(ledger)) == [1]

    def test_a_run_calls_only_rows_of_its_own_inputs(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2), "a.csv")
        other = confirmed(ledger, keys(2, 3), "b.csv")
        begin(ledger, other)
        assert sorted(customers(claim(ledger))) == [2, 3]

    def test_nor_are_others_sent_again_or_blocked_by_it(self, ledger: Ledger) -> None:
        one = confirmed(ledger, keys(1, 2), "a.csv")
        other = confirmed(ledger, keys(3), "b.csv")
        begin(ledger, one)
        doubt, retry = claim(ledger)
        turn(
            ledger,
            unanswered(doubt, again_s=NOW_S),
            answer(retry, State.PENDING, outcome="not_applied", again_s=NOW_S + 50),
        )
        begin(ledger, other)
        assert turn(ledger).next_due_s is None
        blocked = turn(ledger, blocked=[Blocked(None, 1001, None, "310017", "no group")]).blocked
        assert blocked == 1
        assert claim(ledger, now_s=NOW_S + 100) == []
        assert states(ledger) == {1: "in_doubt", 2: "pending", 3: "blocked"}

    def test_an_intent_is_durable_before_the_call_is_handed_out(
        self, ledger: Ledger, place: Place
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger, run_id="this-run")
        claim(ledger, 1)
        with place.reader() as witness:
            pages = witness.result_pages(Selection(states=["sending"]))
            assert [row.customer_id for page in pages for row in page] == [1]
            (line,) = witness.attempts_of(1)
        assert (line.run_id, line.outcome, line.answered_at) == ("this-run", "unanswered", None)
        assert line.sent_at == NOW_TEXT

    def test_no_call_is_handed_out_twice(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(*range(1, 101)))
        begin(ledger)
        taken = [customer for _ in range(30) for customer in customers(claim(ledger, 7))]
        assert taken == list(range(1, 101))

    def test_claiming_nothing_claims_nothing(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        assert turn(ledger, claim=0).calls == []
        assert states(ledger) == {1: "pending"}

    def test_what_is_settled_is_never_handed_out_again(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2, 3, 4, 5, 6))
        begin(ledger)
        ends = (State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW, State.BLOCKED)
        calls = claim(ledger)
        turn(ledger, *(answer(call, end) for call, end in zip(calls, ends, strict=False)))
        turn(ledger, unsent(calls[-1]))
        for _ in range(2):
            begin(ledger, source, now_s=NOW_S + 10)
            left = claim(ledger, now_s=NOW_S + 10)
            assert customers(left) == [6]
            turn(ledger, unsent(left[0]))

    @pytest.mark.parametrize("per_target", [[5, 5, 5], [1, 5, 50], [50, 1, 1]])
    def test_spread_takes_from_as_many_targets_as_there_are(
        self, ledger: Ledger, per_target: list[int]
    ) -> None:
        rows = [
            key(customer, target=target)
            for target, number in enumerate(per_target, 1)
            for customer in range(1, number + 1)
        ]
        confirmed(ledger, rows)
        begin(ledger)
        first = claim(ledger, 3, spread=True)
        assert sorted(call.enrollment.target.rule for call in first) == [1, 2, 3]
        rest = claim(ledger, 1000, spread=True)
        assert Counter(call.enrollment.target.rule for call in rest) == Counter(
            {target: number - 1 for target, number in enumerate(per_target, 1) if number > 1}
        )

    def test_of_a_halted_org_nothing_is_handed_out(self, ledger: Ledger) -> None:
        rows = [key(1), key(2, org=7), key(3, org=8), key(4, org=7), key(5, org=8)]
        confirmed(ledger, rows)
        begin(ledger)
        assert customers(claim(ledger, halted_orgs=[0, 7])) == [3, 5]
        assert turn(ledger, halted_orgs=[0, 7]).more is False

    def test_nor_is_it_waited_for(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1, org=7)])
        begin(ledger)
        (call,) = claim(ledger)
        later = answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 9)
        assert turn(ledger, later, halted_orgs=[7]).next_due_s is None
        assert turn(ledger, halted_orgs=[8]).next_due_s == NOW_S + 9

    def test_only_claims_again_from_among_these_alone(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(*range(1, 7)))
        begin(ledger)
        one, two, three = claim(ledger, 3)
        turn(ledger, *(unsent(call) for call in (one, two, three)))
        again = claim(ledger, only=[one.id, three.id])
        assert sorted(customers(again)) == [1, 3]
        assert claim(ledger, only=[one.id, three.id]) == []
        assert claim(ledger, only=[]) == []


class TestScheduling:
    def test_a_retry_waits_until_it_is_due(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        first, second = claim(ledger)
        given = turn(
            ledger,
            answer(first, State.PENDING, outcome="not_applied", again_s=NOW_S + 30),
            answer(second, State.PENDING, outcome="not_applied", again_s=NOW_S + 10),
        )
        assert given.next_due_s == NOW_S + 10
        assert given.more
        assert claim(ledger, now_s=NOW_S + 9.9) == []
        assert customers(claim(ledger, now_s=NOW_S + 10)) == [2]
        assert turn(ledger, now_s=NOW_S + 10).next_due_s == NOW_S + 30
        assert customers(claim(ledger, now_s=NOW_S + 31)) == [1]
        assert turn(ledger, now_s=NOW_S + 31) == turn(ledger, now_s=NOW_S + 32)
        assert turn(ledger, now_s=NOW_S + 31).more is False

    def test_what_is_due_goes_before_what_was_never_tried(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        (call,) = claim(ledger, 1)
        turn(ledger, answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 1))
        assert customers(claim(ledger, 2, now_s=NOW_S + 1)) == [1, 2]

    def test_a_kill_keeps_the_backoff(self, ledger: Ledger, place: Place) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 60))
        with closing(place.after_kill().open()) as again:
            begin(again, now_s=NOW_S + 5)
            assert turn(again, claim=1, now_s=NOW_S + 5).next_due_s == NOW_S + 60
            assert claim(again, now_s=NOW_S + 5) == []
            assert customers(claim(again, now_s=NOW_S + 60)) == [1]

    def test_tries_count_within_a_run_and_attempts_for_ever(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        for run in range(3):
            begin(ledger)
            for tries in range(3):
                (call,) = claim(ledger, now_s=NOW_S + run)
                assert call.tries == tries
                refused = answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S)
                turn(ledger, refused)
        assert [row.attempts for row in results(ledger)] == [9]
        assert [line.attempt for line in history(ledger, 1)] == list(range(1, 10))

    def test_more_tells_whether_any_is_left(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        assert turn(ledger).more
        assert turn(ledger, claim=1).more
        claim(ledger, 1)
        assert turn(ledger, claim=1).more is False
