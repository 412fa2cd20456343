"""Charts tell the truth: bars are as high as their rates, axes go in round steps."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.reports.charts import Bar, charts_of, scale
from bulk_unenroll.reports.timeline import Calls, Timeline, empty_timeline

BEGAN_S = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""


def run_of(per_slot: list[int], width_s: int) -> Timeline:
    """A run with so many calls in each slot, all of them taken out within 0.2 s."""
    number = sum(per_slot)
    gap_s = len(per_slot) * width_s / number
    line = empty_timeline("run-1", Calls(number, BEGAN_S, BEGAN_S + gap_s * (number - 1)))
    assert len(line.slots) == len(per_slot)
    for slot, calls in zip(line.slots, per_slot, strict=True):
        slot.kinds["done"] += calls
        slot.latencies.add(200, calls)
    return line


class TestScale:
    @given(st.floats(1e-6, 1e9))
    def test_an_axis_holds_its_largest_value_in_few_round_steps(self, most: float) -> None:
        top, ticks = scale(most)
        assert most <= top * (1 + 1e-9)
        assert 2 <= len(ticks) <= 6
        assert ticks[0].label.strip("0.") == ""
        assert len({tick.label for tick in ticks}) == len(ticks)

    @pytest.mark.parametrize(
        ("most", "labels"),
        [
            (50, ["0", "10", "20", "30", "40", "50"]),
            (103, ["0", "50", "100", "150"]),
            (0.3, ["0.0", "0.1", "0.2", "0.3"]),
            (61_000, ["0", "20,000", "40,000", "60,000", "80,000"]),
            (0, ["0"]),
        ],
    )
    def test_it_is_labelled_as_people_count(self, most: float, labels: list[str]) -> None:
        assert [tick.label for tick in scale(most)[1]] == labels


class TestBars:
    def test_a_bar_is_as_high_as_its_rate(self) -> None:
        bars = charts_of(run_of([100, 50, 0, 100], 1)).bars
        assert [(bar.x, bar.height) for bar in bars] == [(0, 100), (25, 50), (75, 100)]

    def test_kinds_stand_on_each_other(self) -> None:
        line = run_of([60, 60, 60], 1)
        line.slots[0].kinds["unanswered"] += 40
        line.slots[0].kinds["refused"] += 20
        done, refused, unanswered = charts_of(line).bars[:3]
        assert [bar.kind for bar in (done, refused, unanswered)] == [
            "done",
            "refused",
            "unanswered",
        ]
        for below, above in ((done, refused), (refused, unanswered)):
            assert top_of(below) == pytest.approx(100 - above.y - above.height)

    def test_an_even_rate_makes_an_even_picture_to_its_end(self) -> None:
        calls = Calls(1041, BEGAN_S, BEGAN_S + 104.0)  # ten a second, and one more
        line = empty_timeline("run-1", calls)
        for number in range(1041):
            slot = line.slots[min(int(number / 10 / line.width_s), len(line.slots) - 1)]
            slot.kinds["done"] += 1
        heights = [bar.height for bar in charts_of(line).bars]
        assert max(heights) == pytest.approx(min(heights), rel=0.01)


def top_of(bar: Bar) -> float:
    return 100 - bar.y


class TestCurves:
    def test_a_step_without_an_answer_interrupts_the_line(self) -> None:
        line = run_of([10, 10, 10, 10, 10], 1)
        line.slots[2].latencies.bins.clear()
        median, most = (curve.path for curve in charts_of(line).curves)
        assert median == most
        assert [len(part.split("L")) for part in median.split("M")[1:]] == [2, 2]

    def test_a_point_between_gaps_is_still_seen(self) -> None:
        line = run_of([10, 10, 10], 1)
        for slot in (line.slots[0], line.slots[2]):
            slot.latencies.bins.clear()
        (path, _) = (curve.path for curve in charts_of(line).curves)
        assert re.fullmatch(r"M(\S+ \S+)L\1", path)

    def test_calls_that_were_never_answered_have_no_line(self) -> None:
        line = run_of([10, 10, 10], 1)
        for slot in line.slots:
            slot.latencies.bins.clear()
        assert [curve.path for curve in charts_of(line).curves] == ["", ""]


class TestTimes:
    def test_ticks_are_round_times_of_the_day(self) -> None:
        times = charts_of(run_of([100] * 20, 1)).times
        assert [tick.label for tick in times] == [
            "22:13:20",
            "22:13:25",
            "22:13:30",
            "22:13:35",
            "22:13:40",
        ]
        assert [round(tick.at) for tick in times] == [0, 25, 50, 75, 100]

    def test_midnight_is_the_new_day(self) -> None:
        times = charts_of(run_of([100] * 36, 600)).times
        assert [tick.label for tick in times] == ["15 Nov", "02:00", "04:00"]

    @given(st.integers(3, 40), st.sampled_from([1, 60, 3600, 43_200, 86_400 * 30]))
    def test_there_are_a_few_whatever_the_length(self, slots: int, width_s: int) -> None:
        begin_s = BEGAN_S
        line = empty_timeline("run-1", Calls(10_000, begin_s, begin_s + slots * width_s))
        times = charts_of(line).times
        assert len(times) <= 6
        assert all(0 <= tick.at <= 100 for tick in times)
