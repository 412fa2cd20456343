"""What every kind of ledger records of calls, and what follows from it."""

from __future__ import annotations

import pytest

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.facts import CustomerAttempt
from bulk_unenroll.ledger.interface import Ledger, Reopening
from bulk_unenroll.model import Blocked, Entry, State, Target
from tests.ledger.kit import (
    NEVER_S,
    NOW_S,
    NOW_TEXT,
    RECENT_S,
    answer,
    begin,
    claim,
    confirmed,
    customers,
    history,
    key,
    keys,
    plan,
    reopen,
    results,
    rows_of,
    settle,
    state_counts,
    states,
    turn,
    unanswered,
    unsent,
)

A_SECOND_LATER = "2023-11-14T22:13:21.000Z"


class TestRecording:
    @pytest.mark.parametrize(
        ("state", "outcome", "again_s", "charged", "tries"),
        [
            (State.SUCCEEDED, "succeeded", None, True, None),
            (State.NOT_ENROLLED, "not_enrolled", None, True, None),
            (State.FAILED, "failed", None, True, None),
            (State.FAILED, "not_applied", None, True, None),
            (State.REVIEW, "review", None, True, None),
            (State.BLOCKED, "blocked", None, True, None),
            (State.PENDING, "not_applied", NOW_S, True, 1),
            (State.PENDING, "refused", NOW_S, False, 0),
            (State.PENDING, "halted", NOW_S, False, 0),
        ],
    )
    def test_an_answer_is_in_both_views(
        self,
        ledger: Ledger,
        state: State,
        outcome: str,
        again_s: float | None,
        charged: bool,
        tries: int | None,
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="this-run")
        (call,) = claim(ledger)
        entry = answer(
            call, state, outcome=outcome, code="310011", again_s=again_s, charged=charged
        )
        turn(ledger, entry)
        (row,) = results(ledger)
        assert (row.status, row.code, row.message) == (state.value, "310011", "about 310011")
        assert (row.http_status, row.attempts, row.request_id) == (200, 1, "request-1")
        assert row.updated_at == A_SECOND_LATER
        assert ledger.reader.attempts_of(1) == [
            CustomerAttempt(
                target=Target(None, 1001, 2001),
                attempt=1,
                run_id="this-run",
                sent_at=NOW_TEXT,
                answered_at=A_SECOND_LATER,
                outcome=outcome,
                code="310011",
                http_status=200,
                request_id="request-1",
            )
        ]
        assert [again.tries for again in claim(ledger)] == ([] if tries is None else [tries])

    def test_an_echo_of_somebody_else_is_kept(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, two = claim(ledger)
        turn(ledger, answer(one, mismatch=True), answer(two))
        assert [some.mismatches for some in ledger.reader.counts_by_target([source])] == [1]

    def test_what_never_left_leaves_no_attempt(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        for _ in range(3):
            (call,) = claim(ledger)
            assert call.tries == 0
            turn(ledger, unsent(call))
        assert history(ledger, 1) == []
        assert [(row.status, row.attempts) for row in results(ledger)] == [("pending", 0)]

    def test_an_org_of_its_own_is_in_both_views(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1, org=7)])
        begin(ledger)
        settle(ledger)
        assert [(row.org_id, row.customer_id) for row in results(ledger)] == [(7, 1)]
        assert [line.target.org for line in ledger.reader.attempts_of(1)] == [7]

    def test_a_block_reaches_the_pending_rows_of_that_target_alone(self, ledger: Ledger) -> None:
        rows = [key(1), key(2), key(3), key(4, target=2002), key(5, 1002), key(6, org=7)]
        confirmed(ledger, rows)
        begin(ledger)
        first, second, *others = claim(ledger, 2) + claim(ledger)
        turn(ledger, *(unsent(call) for call in others))
        blocked = turn(
            ledger,
            answer(first, State.BLOCKED, code="310018"),
            unanswered(second, again_s=NOW_S),
            blocked=[Blocked(None, 1001, 2001, "310018", "no rule")],
        ).blocked
        assert blocked == 1
        assert states(ledger) == {
            1: "blocked",
            2: "in_doubt",
            3: "blocked",
            4: "pending",
            5: "pending",
            6: "pending",
        }
        assert rows_of(ledger, 1)[2] == (3, 3, "blocked", "no rule")
        row = results(ledger)[2]
        assert (row.code, row.attempts, row.http_status) == ("310018", 0, None)

    def test_a_call_that_is_not_sent_can_be_blocked_by_itself(self, ledger: Ledger) -> None:
        """Its target was blocked after it was claimed."""
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        first, second = claim(ledger)
        turn(ledger, answer(first, State.PENDING, code="310022", again_s=NOW_S), unsent(second))
        first, second = claim(ledger)
        why = Entry(first, State.BLOCKED, code="310018", message="no rule")
        turn(ledger, why, Entry(second, State.BLOCKED, code="protected"))
        assert rows_of(ledger, source) == [
            (1, 1, "blocked", "no rule"),
            (2, 2, "blocked", None),
        ]
        assert [(row.code, row.attempts) for row in results(ledger)] == [
            ("310018", 1),
            ("protected", 0),
        ]
        assert all(row.updated_at for row in results(ledger))

    def test_an_unknown_group_blocks_all_its_targets(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1), key(2, target=2002), key(3, 1002), key(4, org=7)])
        begin(ledger)
        turn(ledger, blocked=[Blocked(None, 1001, None, "310017", "no group")])
        assert states(ledger) == {1: "blocked", 2: "blocked", 3: "pending", 4: "pending"}
        assert sorted(customers(claim(ledger))) == [3, 4]

    def test_a_turn_is_recorded_whole_or_not_at_all(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, _ = claim(ledger)
        with pytest.raises(LedgerFailed) as caught:
            turn(ledger, answer(one), answer(one, State.FAILED))  # no legal transition
        assert caught.value.code == 74
        assert states(ledger) == {1: "sending", 2: "sending"}
        turn(ledger, answer(one))

    def test_runs_and_how_they_ended_are_kept(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="one")
        ledger.end_run(3, "1 row left")
        begin(ledger, run_id="two")
        one, two = ledger.reader.runs()
        assert (one.run_id, one.command, one.started_s) == ("one", "run", NOW_S)
        assert (one.exit_code, one.reason) == (3, "1 row left")
        assert (two.run_id, two.exit_code, two.reason, two.ended_s) == ("two", None, None, None)


class TestDoubt:
    """A call that may have been applied and was not answered."""

    def in_doubt(self, ledger: Ledger, again_s: float | None = None) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, unanswered(call, again_s=again_s))

    def test_it_is_in_doubt_and_never_failed_or_pending(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        assert states(ledger) == {1: "in_doubt"}
        assert [line[2:] for line in history(ledger, 1)] == [("unanswered", "timeout")]

    @pytest.mark.parametrize(("age_s", "sent_again"), [(0, True), (899, True), (901, False)])
    def test_a_run_sends_it_again_only_while_it_is_young(
        self, ledger: Ledger, age_s: float, sent_again: bool
    ) -> None:
        self.in_doubt(ledger)
        now_s = NOW_S + age_s
        begin(ledger, now_s=now_s, resend_after_s=now_s - 900)
        calls = claim(ledger, now_s=now_s, resend_after_s=now_s - 900)
        assert [call.doubtful for call in calls] == [True] * sent_again
        turn(ledger, *(unsent(call) for call in calls))

    def test_hold_never_sends_it_again(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        begin(ledger, resend_after_s=NEVER_S)
        given = turn(ledger, claim=10, resend_after_s=NEVER_S)
        assert (given.calls, given.next_due_s, given.more) == ([], None, False)

    def test_it_can_grow_too_old_while_it_waits(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S + 950)
        given = turn(ledger, claim=1, now_s=NOW_S + 950, resend_after_s=NOW_S + 50)
        assert (given.calls, given.more) == ([], False)

    def test_without_attempts_left_it_rests(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=None)
        given = turn(ledger, claim=1)
        assert (given.calls, given.next_due_s, given.more) == ([], None, False)

    def test_given_back_unsent_it_is_in_doubt_still(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S)
        (call,) = claim(ledger)
        turn(ledger, unsent(call))
        assert states(ledger) == {1: "in_doubt"}
        assert len(history(ledger, 1)) == 1

    def test_refused_after_doubt_it_is_in_doubt_still_and_no_younger(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S)
        (call,) = claim(ledger)
        turn(ledger, answer(call, State.IN_DOUBT, outcome="not_applied", at_s=NOW_S + 800))
        begin(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1)
        assert claim(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1) == []

    @pytest.mark.parametrize("resend_after_s", [RECENT_S + 9000, NEVER_S])
    def test_a_person_may_reopen_it_whatever_its_age_and_the_rule(
        self, ledger: Ledger, resend_after_s: float
    ) -> None:
        self.in_doubt(ledger)
        late_s = NOW_S + 9000
        assert reopen(ledger, State.IN_DOUBT, now_s=late_s) == 1
        assert states(ledger) == {1: "in_doubt"}
        begin(ledger, now_s=late_s, resend_after_s=resend_after_s)
        (call,) = claim(ledger, now_s=late_s, resend_after_s=resend_after_s)
        assert call.doubtful
        turn(ledger, answer(call))
        assert states(ledger) == {1: "succeeded"}

    def test_unanswered_again_after_that_the_rule_applies_again(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        reopen(ledger, State.IN_DOUBT)
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, unanswered(call))
        begin(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1)
        assert claim(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1) == []

    def test_every_customer_possibly_called_twice_can_be_listed(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        one, two, three = claim(ledger)
        turn(ledger, answer(one), unanswered(two, again_s=NOW_S), unanswered(three))
        (again,) = claim(ledger)
        turn(ledger, answer(again))
        outcomes = {who: [line.outcome for line in history(ledger, who)] for who in (1, 2, 3)}
        assert outcomes == {1: ["succeeded"], 2: ["unanswered", "succeeded"], 3: ["unanswered"]}


class TestReopening:
    @pytest.fixture
    def settled(self, ledger: Ledger) -> Ledger:
        """One customer in every state that a run can leave behind."""
        confirmed(ledger, [*keys(1, 2, 3, 4, 5), key(6, target=2002), key(7)])
        begin(ledger)
        calls = {call.enrollment.customer: call for call in claim(ledger)}
        turn(
            ledger,
            answer(calls[1]),
            answer(calls[2], State.NOT_ENROLLED, code="310149"),
            answer(calls[3], State.FAILED, code="310011"),
            answer(calls[4], State.REVIEW, code="no_data"),
            unanswered(calls[5]),
            answer(calls[6], State.BLOCKED, code="310018"),
            answer(calls[7], State.FAILED, code="310019"),
        )
        return ledger

    @pytest.mark.parametrize(
        ("chosen", "codes", "targets", "expected"),
        [
            ([State.FAILED, State.BLOCKED], [], [], [3, 6, 7]),
            ([State.REVIEW], [], [], [4]),
            ([State.IN_DOUBT], [], [], [5]),
            ([State.FAILED], ["310011"], [], [3]),
            ([State.FAILED], ["310011", "310019"], [], [3, 7]),
            ([State.FAILED], ["999"], [], []),
            ([State.FAILED, State.BLOCKED], [], ["1001/2002"], [6]),
            ([State.FAILED, State.BLOCKED], [], ["1001/2001"], [3, 7]),
            ([State.FAILED, State.BLOCKED], [], ["2001/1001"], []),
            ([State.FAILED, State.BLOCKED], ["310018"], ["1001/2001"], []),
            ([State.SUCCEEDED, State.NOT_ENROLLED], [], [], None),
        ],
    )
    def test_what_matches_is_called_again_and_nothing_else(
        self,
        settled: Ledger,
        chosen: list[State],
        codes: list[str],
        targets: list[str],
        expected: list[int] | None,
    ) -> None:
        if expected is None:
            with pytest.raises(LedgerFailed):
                reopen(settled, *chosen, codes=codes, targets=targets)
            return
        assert reopen(settled, *chosen, codes=codes, targets=targets) == len(expected)
        begin(settled, resend_after_s=NEVER_S)
        calls = claim(settled, resend_after_s=NEVER_S)
        assert sorted(customers(calls)) == expected
        assert {call.tries for call in calls} <= {0}
        turn(settled, *(unsent(call) for call in calls))

    def test_its_attempts_stay_on_record(self, settled: Ledger) -> None:
        reopen(settled, State.FAILED, codes=["310011"])
        begin(settled)
        settle(settled, 3)
        assert [line.outcome for line in history(settled, 3)] == ["failed", "succeeded"]

    def test_of_a_superseded_source_nothing_is_reopened(self, settled: Ledger) -> None:
        confirmed(settled, keys(3))
        assert reopen(settled, State.FAILED, State.BLOCKED) == 1
        assert state_counts(settled)["pending"] == 1

    def test_nor_of_one_that_was_never_confirmed(self, settled: Ledger) -> None:
        confirmed(settled, keys(99))
        plan(settled, keys(3), "b.csv")
        assert reopen(settled, State.FAILED) == 0

    def test_what_is_not_as_it_was_ordered_is_not_reopened(self, settled: Ledger) -> None:
        class Refused(Exception): ...

        def refuse() -> None:
            assert state_counts(settled)["pending"] == 2, "it is asked once they are open"
            raise Refused

        which = Reopening([State.FAILED])
        with pytest.raises(Refused):
            settled.reopen(which, now_s=NOW_S, check=refuse)
        assert state_counts(settled)["failed"] == 2
        assert settled.reopen(which, now_s=NOW_S) == 2
