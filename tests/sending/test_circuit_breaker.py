"""When a call may start: pauses, an API out of reach, and an outage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.verdicts import Retry, Verdict
from bulk_unenroll.sending.circuit_breaker import (
    HOLD_MOST_S,
    REFUSED_ENROLLMENTS,
    TRIAL,
    CallResult,
    CircuitBreaker,
)
from bulk_unenroll.sending.outage import PROBE_PATIENCE_S, RELAPSES_A_RUNG
from bulk_unenroll.sending.recent_calls import MANY_ENROLLMENTS, RECENT_CALLS
from bulk_unenroll.settings import RESEND_WINDOW_S
from tests.capillary.verdicts import (
    BLOCKS,
    BROKEN,
    BUSY,
    LOST,
    REFUSED,
    SETTLED,
    SUCCESS,
    TOO_MANY,
    UNSENT,
)


def answered(
    breaker: CircuitBreaker,
    at_s: float,
    verdict: Verdict = SUCCESS,
    *,
    enrollment_id: int | None = None,
) -> None:
    """An ordinary call comes back with ``verdict`` as soon as it has started."""
    breaker.record(CallResult(verdict, at_s, at_s, breaker.start(at_s), enrollment_id))


def late(breaker: CircuitBreaker, verdict: Verdict, *, started_s: float, now_s: float) -> None:
    """A call comes back that was in flight before."""
    breaker.record(CallResult(verdict, started_s, now_s))


def probed(breaker: CircuitBreaker, verdict: Verdict, at_s: float) -> list[float]:
    """Probe with always the same outcome until the breaker gives up; the wait before each probe."""
    waits: list[float] = []
    while not breaker.exhausted and len(waits) < 100:
        wait_s = breaker.starts_in_s(at_s)
        assert wait_s is not None
        at_s += wait_s
        assert breaker.start(at_s)
        breaker.record(CallResult(verdict, at_s, at_s, probe=True))
        waits.append(wait_s)
    return waits


class TestUnreachable:
    def test_before_any_answer_it_is_probed_after_1_2_and_4_seconds(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 100.0, UNSENT)
        assert probed(breaker, UNSENT, 100.0) == [1, 2, 4]
        assert breaker.exhausted == "the API cannot be reached: connection refused"
        assert breaker.starts_in_s(10_000.0) is None

    @pytest.mark.parametrize("answer", [SUCCESS, TOO_MANY, BROKEN, SETTLED[3]], ids=str)
    def test_after_one_answer_it_is_probed_for_longer(self, answer: Verdict) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, answer)
        answered(breaker, 100.0, UNSENT)
        assert probed(breaker, UNSENT, 100.0) == [1, 2, 4, 8, 15, 30, 60]

    def test_one_refused_connection_stops_everyone(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        assert breaker.starts_in_s(5.0) == 0
        answered(breaker, 5.0, UNSENT)
        assert breaker.starts_in_s(5.0) == 1
        assert breaker.starts_in_s(5.75) == 0.25

    def test_a_probe_goes_alone(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        assert breaker.starts_in_s(1.0) == 0
        assert breaker.vacancies(1.0) == 1
        assert breaker.start(1.0)
        assert breaker.vacancies(1.0) == 0
        assert breaker.starts_in_s(1.0) == PROBE_PATIENCE_S

    def test_a_probe_that_hangs_holds_up_the_next_only_for_so_long(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        assert breaker.start(1.0)
        assert breaker.starts_in_s(1.0 + PROBE_PATIENCE_S) == 0
        assert breaker.vacancies(1.0 + PROBE_PATIENCE_S) == 1

    def test_a_probe_that_did_not_go_out_after_all_leaves_its_place_to_another(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        assert breaker.start(1.0)
        breaker.cancel(1.0)
        assert breaker.starts_in_s(1.0) == 0
        assert breaker.start(1.0)

    @pytest.mark.parametrize("answer", [SUCCESS, SETTLED[3], BLOCKS[0], REFUSED], ids=str)
    def test_an_answered_probe_opens_for_everyone(self, answer: Verdict) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        answered(breaker, 1.0, answer)
        assert breaker.starts_in_s(1.0) == 0
        assert not breaker.start(1.0)

    def test_the_next_outage_starts_again_at_one_second(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        answered(breaker, 1.0, UNSENT)
        answered(breaker, 3.0)
        answered(breaker, 4.0, UNSENT)
        assert breaker.starts_in_s(4.0) == 1

    @pytest.mark.parametrize("verdict", [SUCCESS, UNSENT, LOST, SETTLED[3]], ids=str)
    def test_calls_in_flight_since_before_the_outage_change_nothing(self, verdict: Verdict) -> None:
        breaker = CircuitBreaker(threshold=2)
        answered(breaker, 0.0)
        answered(breaker, 10.0, UNSENT)
        answered(breaker, 11.0, UNSENT)
        for _ in range(20):
            late(breaker, verdict, started_s=9.0, now_s=11.5)
        assert breaker.outage
        assert breaker.starts_in_s(11.5) == 1.5
        assert probed(breaker, UNSENT, 11.5) == [1.5, 4, 8, 15, 30, 60]

    def test_a_late_answer_does_not_stand_in_for_the_probe(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        assert breaker.start(1.0)
        late(breaker, SUCCESS, started_s=0.0, now_s=1.0)
        assert breaker.outage
        assert breaker.vacancies(1.0) == 0


class TestPauses:
    def test_retry_after_pauses_everyone_for_as_long_as_it_says(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 100.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        assert breaker.starts_in_s(100.0) == 30
        assert breaker.starts_in_s(129.0) == 1
        assert breaker.starts_in_s(130.0) == 0
        assert not breaker.start(130.0)

    def test_without_it_pauses_double_up_to_a_minute(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        at_s, waits = 0.0, []
        for _ in range(9):
            answered(breaker, at_s, TOO_MANY)
            waits.append(breaker.starts_in_s(at_s) or 0.0)
            at_s += waits[-1]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert breaker.exhausted is None

    def test_an_answer_after_the_pause_ends_the_doubling(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, TOO_MANY)
        answered(breaker, 1.0, TOO_MANY)
        answered(breaker, 3.0)
        answered(breaker, 4.0, TOO_MANY)
        assert breaker.starts_in_s(4.0) == 1

    def test_an_answer_from_before_the_pause_does_not(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, TOO_MANY)
        late(breaker, SUCCESS, started_s=-1.0, now_s=0.5)
        answered(breaker, 1.0, TOO_MANY)
        assert breaker.starts_in_s(1.0) == 2

    def test_many_refused_together_are_one_pause(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, TOO_MANY)
        answered(breaker, 1.0, TOO_MANY)  # the second pause: until 3.0
        for n in range(50):
            late(breaker, TOO_MANY, started_s=0.5, now_s=1.0 + n / 100)
        assert breaker.starts_in_s(1.5) == pytest.approx(1.99)
        answered(breaker, 4.0, TOO_MANY)
        assert breaker.starts_in_s(4.0) == 4

    def test_a_shorter_retry_after_does_not_shorten_a_pause(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        shorter = Retry("http_429", "m", everyone=True, retry_after_s=1.0)
        late(breaker, shorter, started_s=0.0, now_s=5.0)
        assert breaker.starts_in_s(5.0) == 25

    def test_a_retry_that_concerns_one_call_pauses_nobody(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, BUSY)
        assert breaker.starts_in_s(0.0) == 0

    def test_a_probe_asked_to_wait_opens_after_the_pause(self) -> None:
        breaker = CircuitBreaker(threshold=10)
        answered(breaker, 0.0, UNSENT)
        answered(breaker, 1.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        assert breaker.starts_in_s(1.0) == 30
        assert not breaker.outage


class TestUnusableAnswers:
    @pytest.mark.parametrize("threshold", [1, 10, 64])
    def test_as_many_in_a_row_as_the_threshold_are_an_outage(self, threshold: int) -> None:
        breaker = CircuitBreaker(threshold)
        for _ in range(threshold - 1):
            answered(breaker, 0.0, LOST)
        assert breaker.starts_in_s(0.0) == 0
        answered(breaker, 0.0, LOST)
        assert breaker.outage
        assert breaker.starts_in_s(0.0) == 1

    def test_one_usable_answer_breaks_the_row(self) -> None:
        breaker = CircuitBreaker(threshold=3)
        for verdict in (LOST, LOST, SUCCESS, LOST, LOST):
            answered(breaker, 0.0, verdict)
        assert not breaker.outage

    def test_an_api_that_never_answered_usably_is_given_up_soon(self) -> None:
        breaker = CircuitBreaker(threshold=2)
        answered(breaker, 0.0, LOST)
        answered(breaker, 0.0, LOST)
        assert probed(breaker, LOST, 0.0) == [1, 2, 4]
        assert breaker.exhausted == "the API gives no usable answer: no answer"

    def test_one_that_did_gets_a_quarter_of_an_hour(self) -> None:
        breaker = CircuitBreaker(threshold=2)
        for verdict in (SUCCESS, LOST, LOST):
            answered(breaker, 0.0, verdict)
        waits = probed(breaker, LOST, 0.0)
        assert waits[:6] == [1, 2, 4, 8, 15, 20]
        assert set(waits[6:]) == {20}
        assert 900 <= sum(waits) < 920

    def test_before_any_usable_answer_a_usable_probe_ends_the_outage(self) -> None:
        breaker = CircuitBreaker(threshold=2)
        for at_s in (0.0, 0.0, 1.0):
            answered(breaker, at_s, LOST)
        answered(breaker, 3.0)
        assert breaker.starts_in_s(3.0) == 0
        answered(breaker, 3.0, LOST)
        assert not breaker.outage


def healthy() -> CircuitBreaker:
    """The breaker of a run that has had a usable answer."""
    breaker = CircuitBreaker(threshold=1000, spacing_s=6.0)
    answered(breaker, 0.0)
    return breaker


def in_outage(at_s: float = 0.0) -> CircuitBreaker:
    """The same in an outage, since ``at_s``."""
    breaker = healthy()
    for number in range(MANY_ENROLLMENTS):
        answered(breaker, at_s, LOST, enrollment_id=number)
    assert breaker.outage
    return breaker


class TestOnceItAnsweredUsably:
    def test_many_enrollments_lost_one_after_the_other_are_an_outage(self) -> None:
        breaker = healthy()
        for number in range(MANY_ENROLLMENTS - 1):
            answered(breaker, 0.0, LOST, enrollment_id=number)
        assert not breaker.outage
        answered(breaker, 0.0, LOST, enrollment_id=99)
        assert breaker.outage

    def test_a_slow_good_answer_from_before_does_not_hide_it(self) -> None:
        breaker = healthy()
        for number in range(MANY_ENROLLMENTS):
            answered(breaker, 10.0, LOST, enrollment_id=number)
            breaker.record(CallResult(SUCCESS, 5.0, 10.0, enrollment_id=100 + number))
        assert breaker.outage

    def test_a_few_enrollments_that_always_fail_are_not(self) -> None:
        breaker = healthy()
        for turn in range(200):
            answered(breaker, 0.0, LOST, enrollment_id=turn % (MANY_ENROLLMENTS - 1))
        assert not breaker.outage

    def test_every_second_call_lost_is(self) -> None:
        breaker = healthy()
        for number in range(RECENT_CALLS):
            answered(breaker, 0.0, LOST if number % 2 else SUCCESS, enrollment_id=number)
        assert breaker.outage

    def test_every_fourth_call_lost_is_not(self) -> None:
        breaker = healthy()
        for number in range(1000):
            answered(breaker, 0.0, SUCCESS if number % 4 else LOST, enrollment_id=number)
        assert not breaker.outage

    def test_enrollments_refused_each_as_soon_as_the_wait_is_over_are(self) -> None:
        breaker, at_s = healthy(), 0.0
        for number in range(REFUSED_ENROLLMENTS):
            assert not breaker.outage
            answered(breaker, at_s, Retry("http_503", "m", True, 5.0), enrollment_id=number)
            at_s += 5.0
        assert breaker.outage

    def test_one_enrollment_that_is_always_refused_is_not(self) -> None:
        breaker = healthy()
        for turn in range(20):
            answered(breaker, 60.0 * turn, TOO_MANY, enrollment_id=7)
        assert not breaker.outage

    def test_refused_for_long_it_is_not_given_up(self) -> None:
        breaker, at_s = healthy(), 0.0
        for number in range(200):
            answered(breaker, at_s, TOO_MANY, enrollment_id=number)
            at_s += breaker.starts_in_s(at_s) or 0.0
        assert at_s > 3000
        assert not breaker.exhausted

    def test_a_good_probe_begins_a_trial_of_more_and_more_calls_at_once(self) -> None:
        breaker = in_outage()
        answered(breaker, 1.0)
        assert breaker.vacancies(1.0) == 1
        answered(breaker, 1.0)
        assert breaker.vacancies(1.0) == 2
        for _ in range(TRIAL - 2):
            assert breaker.outage
            answered(breaker, 1.0)
        assert breaker.vacancies(1.0) is None

    def test_one_lost_in_the_trial_ends_it(self) -> None:
        breaker = in_outage()
        for _ in range(TRIAL - 1):
            answered(breaker, 1.0)
        answered(breaker, 1.0, LOST)
        assert breaker.starts_in_s(1.0) == 1
        assert breaker.vacancies(2.0) == 1

    def test_the_waits_grow_with_the_relapses(self) -> None:
        breaker, at_s, waits = in_outage(), 0.0, []
        for _ in range(6 * RELAPSES_A_RUNG):
            at_s += breaker.starts_in_s(at_s) or 0.0
            answered(breaker, at_s)
            answered(breaker, at_s, LOST)
            waits.append(breaker.starts_in_s(at_s))
        assert waits[::RELAPSES_A_RUNG][1:] == [2, 4, 8, 15, 20]

    def test_an_api_that_fails_every_fourth_call_for_good_is_lived_with(self) -> None:
        breaker, at_s = in_outage(), 0.0
        for number in range(RECENT_CALLS):
            assert breaker.outage
            at_s += breaker.starts_in_s(at_s) or 0.0
            answered(breaker, at_s, SUCCESS if number % 4 else LOST, enrollment_id=number)
        assert not breaker.outage

    def test_one_that_hangs_in_the_trial_begins_it_anew(self) -> None:
        breaker = in_outage()
        answered(breaker, 1.0)
        assert breaker.start(1.0)
        for n in range(TRIAL):
            assert breaker.outage
            answered(breaker, 2.0 + PROBE_PATIENCE_S + n)
        assert not breaker.outage

    def test_a_probe_that_hung_is_no_news_after_a_later_one_came_back(self) -> None:
        breaker = in_outage()
        assert breaker.start(1.0)
        answered(breaker, 1.0 + PROBE_PATIENCE_S)
        breaker.record(CallResult(LOST, 1.0, 76.0, probe=True))
        assert breaker.starts_in_s(76.0) == 0

    def test_unreachable_in_an_outage_it_is_probed_from_the_first_rung_on(self) -> None:
        breaker = in_outage()
        at_s = 0.0
        for _ in range(6):
            at_s += breaker.starts_in_s(at_s) or 0.0
            answered(breaker, at_s, LOST)
        at_s += breaker.starts_in_s(at_s) or 0.0
        answered(breaker, at_s, UNSENT)
        assert probed(breaker, UNSENT, at_s) == [1, 2, 4, 8, 15, 30, 60]


class TestHold:
    def test_before_any_usable_answer_nothing_is_held_back(self) -> None:
        breaker = CircuitBreaker(threshold=10, spacing_s=6.0)
        assert breaker.hold_s(0, probe=False, now_s=0.0) == 0

    @pytest.mark.parametrize(
        ("failed", "tries", "hold_s"),
        [(1, 0, 0), (1, 1, 6), (1, 9, 6), (2, 0, 6), (2, 1, 12), (2, 2, 24), (2, 9, 60)],
    )
    def test_others_go_before_what_failed_with_others_or_again(
        self, failed: int, tries: int, hold_s: float
    ) -> None:
        breaker = healthy()
        for number in range(failed):
            answered(breaker, 0.0, LOST, enrollment_id=number)
        assert breaker.hold_s(tries, probe=False, now_s=0.0) == hold_s

    def test_a_refused_call_lets_others_find_out_whether_the_pause_is_over(self) -> None:
        breaker = healthy()
        answered(breaker, 0.0, Retry("http_429", "m", True, 10.0), enrollment_id=7)
        assert breaker.hold_s(0, probe=False, now_s=0.0) == 40

    def test_the_attempts_of_a_probe_outlast_the_outage(self) -> None:
        breaker, at_s, held_s = in_outage(), 0.0, 0.0
        for tries in range(4):
            for _ in range(2):
                at_s += breaker.starts_in_s(at_s) or 0.0
                answered(breaker, at_s, LOST)
            held_s += breaker.hold_s(tries, probe=True, now_s=at_s)
        assert held_s > 1200

    @given(st.integers(0, 10**6), st.booleans())
    def test_nothing_is_held_back_until_its_doubt_is_too_old(self, tries: int, probe: bool) -> None:
        assert in_outage().hold_s(tries, probe=probe, now_s=0.0) <= HOLD_MOST_S < RESEND_WINDOW_S


@given(
    st.lists(
        st.tuples(
            st.sampled_from([SUCCESS, UNSENT, LOST, TOO_MANY, BUSY, REFUSED]),
            st.floats(0, 100),
            st.integers(0, 30),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_a_breaker_never_sticks(events: list[tuple[Verdict, float, int, bool]]) -> None:
    """Whatever comes back, it opens within a minute, or has given up."""
    breaker, now_s = CircuitBreaker(threshold=3), 0.0
    for verdict, passing_s, number, hangs in events:
        now_s += passing_s
        if breaker.starts_in_s(now_s) != 0:
            breaker.record(CallResult(verdict, now_s - passing_s, now_s, enrollment_id=number))
            continue
        probe = breaker.start(now_s)
        if not hangs:
            breaker.record(CallResult(verdict, now_s, now_s, probe, number))
        assert breaker.exhausted or breaker.starts_in_s(now_s + 60.0) == 0
