"""What stops a run whose calls fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulk_unenroll.model import Decision, State
from bulk_unenroll.sending.safeguards import Canary, FailureLimit
from bulk_unenroll.settings import Limit

GOOD_END = Decision(State.SUCCEEDED, "succeeded")
BAD_END = Decision(State.FAILED, "failed")
AGAIN = Decision(State.PENDING, "not_applied", wait_s=1.0)
UNANSWERED = Decision(State.IN_DOUBT, "unanswered")
NOT_SENT = Decision(State.PENDING, "unsent", wait_s=0.0, left=False)


class TestCanary:
    def canary(self, size: int, *decisions: tuple[int, Decision]) -> Canary:
        canary = Canary(size)
        canary.admitted |= set(range(size))
        for call, decision in decisions:
            canary.record(call, decision)
        return canary

    def test_off_means_passed(self) -> None:
        assert Canary(0).passed
        assert not Canary(0).died

    def test_it_is_full_once_enough_are_admitted(self) -> None:
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
        canary = self.canary(2, (0, BAD_END), (1, UNANSWERED))
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


class TestFailureLimit:
    def test_failed_blocked_and_review_are_bad(self) -> None:
        limit = FailureLimit(Limit(100, percent=True))
        for state in (State.FAILED, State.BLOCKED, State.REVIEW, State.SUCCEEDED):
            assert not limit.record(Decision(state, state.value))
        assert (limit.settled, limit.bad) == (4, 3)

    @pytest.mark.parametrize(
        "decision", [AGAIN, NOT_SENT, UNANSWERED, replace(UNANSWERED, wait_s=1.0)], ids=str
    )
    def test_what_is_not_settled_does_not_count(self, decision: Decision) -> None:
        limit = FailureLimit(Limit(0, percent=False))
        assert not limit.record(decision)
        assert limit.settled == 0

    def test_zero_stops_at_the_first(self) -> None:
        limit = FailureLimit(Limit(0, percent=False))
        assert not limit.record(GOOD_END)
        assert limit.record(BAD_END)
        assert limit.reason == "1 of 2 calls failed: above --max-failures"

    def test_a_percentage_waits_for_a_hundred(self) -> None:
        limit = FailureLimit(Limit(50, percent=True))
        stops = [limit.record(BAD_END) for _ in range(101)]
        assert stops.index(True) == 99

    def test_a_hundred_per_cent_never_stops(self) -> None:
        limit = FailureLimit(Limit(100, percent=True))
        assert not any(limit.record(BAD_END) for _ in range(500))
