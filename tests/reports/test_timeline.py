"""Calls over time: percentiles from bins, and slots of a width that people like."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.reports.timeline import (
    SLOTS_MOST,
    Calls,
    Latencies,
    empty_timeline,
    slot_width_s,
)


def binned(latency_ms: int) -> int:
    """As ``attempt_bins`` does it."""
    width = 2 if latency_ms < 100 else 20 if latency_ms < 1000 else 200
    width = width if latency_ms < 10_000 else 2000
    return latency_ms // width * width


class TestLatencies:
    def test_a_percentile_is_within_a_tenth(self, seed: int) -> None:
        dice = random.Random(f"{seed}/latencies")
        true_ms = sorted(int(dice.lognormvariate(6, 1.5)) + 20 for _ in range(5001))
        found = Latencies()
        for latency_ms in true_ms:
            found.add(binned(latency_ms), 1)
        for percent in (5, 50, 95):
            true_s = true_ms[5000 * percent // 100] / 1000
            assert found.percentile_s(percent) == pytest.approx(true_s, rel=0.11)

    def test_calls_without_an_answer_have_no_latency(self) -> None:
        found = Latencies()
        found.add(None, 5)
        assert found.percentile_s(50) is None

    def test_one_call_is_its_own_median(self) -> None:
        found = Latencies()
        found.add(40, 1)
        assert found.percentile_s(50) == found.percentile_s(95) == 0.041


class TestTime:
    @given(st.floats(0, 4e8))
    def test_any_run_fits_into_a_few_steps(self, lasted_s: float) -> None:
        assert int(lasted_s / slot_width_s(lasted_s)) + 1 <= SLOTS_MOST

    @given(st.floats(0, 4e8), st.integers(1, 10**7))
    def test_the_steps_follow_each_other_to_the_end_of_the_run(
        self, lasted_s: float, number: int
    ) -> None:
        line = empty_timeline("run-1", Calls(number, 0.0, lasted_s if number > 1 else 0.0))
        slots = line.slots
        assert 1 <= len(slots) <= SLOTS_MOST
        assert slots[0].begin_s == 0
        assert all(one.end_s == two.begin_s for one, two in itertools.pairwise(slots))
        assert slots[-1].end_s >= (lasted_s if number > 1 else 0)
        assert all(slot.end_s - slot.begin_s == line.width_s for slot in slots[:-1])
        if len(slots) > 1:
            last_s = slots[-1].end_s - slots[-1].begin_s
            assert 0.49 <= last_s / line.width_s <= 1.51

    @pytest.mark.parametrize(
        ("lasted_s", "unit", "rate"), [(30.0, "second", 10.0), (7200.0, "minute", 600.0)]
    )
    def test_a_rate_is_counted_by_no_longer_unit_than_was_observed(
        self, lasted_s: float, unit: str, rate: float
    ) -> None:
        number = int(lasted_s * 10) + 1  # ten calls a second
        line = empty_timeline("run-1", Calls(number, 0.0, lasted_s))
        line.slots[0].kinds["done"] += line.width_s * 10
        assert line.unit == unit
        assert line.rate(line.slots[0]) == rate

    def test_a_minute_is_shown_by_two_seconds(self) -> None:
        assert slot_width_s(60) == 2

    def test_the_mean_rate_counts_starts_after_the_first(self) -> None:
        assert Calls(101, 0.0, 60.0).per_min == 100
        assert Calls(1, 5.0, 5.0).per_min is None
