"""When a call may start: pauses, an API out of reach, and one in trouble."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.verdicts import Retry, Verdict
from bulk_unenroll.sending.circuit_breaker import (
    HOLD_MOST_S,
    MANY_ROWS,
    PROBE_PATIENCE_S,
    RECENT_CALLS,
    REFUSED_ROWS,
    RELAPSES_A_RUNG,
    TRIAL,
    CallResult,
    CircuitBreaker,
)
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
    gate: CircuitBreaker, at_s: float, verdict: Verdict = SUCCESS, *, row: int | None = None
) -> None:
    """An ordinary call comes back with ``verdict`` as soon as it has started."""
    gate.record(CallResult(verdict, at_s, at_s, gate.start(at_s), row))


def late(gate: CircuitBreaker, verdict: Verdict, *, started_s: float, now_s: float) -> None:
    """A call comes back that was in flight before."""
    gate.record(CallResult(verdict, started_s, now_s))


def probed(gate: CircuitBreaker, verdict: Verdict, at_s: float) -> list[float]:
    """Probe with always the same outcome until the gate gives up; the wait before each probe."""
    waits: list[float] = []
    while not gate.exhausted and len(waits) < 100:
        wait_s = gate.opens_in_s(at_s)
        assert wait_s is not None
        at_s += wait_s
        assert gate.start(at_s)
        gate.record(CallResult(verdict, at_s, at_s, probe=True))
        waits.append(wait_s)
    return waits


class TestUnreachable:
    def test_before_any_answer_it_is_probed_after_1_2_and_4_seconds(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 100.0, UNSENT)
        assert probed(gate, UNSENT, 100.0) == [1, 2, 4]
        assert gate.exhausted == "the API cannot be reached: connection refused"
        assert gate.opens_in_s(10_000.0) is None

    @pytest.mark.parametrize("answer", [SUCCESS, TOO_MANY, BROKEN, SETTLED[3]], ids=str)
    def test_after_one_answer_it_is_probed_for_longer(self, answer: Verdict) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, answer)
        answered(gate, 100.0, UNSENT)
        assert probed(gate, UNSENT, 100.0) == [1, 2, 4, 8, 15, 30, 60]

    def test_one_refused_connection_stops_everyone(self) -> None:
        gate = CircuitBreaker(threshold=10)
        assert gate.opens_in_s(5.0) == 0
        answered(gate, 5.0, UNSENT)
        assert gate.opens_in_s(5.0) == 1
        assert gate.opens_in_s(5.75) == 0.25

    def test_a_probe_goes_alone(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        assert gate.opens_in_s(1.0) == 0
        assert gate.vacancies(1.0) == 1
        assert gate.start(1.0)
        assert gate.vacancies(1.0) == 0
        assert gate.opens_in_s(1.0) == PROBE_PATIENCE_S

    def test_a_probe_that_hangs_holds_up_the_next_no_longer_than_so(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        assert gate.start(1.0)
        assert gate.opens_in_s(1.0 + PROBE_PATIENCE_S) == 0
        assert gate.vacancies(1.0 + PROBE_PATIENCE_S) == 1

    def test_a_probe_that_did_not_go_out_after_all_leaves_its_place_to_another(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        assert gate.start(1.0)
        gate.cancel(1.0)
        assert gate.opens_in_s(1.0) == 0
        assert gate.start(1.0)

    @pytest.mark.parametrize("answer", [SUCCESS, SETTLED[3], BLOCKS[0], REFUSED], ids=str)
    def test_an_answered_probe_opens_for_everyone(self, answer: Verdict) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        answered(gate, 1.0, answer)
        assert gate.opens_in_s(1.0) == 0
        assert not gate.start(1.0)

    def test_the_next_trouble_starts_again_at_one_second(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        answered(gate, 1.0, UNSENT)
        answered(gate, 3.0)
        answered(gate, 4.0, UNSENT)
        assert gate.opens_in_s(4.0) == 1

    @pytest.mark.parametrize("verdict", [SUCCESS, UNSENT, LOST, SETTLED[3]], ids=str)
    def test_calls_in_flight_since_before_the_trouble_change_nothing(
        self, verdict: Verdict
    ) -> None:
        gate = CircuitBreaker(threshold=2)
        answered(gate, 0.0)
        answered(gate, 10.0, UNSENT)
        answered(gate, 11.0, UNSENT)
        for _ in range(20):
            late(gate, verdict, started_s=9.0, now_s=11.5)
        assert gate.trouble
        assert gate.opens_in_s(11.5) == 1.5
        assert probed(gate, UNSENT, 11.5) == [1.5, 4, 8, 15, 30, 60]

    def test_a_late_answer_does_not_stand_in_for_the_probe(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        assert gate.start(1.0)
        late(gate, SUCCESS, started_s=0.0, now_s=1.0)
        assert gate.trouble
        assert gate.vacancies(1.0) == 0


class TestPauses:
    def test_retry_after_pauses_everyone_for_as_long_as_it_says(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 100.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        assert gate.opens_in_s(100.0) == 30
        assert gate.opens_in_s(129.0) == 1
        assert gate.opens_in_s(130.0) == 0
        assert not gate.start(130.0)

    def test_without_it_pauses_double_up_to_a_minute(self) -> None:
        gate = CircuitBreaker(threshold=10)
        at_s, waits = 0.0, []
        for _ in range(9):
            answered(gate, at_s, TOO_MANY)
            waits.append(gate.opens_in_s(at_s) or 0.0)
            at_s += waits[-1]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert gate.exhausted is None

    def test_an_answer_after_the_pause_ends_the_doubling(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, TOO_MANY)
        answered(gate, 1.0, TOO_MANY)
        answered(gate, 3.0)
        answered(gate, 4.0, TOO_MANY)
        assert gate.opens_in_s(4.0) == 1

    def test_an_answer_from_before_the_pause_does_not(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, TOO_MANY)
        late(gate, SUCCESS, started_s=-1.0, now_s=0.5)
        answered(gate, 1.0, TOO_MANY)
        assert gate.opens_in_s(1.0) == 2

    def test_many_refused_together_are_one_pause(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, TOO_MANY)
        answered(gate, 1.0, TOO_MANY)  # the second pause: until 3.0
        for n in range(50):
            late(gate, TOO_MANY, started_s=0.5, now_s=1.0 + n / 100)
        assert gate.opens_in_s(1.5) == pytest.approx(1.99)
        answered(gate, 4.0, TOO_MANY)
        assert gate.opens_in_s(4.0) == 4

    def test_a_shorter_retry_after_does_not_shorten_a_pause(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        shorter = Retry("http_429", "m", everyone=True, retry_after_s=1.0)
        late(gate, shorter, started_s=0.0, now_s=5.0)
        assert gate.opens_in_s(5.0) == 25

    def test_a_retry_that_concerns_one_row_pauses_nobody(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, BUSY)
        assert gate.opens_in_s(0.0) == 0

    def test_a_probe_told_to_wait_opens_after_the_pause(self) -> None:
        gate = CircuitBreaker(threshold=10)
        answered(gate, 0.0, UNSENT)
        answered(gate, 1.0, Retry("http_429", "m", everyone=True, retry_after_s=30.0))
        assert gate.opens_in_s(1.0) == 30
        assert not gate.trouble


class TestUnusableAnswers:
    @pytest.mark.parametrize("threshold", [1, 10, 64])
    def test_so_many_in_a_row_are_trouble(self, threshold: int) -> None:
        gate = CircuitBreaker(threshold)
        for _ in range(threshold - 1):
            answered(gate, 0.0, LOST)
        assert gate.opens_in_s(0.0) == 0
        answered(gate, 0.0, LOST)
        assert gate.trouble
        assert gate.opens_in_s(0.0) == 1

    def test_one_usable_answer_breaks_the_row(self) -> None:
        gate = CircuitBreaker(threshold=3)
        for verdict in (LOST, LOST, SUCCESS, LOST, LOST):
            answered(gate, 0.0, verdict)
        assert not gate.trouble

    def test_an_api_that_never_answered_usably_is_given_up_soon(self) -> None:
        gate = CircuitBreaker(threshold=2)
        answered(gate, 0.0, LOST)
        answered(gate, 0.0, LOST)
        assert probed(gate, LOST, 0.0) == [1, 2, 4]
        assert gate.exhausted == "the API gives no usable answer: no answer"

    def test_one_that_did_gets_a_quarter_of_an_hour(self) -> None:
        gate = CircuitBreaker(threshold=2)
        for verdict in (SUCCESS, LOST, LOST):
            answered(gate, 0.0, verdict)
        waits = probed(gate, LOST, 0.0)
        assert waits[:6] == [1, 2, 4, 8, 15, 20]
        assert set(waits[6:]) == {20}
        assert 900 <= sum(waits) < 920

    def test_before_any_usable_answer_a_usable_probe_ends_the_trouble(self) -> None:
        gate = CircuitBreaker(threshold=2)
        for at_s in (0.0, 0.0, 1.0):
            answered(gate, at_s, LOST)
        answered(gate, 3.0)
        assert gate.opens_in_s(3.0) == 0
        answered(gate, 3.0, LOST)
        assert not gate.trouble


def healthy() -> CircuitBreaker:
    """The gate of a run that has had a usable answer."""
    gate = CircuitBreaker(threshold=1000, spacing_s=6.0)
    answered(gate, 0.0)
    return gate


def troubled(at_s: float = 0.0) -> CircuitBreaker:
    """The same in trouble, since ``at_s``."""
    gate = healthy()
    for row in range(MANY_ROWS):
        answered(gate, at_s, LOST, row=row)
    assert gate.trouble
    return gate


class TestOnceItAnsweredUsably:
    def test_many_rows_lost_one_after_the_other_are_trouble(self) -> None:
        gate = healthy()
        for row in range(MANY_ROWS - 1):
            answered(gate, 0.0, LOST, row=row)
        assert not gate.trouble
        answered(gate, 0.0, LOST, row=99)
        assert gate.trouble

    def test_a_slow_good_answer_from_before_does_not_hide_it(self) -> None:
        gate = healthy()
        for row in range(MANY_ROWS):
            answered(gate, 10.0, LOST, row=row)
            gate.record(CallResult(SUCCESS, 5.0, 10.0, row=100 + row))
        assert gate.trouble

    def test_a_few_rows_that_always_fail_are_not(self) -> None:
        gate = healthy()
        for turn in range(200):
            answered(gate, 0.0, LOST, row=turn % (MANY_ROWS - 1))
        assert not gate.trouble

    def test_every_second_call_lost_is(self) -> None:
        gate = healthy()
        for row in range(RECENT_CALLS):
            answered(gate, 0.0, LOST if row % 2 else SUCCESS, row=row)
        assert gate.trouble

    def test_every_fourth_call_lost_is_not(self) -> None:
        gate = healthy()
        for row in range(1000):
            answered(gate, 0.0, SUCCESS if row % 4 else LOST, row=row)
        assert not gate.trouble

    def test_rows_refused_each_as_soon_as_the_wait_is_over_are(self) -> None:
        gate, at_s = healthy(), 0.0
        for row in range(REFUSED_ROWS):
            assert not gate.trouble
            answered(gate, at_s, Retry("http_503", "m", True, 5.0), row=row)
            at_s += 5.0
        assert gate.trouble

    def test_one_row_that_is_always_refused_is_not(self) -> None:
        gate = healthy()
        for turn in range(20):
            answered(gate, 60.0 * turn, TOO_MANY, row=7)
        assert not gate.trouble

    def test_refused_for_long_it_is_not_given_up(self) -> None:
        gate, at_s = healthy(), 0.0
        for row in range(200):
            answered(gate, at_s, TOO_MANY, row=row)
            at_s += gate.opens_in_s(at_s) or 0.0
        assert at_s > 3000
        assert not gate.exhausted

    def test_a_good_probe_begins_a_trial_of_more_and_more_calls_at_once(self) -> None:
        gate = troubled()
        answered(gate, 1.0)
        assert gate.vacancies(1.0) == 1
        answered(gate, 1.0)
        assert gate.vacancies(1.0) == 2
        for _ in range(TRIAL - 2):
            assert gate.trouble
            answered(gate, 1.0)
        assert gate.vacancies(1.0) is None

    def test_one_lost_in_the_trial_ends_it(self) -> None:
        gate = troubled()
        for _ in range(TRIAL - 1):
            answered(gate, 1.0)
        answered(gate, 1.0, LOST)
        assert gate.opens_in_s(1.0) == 1
        assert gate.vacancies(2.0) == 1

    def test_the_waits_grow_with_the_relapses(self) -> None:
        gate, at_s, waits = troubled(), 0.0, []
        for _ in range(6 * RELAPSES_A_RUNG):
            at_s += gate.opens_in_s(at_s) or 0.0
            answered(gate, at_s)
            answered(gate, at_s, LOST)
            waits.append(gate.opens_in_s(at_s))
        assert waits[::RELAPSES_A_RUNG][1:] == [2, 4, 8, 15, 20]

    def test_an_api_that_fails_every_fourth_call_for_good_is_lived_with(self) -> None:
        gate, at_s = troubled(), 0.0
        for row in range(RECENT_CALLS):
            assert gate.trouble
            at_s += gate.opens_in_s(at_s) or 0.0
            answered(gate, at_s, SUCCESS if row % 4 else LOST, row=row)
        assert not gate.trouble

    def test_one_that_hangs_in_the_trial_begins_it_anew(self) -> None:
        gate = troubled()
        answered(gate, 1.0)
        assert gate.start(1.0)
        for n in range(TRIAL):
            assert gate.trouble
            answered(gate, 2.0 + PROBE_PATIENCE_S + n)
        assert not gate.trouble

    def test_a_probe_that_hung_is_no_news_after_a_later_one_came_back(self) -> None:
        gate = troubled()
        assert gate.start(1.0)
        answered(gate, 1.0 + PROBE_PATIENCE_S)
        gate.record(CallResult(LOST, 1.0, 76.0, probe=True))
        assert gate.opens_in_s(76.0) == 0

    def test_unreachable_in_trouble_it_is_probed_from_the_first_rung_on(self) -> None:
        gate = troubled()
        at_s = 0.0
        for _ in range(6):
            at_s += gate.opens_in_s(at_s) or 0.0
            answered(gate, at_s, LOST)
        at_s += gate.opens_in_s(at_s) or 0.0
        answered(gate, at_s, UNSENT)
        assert probed(gate, UNSENT, at_s) == [1, 2, 4, 8, 15, 30, 60]


class TestHold:
    def test_before_any_usable_answer_nothing_is_held_back(self) -> None:
        gate = CircuitBreaker(threshold=10, spacing_s=6.0)
        assert gate.hold_s(0, probe=False, now_s=0.0) == 0

    @pytest.mark.parametrize(
        ("failed", "tries", "hold_s"),
        [(1, 0, 0), (1, 1, 6), (1, 9, 6), (2, 0, 6), (2, 1, 12), (2, 2, 24), (2, 9, 60)],
    )
    def test_others_go_before_what_failed_with_others_or_again(
        self, failed: int, tries: int, hold_s: float
    ) -> None:
        gate = healthy()
        for row in range(failed):
            answered(gate, 0.0, LOST, row=row)
        assert gate.hold_s(tries, probe=False, now_s=0.0) == hold_s

    def test_a_refused_row_lets_others_find_out_whether_the_pause_is_over(self) -> None:
        gate = healthy()
        answered(gate, 0.0, Retry("http_429", "m", True, 10.0), row=7)
        assert gate.hold_s(0, probe=False, now_s=0.0) == 40

    def test_the_attempts_of_a_probe_outlast_the_trouble(self) -> None:
        gate, at_s, held_s = troubled(), 0.0, 0.0
        for tries in range(4):
            for _ in range(2):
                at_s += gate.opens_in_s(at_s) or 0.0
                answered(gate, at_s, LOST)
            held_s += gate.hold_s(tries, probe=True, now_s=at_s)
        assert held_s > 1200

    @given(st.integers(0, 10**6), st.booleans())
    def test_nothing_is_held_back_until_its_doubt_is_too_old(self, tries: int, probe: bool) -> None:
        assert troubled().hold_s(tries, probe=probe, now_s=0.0) <= HOLD_MOST_S < RESEND_WINDOW_S


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
def test_a_gate_never_sticks(events: list[tuple[Verdict, float, int, bool]]) -> None:
    """Whatever comes back, it opens within a minute, or has given up."""
    gate, now_s = CircuitBreaker(threshold=3), 0.0
    for verdict, passing_s, row, hangs in events:
        now_s += passing_s
        if gate.opens_in_s(now_s) != 0:
            gate.record(CallResult(verdict, now_s - passing_s, now_s, row=row))
            continue
        probe = gate.start(now_s)
        if not hangs:
            gate.record(CallResult(verdict, now_s, now_s, probe, row))
        assert gate.exhausted or gate.opens_in_s(now_s + 60.0) == 0


# ── canary and limits ────────────────────────────────────────────────────────────────────────────
