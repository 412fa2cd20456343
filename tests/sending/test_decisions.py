"""What follows from a verdict, for one call and for everyone."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.verdicts import Block, Halt, Retry, Settle, Unauthorised, Verdict
from bulk_unenroll.model import TRANSITIONS, Call, Decision, Enrollment, State, Target
from bulk_unenroll.sending.decisions import BACKOFF_CAP_S, Canary, FailureLimit, backoff_s, decide
from bulk_unenroll.settings import Limit
from tests.capillary.verdicts import (
    BLOCKS,
    BUSY,
    HALTS,
    LOST,
    REFUSED,
    SETTLED,
    TOO_MANY,
    UNSENT,
    UNTRUSTED,
    VERDICTS,
)

MAX_ATTEMPTS = 5
EVERY_CASE = list(
    itertools.product((False, True), (0, MAX_ATTEMPTS - 2, MAX_ATTEMPTS - 1), (True, False))
)
every_case = pytest.mark.parametrize(("doubtful", "tries", "resend"), EVERY_CASE)


def decided(
    verdict: Verdict,
    *,
    doubtful: bool = False,
    tries: int = 0,
    resend: bool = True,
    dice: float = 0.5,
) -> Decision:
    call = Call(1, Enrollment(7, Target(None, 1001, 2001)), tries, doubtful)
    return decide(verdict, call, max_attempts=MAX_ATTEMPTS, resend=resend, dice=dice)


class TestDecide:
    @every_case
    @pytest.mark.parametrize("verdict", SETTLED, ids=str)
    def test_a_final_answer_settles_whatever_went_before(
        self, verdict: Settle, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert (step.state, step.outcome, step.code) == (
            verdict.state,
            verdict.state.value,
            verdict.code,
        )
        assert step.wait_s is None
        assert step.left
        assert step.charged
        assert step.mismatch is verdict.mismatch

    @pytest.mark.parametrize("verdict", SETTLED, ids=str)
    def test_without_doubt_the_message_stands_word_for_word(self, verdict: Settle) -> None:
        assert decided(verdict).message == verdict.message

    @pytest.mark.parametrize(
        ("verdict", "message"),
        [
            (
                Settle(State.NOT_ENROLLED, "310149", "no record"),
                "no record (an earlier attempt went unanswered and was probably applied)",
            ),
            (
                Settle(State.FAILED, "310011", "bad id"),
                "bad id (an earlier attempt went unanswered and may have been applied)",
            ),
            (
                Settle(State.REVIEW, "777", None),
                "review (an earlier attempt went unanswered and may have been applied)",
            ),
            (Settle(State.SUCCEEDED, None, None), None),
        ],
        ids=str,
    )
    def test_after_doubt_the_message_says_that_it_may_be_our_own_doing(
        self, verdict: Settle, message: str | None
    ) -> None:
        assert decided(verdict, doubtful=True).message == message

    @every_case
    @pytest.mark.parametrize("verdict", BLOCKS, ids=str)
    def test_an_unknown_target_or_group_blocks_the_row(
        self, verdict: Block, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert step == Decision(State.BLOCKED, "blocked", verdict.code, verdict.message)

    @every_case
    def test_what_never_left_waits_for_the_gate_and_leaves_no_attempt(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(UNSENT, doubtful=doubtful, tries=tries, resend=resend)
        assert step.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert step.wait_s == 0
        assert not step.left

    @every_case
    @pytest.mark.parametrize("verdict", [REFUSED, *HALTS], ids=str)
    def test_a_refusal_of_everyone_is_on_record_but_costs_the_row_no_attempt(
        self, verdict: Unauthorised | Halt, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert step.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert step.wait_s == 0
        assert step.left
        assert not step.charged
        assert (step.code, step.message) == (verdict.code, verdict.message)

    @every_case
    def test_a_wrong_certificate_is_no_attempt_at_all(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(UNTRUSTED, doubtful=doubtful, tries=tries, resend=resend)
        assert step.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert not step.left
        assert not step.charged

    @every_case
    @pytest.mark.parametrize("verdict", [TOO_MANY, BUSY], ids=str)
    def test_what_was_not_applied_is_retried_while_attempts_are_left(
        self, verdict: Retry, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        waiting = State.IN_DOUBT if doubtful else State.PENDING
        ended = State.IN_DOUBT if doubtful else State.FAILED
        left = tries < MAX_ATTEMPTS - 1
        assert step.state is (waiting if left else ended)
        assert (step.wait_s is not None) == left
        assert step.outcome == "not_applied"
        assert step.charged
        assert (step.code, step.message) == (verdict.code, verdict.message)

    @pytest.mark.parametrize(
        ("told_s", "dice", "wait_s"), [(None, 0.5, 2.0), (0.5, 0.5, 2.0), (30.0, 0.5, 30.0)]
    )
    def test_a_retry_waits_for_the_longer_of_backoff_and_retry_after(
        self, told_s: float | None, dice: float, wait_s: float
    ) -> None:
        verdict = Retry("http_429", "m", everyone=True, retry_after_s=told_s)
        assert decided(verdict, tries=2, dice=dice).wait_s == wait_s

    @every_case
    def test_an_unanswered_call_is_in_doubt_and_resent_only_by_the_rule(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(LOST, doubtful=doubtful, tries=tries, resend=resend)
        assert (step.state, step.outcome) == (State.IN_DOUBT, "unanswered")
        assert (step.wait_s is not None) == (resend and tries < MAX_ATTEMPTS - 1)
        assert step.left
        assert step.charged

    def test_with_one_attempt_nothing_is_retried(self) -> None:
        call = Call(1, Enrollment(3, Target(None, 1, 2)))
        for verdict in (TOO_MANY, LOST):
            assert decide(verdict, call, max_attempts=1, resend=True, dice=0.5).wait_s is None

    @every_case
    @pytest.mark.parametrize("verdict", VERDICTS, ids=str)
    def test_every_step_is_a_legal_transition_that_loses_no_doubt(
        self, verdict: Verdict, doubtful: bool, tries: int, resend: bool
    ) -> None:
        step = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert step.state in TRANSITIONS[State.SENDING]
        if step.state is State.PENDING:
            assert step.wait_s is not None
            assert not doubtful
        if doubtful and not isinstance(verdict, Settle | Block):
            assert step.state is State.IN_DOUBT
        if step.state is State.SUCCEEDED:
            assert isinstance(verdict, Settle)


class TestBackoff:
    @pytest.mark.parametrize(
        ("tries", "most_s"), [(0, 1), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (99, 60)]
    )
    def test_it_is_uniform_up_to_a_doubling_bound(self, tries: int, most_s: float) -> None:
        assert backoff_s(tries, 0.0) == 0
        assert backoff_s(tries, 0.25) == most_s / 4
        assert backoff_s(tries, 0.5) == most_s / 2

    @given(tries=st.integers(0, 10**9), dice=st.floats(0, 1, exclude_max=True))
    def test_it_never_leaves_its_bounds(self, tries: int, dice: float) -> None:
        assert 0 <= backoff_s(tries, dice) <= min(BACKOFF_CAP_S, 2.0 ** min(tries, 64))


# ── the run as a whole ───────────────────────────────────────────────────────────────────────────


GOOD_END = Decision(State.SUCCEEDED, "succeeded")
BAD_END = Decision(State.FAILED, "failed")
AGAIN = Decision(State.PENDING, "not_applied", wait_s=1.0)
NOT_SENT = Decision(State.PENDING, "unsent", wait_s=0.0, left=False)


class TestCanary:
    def canary(self, size: int, *steps: tuple[int, Decision]) -> Canary:
        canary = Canary(size)
        canary.admitted |= set(range(size))
        for item, step in steps:
            canary.record(item, step)
        return canary

    def test_off_means_passed(self) -> None:
        assert Canary(0).passed
        assert not Canary(0).died

    def test_it_is_full_once_so_many_are_admitted(self) -> None:
        assert not Canary(2, admitted={1}).full
        assert Canary(2, admitted={1, 2}).full

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.NOT_ENROLLED])
    def test_one_good_end_is_enough_once_all_were_answered(self, state: State) -> None:
        before = ((0, BAD_END), (1, AGAIN))
        assert not self.canary(3, *before).passed
        canary = self.canary(3, *before, (2, Decision(state, state.value)))
        assert canary.passed
        assert not canary.died

    def test_a_good_end_does_not_pass_it_while_another_is_unanswered(self) -> None:
        assert not self.canary(3, (0, GOOD_END), (1, GOOD_END)).passed

    def test_what_never_left_is_no_answer(self) -> None:
        assert not self.canary(2, (0, GOOD_END), (1, NOT_SENT)).passed

    def test_it_dies_once_all_have_ended_and_none_well(self) -> None:
        assert not self.canary(2, (0, BAD_END)).died
        canary = self.canary(2, (0, BAD_END), (1, Decision(State.IN_DOUBT, "unanswered")))
        assert canary.died
        assert not canary.passed

    def test_what_will_be_tried_again_has_not_ended(self) -> None:
        assert not self.canary(2, (0, BAD_END), (1, AGAIN)).died

    def test_closed_it_has_passed_or_died(self) -> None:
        for end, passed in ((GOOD_END, True), (BAD_END, False)):
            canary = self.canary(3, (0, end))
            canary.close()
            assert canary.passed is passed
            assert canary.died is not passed


class TestShare:
    @pytest.mark.parametrize(
        ("share", "part", "whole", "exceeded"),
        [
            (Limit(12, percent=False), 12, 12, False),
            (Limit(12, percent=False), 13, 1_000_000, True),
            (Limit(0, percent=False), 0, 0, False),
            (Limit(0, percent=False), 1, 1, True),
            (Limit(10, percent=True), 100, 1000, False),
            (Limit(10, percent=True), 101, 1000, True),
            (Limit(0, percent=True), 0, 0, False),
            (Limit(0, percent=True), 1, 1000, True),
            (Limit(100, percent=True), 1000, 1000, False),
            (Limit(0.1, percent=True), 2, 1000, True),
        ],
    )
    def test_more_than_the_share(self, share: Limit, part: int, whole: int, exceeded: bool) -> None:
        assert share.exceeded(part, whole) is exceeded

    def test_a_percentage_counts_from_the_least_on_and_a_number_at_once(self) -> None:
        assert not Limit(50, percent=True).exceeded(99, 99, least=100)
        assert Limit(50, percent=True).exceeded(51, 100, least=100)
        assert Limit(5, percent=False).exceeded(6, 6, least=100)

    @given(st.integers(0, 100), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_a_percentage_is_exact(self, percent: int, one: int, other: int) -> None:
        part, whole = min(one, other), max(one, other)
        expected = whole > 0 and Fraction(part, whole) > Fraction(percent, 100)
        assert Limit(percent, percent=True).exceeded(part, whole) is expected


class TestFailureLimit:
    def test_failed_blocked_and_review_are_bad(self) -> None:
        limit = FailureLimit(Limit(100, percent=True))
        for state in (State.FAILED, State.BLOCKED, State.REVIEW, State.SUCCEEDED):
            assert not limit.record(state, done=True)
        assert (limit.settled, limit.bad) == (4, 3)

    @pytest.mark.parametrize(
        ("state", "done"),
        [(State.PENDING, False), (State.IN_DOUBT, False), (State.IN_DOUBT, True)],
    )
    def test_what_is_not_settled_does_not_count(self, state: State, done: bool) -> None:
        limit = FailureLimit(Limit(0, percent=False))
        assert not limit.record(state, done=done)
        assert limit.settled == 0

    def test_zero_stops_at_the_first(self) -> None:
        limit = FailureLimit(Limit(0, percent=False))
        assert not limit.record(State.SUCCEEDED, done=True)
        assert limit.record(State.FAILED, done=True)

    def test_a_percentage_waits_for_a_hundred(self) -> None:
        limit = FailureLimit(Limit(50, percent=True))
        stops = [limit.record(State.FAILED, done=True) for _ in range(101)]
        assert stops.index(True) == 99

    def test_a_hundred_per_cent_never_stops(self) -> None:
        limit = FailureLimit(Limit(100, percent=True))
        assert not any(limit.record(State.FAILED, done=True) for _ in range(500))
