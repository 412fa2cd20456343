"""What follows from a verdict for its call."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.verdicts import Block, Halt, Retry, Settle, Unauthorised, Verdict
from bulk_unenroll.model import TRANSITIONS, Call, Decision, Enrollment, State, Target
from bulk_unenroll.sending.decisions import BACKOFF_CAP_S, backoff_s, decide
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
        decision = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert (decision.state, decision.outcome, decision.code) == (
            verdict.state,
            verdict.state.value,
            verdict.code,
        )
        assert decision.wait_s is None
        assert decision.left
        assert decision.charged
        assert decision.mismatch is verdict.mismatch

    @pytest.mark.parametrize("verdict", SETTLED, ids=str)
    def test_without_doubt_the_message_is_kept_word_for_word(self, verdict: Settle) -> None:
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
        decision = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert decision == Decision(State.BLOCKED, "blocked", verdict.code, verdict.message)

    @every_case
    def test_what_never_left_waits_for_the_breaker_and_leaves_no_attempt(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(UNSENT, doubtful=doubtful, tries=tries, resend=resend)
        assert decision.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert decision.wait_s == 0
        assert not decision.left

    @every_case
    @pytest.mark.parametrize("verdict", [REFUSED, *HALTS], ids=str)
    def test_a_refusal_of_everyone_is_on_record_but_costs_the_row_no_attempt(
        self, verdict: Unauthorised | Halt, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert decision.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert decision.wait_s == 0
        assert decision.left
        assert not decision.charged
        assert (decision.code, decision.message) == (verdict.code, verdict.message)

    @every_case
    def test_a_wrong_certificate_is_no_attempt_at_all(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(UNTRUSTED, doubtful=doubtful, tries=tries, resend=resend)
        assert decision.state is (State.IN_DOUBT if doubtful else State.PENDING)
        assert not decision.left
        assert not decision.charged

    @every_case
    @pytest.mark.parametrize("verdict", [TOO_MANY, BUSY], ids=str)
    def test_what_was_not_applied_is_retried_while_attempts_are_left(
        self, verdict: Retry, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        waiting = State.IN_DOUBT if doubtful else State.PENDING
        ended = State.IN_DOUBT if doubtful else State.FAILED
        left = tries < MAX_ATTEMPTS - 1
        assert decision.state is (waiting if left else ended)
        assert (decision.wait_s is not None) == left
        assert decision.outcome == "not_applied"
        assert decision.charged
        assert (decision.code, decision.message) == (verdict.code, verdict.message)

    @pytest.mark.parametrize(
        ("asked_s", "dice", "wait_s"), [(None, 0.5, 2.0), (0.5, 0.5, 2.0), (30.0, 0.5, 30.0)]
    )
    def test_a_retry_waits_for_the_longer_of_backoff_and_retry_after(
        self, asked_s: float | None, dice: float, wait_s: float
    ) -> None:
        verdict = Retry("http_429", "m", everyone=True, retry_after_s=asked_s)
        assert decided(verdict, tries=2, dice=dice).wait_s == wait_s

    @every_case
    def test_an_unanswered_call_is_in_doubt_and_resent_only_by_the_rule(
        self, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(LOST, doubtful=doubtful, tries=tries, resend=resend)
        assert (decision.state, decision.outcome) == (State.IN_DOUBT, "unanswered")
        assert (decision.wait_s is not None) == (resend and tries < MAX_ATTEMPTS - 1)
        assert decision.left
        assert decision.charged

    def test_with_one_attempt_nothing_is_retried(self) -> None:
        call = Call(1, Enrollment(3, Target(None, 1, 2)))
        for verdict in (TOO_MANY, LOST):
            assert decide(verdict, call, max_attempts=1, resend=True, dice=0.5).wait_s is None

    @every_case
    @pytest.mark.parametrize("verdict", VERDICTS, ids=str)
    def test_every_step_is_a_legal_transition_that_loses_no_doubt(
        self, verdict: Verdict, doubtful: bool, tries: int, resend: bool
    ) -> None:
        decision = decided(verdict, doubtful=doubtful, tries=tries, resend=resend)
        assert decision.state in TRANSITIONS[State.SENDING]
        if decision.state is State.PENDING:
            assert decision.wait_s is not None
            assert not doubtful
        if doubtful and not isinstance(verdict, Settle | Block):
            assert decision.state is State.IN_DOUBT
        if decision.state is State.SUCCEEDED:
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
