"""What stops a run whose calls fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulk_unenroll.model import Call, Decision, Enrollment, Known, State, Target
from bulk_unenroll.option_values import Limit
from bulk_unenroll.sending.safeguards import Canary, OutcomeLimit

GOOD_END = Decision(State.SUCCEEDED, "succeeded")
BAD_END = Decision(State.FAILED, "failed")
AGAIN = Decision(State.PENDING, "not_applied", wait_s=1.0)
UNANSWERED = Decision(State.IN_DOUBT, "unanswered")
NOT_SENT = Decision(State.PENDING, "unsent", wait_s=0.0, left=False)


NOT_ENROLLED = Decision(State.NOT_ENROLLED, "not_enrolled")
HALF = Limit(50, percent=True)
TARGET = Target(None, 1001, 2001)


def call(number: int, target: Target = TARGET) -> Call:
    return Call(number, Enrollment(423_000_000 + number, target))


class TestCanary:
    def canary(
        self,
        size: int,
        *decisions: tuple[int, Decision],
        least: Limit = HALF,
        known: Known | None = None,
    ) -> Canary:
        canary = Canary(size, least, {TARGET: known} if known else {})
        canary.admitted |= set(range(size))
        for number, decision in decisions:
            canary.record(call(number), decision)
        return canary

    def test_off_means_passed(self) -> None:
        assert Canary(0, HALF).passed
        assert not Canary(0, HALF).died

    def test_it_is_full_once_enough_are_admitted(self) -> None:
        assert not Canary(2, HALF, admitted={1}).full
        assert Canary(2, HALF, admitted={1, 2}).full

    def test_half_of_it_must_succeed(self) -> None:
        canary = self.canary(4, (0, GOOD_END), (1, BAD_END), (2, AGAIN), (3, GOOD_END))
        assert canary.passed
        assert not canary.died

    def test_whom_a_lost_call_may_have_taken_out_says_nothing(self) -> None:
        canary = self.canary(3, (0, GOOD_END), (1, GOOD_END))
        canary.record(replace(call(2), doubtful=True), NOT_ENROLLED)
        assert not canary.full, "another one takes its place"
        assert not canary.passed
        assert not canary.died
        canary.admitted.add(3)
        canary.record(call(3), BAD_END)
        assert canary.passed

    @pytest.mark.parametrize("other", [BAD_END, NOT_ENROLLED, UNANSWERED])
    def test_one_good_row_of_many_does_not_pass_it(self, other: Decision) -> None:
        ends = [(number, other) for number in range(1, 10)]
        canary = self.canary(10, (0, GOOD_END), *ends)
        assert canary.died
        assert not canary.passed
        assert "1 of the first 10 calls succeeded" in canary.reason

    def test_its_reason_says_how_many_were_not_enrolled(self) -> None:
        canary = self.canary(3, (0, BAD_END), (1, NOT_ENROLLED), (2, NOT_ENROLLED))
        assert "2 were not enrolled; --canary-good asks for 50%" in canary.reason

    def test_another_share_may_be_asked_for(self) -> None:
        ends = [(0, GOOD_END), (1, BAD_END), (2, BAD_END)]
        assert self.canary(3, *ends, least=Limit(33, percent=True)).passed
        assert self.canary(3, *ends, least=Limit(34, percent=True)).died
        assert self.canary(1, (0, BAD_END), least=Limit(0, percent=True)).passed

    def test_what_the_folder_knows_of_its_targets_counts(self) -> None:
        ends = [(number, BAD_END) for number in range(10)]
        assert self.canary(10, *ends, known=Known(5000, 4000, 0)).passed
        assert self.canary(10, *ends, known=Known(5000, 2000, 3000)).died

    def test_what_it_knows_of_other_targets_does_not(self) -> None:
        canary = Canary(2, HALF, {TARGET: Known(5000, 5000, 0)}, admitted={0, 1})
        for number in range(2):
            canary.record(call(number, Target(None, 1001, 2002)), NOT_ENROLLED)
        assert canary.died

    def test_it_does_not_pass_while_another_is_unanswered(self) -> None:
        assert not self.canary(3, (0, GOOD_END), (1, GOOD_END)).passed

    def test_what_never_left_is_no_answer(self) -> None:
        assert not self.canary(2, (0, GOOD_END), (1, NOT_SENT)).passed

    def test_it_dies_once_all_have_ended_and_too_few_well(self) -> None:
        assert not self.canary(2, (0, BAD_END)).died
        assert self.canary(2, (0, BAD_END), (1, UNANSWERED)).died
        assert not self.canary(3, (0, BAD_END), (1, BAD_END)).died
        assert self.canary(3, (0, BAD_END), (1, BAD_END), (2, GOOD_END)).died

    def test_what_will_be_tried_again_has_not_ended(self) -> None:
        assert not self.canary(2, (0, BAD_END), (1, AGAIN)).died

    def test_closed_it_has_passed_or_died(self) -> None:
        for end, passed in ((GOOD_END, True), (BAD_END, False)):
            canary = self.canary(2, (0, end))
            canary.close()
            assert canary.passed is passed
            assert canary.died is not passed


class TestNotEnrolled:
    def test_half_of_a_hundred(self) -> None:
        limit = OutcomeLimit.of_not_enrolled(HALF, {})
        ends = [NOT_ENROLLED if number % 5 < 3 else GOOD_END for number in range(200)]
        assert [limit.record(end) for end in ends].index(True) == 99
        assert limit.reason == "120 of 200 calls were not enrolled: above --max-not-enrolled"

    def test_what_the_folder_knows_counts(self) -> None:
        limit = OutcomeLimit.of_not_enrolled(HALF, {TARGET: Known(99, 40, 50)})
        assert limit.record(NOT_ENROLLED)
        good = OutcomeLimit.of_not_enrolled(HALF, {TARGET: Known(900, 800, 50)})
        assert not any(good.record(NOT_ENROLLED) for _ in range(200))

    def test_a_number(self) -> None:
        limit = OutcomeLimit.of_not_enrolled(Limit(2, percent=False), {})
        assert [limit.record(NOT_ENROLLED) for _ in range(3)] == [False, False, True]


class TestFailureLimit:
    def test_failed_blocked_and_review_are_bad(self) -> None:
        limit = OutcomeLimit.of_failures(Limit(100, percent=True))
        for state in (State.FAILED, State.BLOCKED, State.REVIEW, State.SUCCEEDED):
            assert not limit.record(Decision(state, state.value))
        assert (limit.settled, limit.counted) == (4, 3)

    @pytest.mark.parametrize(
        "decision", [AGAIN, NOT_SENT, UNANSWERED, replace(UNANSWERED, wait_s=1.0)], ids=str
    )
    def test_what_is_not_settled_does_not_count(self, decision: Decision) -> None:
        limit = OutcomeLimit.of_failures(Limit(0, percent=False))
        assert not limit.record(decision)
        assert limit.settled == 0

    def test_zero_stops_at_the_first(self) -> None:
        limit = OutcomeLimit.of_failures(Limit(0, percent=False))
        assert not limit.record(GOOD_END)
        assert limit.record(BAD_END)
        assert limit.reason == "1 of 2 calls failed: above --max-failures"

    def test_a_percentage_waits_for_a_hundred(self) -> None:
        limit = OutcomeLimit.of_failures(Limit(50, percent=True))
        stops = [limit.record(BAD_END) for _ in range(101)]
        assert stops.index(True) == 99

    def test_a_hundred_per_cent_never_stops(self) -> None:
        limit = OutcomeLimit.of_failures(Limit(100, percent=True))
        assert not any(limit.record(BAD_END) for _ in range(500))
