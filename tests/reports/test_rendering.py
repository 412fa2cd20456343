"""How values look on a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.reports.rendering import rate, share, short, span, step

NIGHT_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 10, ""),
        (1, 10_000_000, "< 0.1 %"),
        (9_999_999, 10_000_000, "> 99.9 %"),
        (10, 10, "100 %"),
        (960, 1037, "92.6 %"),
        (1, 20, "5 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part: int, whole: int, shown: str) -> None:
    assert share(part, whole) == shown


def test_a_stretch_of_time_names_its_day_once_and_two_days_twice() -> None:
    plain = str.maketrans("", "", "</>")
    assert "Tue 14 Nov 2023, 22:13:20" in span((NIGHT_S, NIGHT_S + 60))
    assert span((NIGHT_S, NIGHT_S + 60)).translate(plain).count("Nov") == 1
    assert span((NIGHT_S, NIGHT_S + 86_400)).translate(plain).count("Nov") == 2


@pytest.mark.parametrize(
    ("width_s", "shown"),
    [
        (1, "1 s"),
        (30, "30 s"),
        (300, "5 min"),
        (7200, "2 h"),
        (86_400, "1 day"),
        (172_800, "2 days"),
    ],
)
def test_a_step_is_told_in_its_largest_unit(width_s: int, shown: str) -> None:
    assert step(width_s) == shown


def test_a_small_rate_keeps_a_decimal() -> None:
    assert [rate(value) for value in (None, 0.0, 1.66, 99.96, 12_345.6)] == [
        "",
        "0",
        "1.7",
        "100.0",
        "12,346",
    ]


@given(st.text(max_size=300), st.integers(10, 100))
def test_a_long_name_keeps_its_beginning_and_its_end(text: str, most: int) -> None:
    shown = short(text, most)
    assert len(shown) <= most
    assert shown == text or text.startswith(shown.partition("…")[0])
