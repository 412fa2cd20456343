"""Values of options: rates, limits, durations, times of day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.option_values import (
    Limit,
    Rate,
    parse_delimiter,
    parse_duration_s,
    parse_limit,
    parse_rate,
    parse_time_of_day,
    parse_timeout_s,
    parse_window,
)


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "rate", "per_s"),
        [
            ("100/min", Rate(100, 60.0), 100 / 60),
            ("1/s", Rate(1, 1.0), 1.0),
            ("3000/s", Rate(3000, 1.0), 3000.0),
            ("10/h", Rate(10, 3600.0), 10 / 3600),
            (" 7/s ", Rate(7, 1.0), 7.0),
            ("999999999/h", Rate(999999999, 3600.0), 999999999 / 3600),
        ],
    )
    def test_a_rate(self, text: str, rate: Rate, per_s: float) -> None:
        assert parse_rate(text) == rate
        assert rate.per_s == pytest.approx(per_s)
        assert str(rate) == text.strip()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "100",
            "0/s",
            "-1/s",
            "1.5/s",
            "100/m",
            "100/sec",
            "/s",
            "1 /s",
            "01/s",
            "1e3/s",
            "1/s/s",
            "١/s",
            "1_000/s",
            "1/day",
            "9999999999/s",
        ],
    )
    def test_no_rate(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a valid rate"):
            parse_rate(text)

    @pytest.mark.parametrize(
        ("text", "share"),
        [
            ("0", Limit(0, percent=False)),
            ("12", Limit(12, percent=False)),
            ("0%", Limit(0, percent=True)),
            ("10%", Limit(10, percent=True)),
            ("0.5%", Limit(0.5, percent=True)),
            ("100%", Limit(100, percent=True)),
            (" 50% ", Limit(50, percent=True)),
        ],
    )
    def test_a_number_or_a_percentage(self, text: str, share: Limit) -> None:
        assert parse_limit(text) == share
        assert str(share) == text.strip()

    @pytest.mark.parametrize(
        "text", ["", "%", "-1", "-1%", "101%", "100.1%", "1.5", "ten", "10 %", "10%%", "٣%", "1e2"]
    )
    def test_neither(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            parse_limit(text)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("1h", 3600),
            ("1h1m1s", 3661),
            ("2h5s", 7205),
            ("0s", 0),
        ],
    )
    def test_a_duration(self, text: str, seconds: float) -> None:
        assert parse_duration_s(text) == seconds

    @pytest.mark.parametrize("text", ["", "90", "m", "1.5h", "30m1h", "-5s", "5 m", "1d", "5ms"])
    def test_no_duration(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a valid duration"):
            parse_duration_s(text)

    @pytest.mark.parametrize(("given", "seconds"), [("0.5", 0.5), ("3600", 3600.0), (75, 75.0)])
    def test_a_timeout(self, given: str | float, seconds: float) -> None:
        assert parse_timeout_s(given) == seconds

    @pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "3601", "soon", "", 0, 3601])
    def test_no_timeout(self, given: str | float) -> None:
        with pytest.raises(ValueError, match="is not a valid number of seconds"):
            parse_timeout_s(given)

    def test_a_time_of_day(self) -> None:
        assert parse_time_of_day("05:00") == time(5)
        for text in ("25:00", "5", "", "05:00:00"):
            with pytest.raises(ValueError, match="is not a valid time of day"):
                parse_time_of_day(text)

    def test_a_delimiter(self) -> None:
        given = {";": ";", "tab": "\t", "\\t": "\t", "^": "^"}
        assert {text: parse_delimiter(text) for text in given} == given
        for text in ("", ",;", '"', "\n"):
            with pytest.raises(ValueError, match="is not a valid delimiter"):
                parse_delimiter(text)

    @pytest.mark.parametrize(
        ("parse", "value"),
        [
            (parse_rate, Rate(100, 60.0)),
            (parse_limit, Limit(50, percent=True)),
            (parse_duration_s, 90.5),
            (parse_timeout_s, 75.0),
            (parse_time_of_day, time(5)),
            (parse_delimiter, "\t"),
        ],
    )
    def test_what_was_read_once_is_taken_as_it_is(
        self, parse: Callable[[object], object], value: object
    ) -> None:
        assert parse(value) == value

    def test_numbers_are_taken_as_a_job_file_or_a_caller_gives_them(self) -> None:
        assert parse_limit(12) == Limit(12, percent=False)
        assert parse_duration_s(90) == 90.0
        for wrong in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="is not a valid duration"):
                parse_duration_s(wrong)

    @given(st.text(max_size=12).filter(lambda text: not text.strip()[:1].isdigit()))
    def test_a_refusal_shows_what_was_typed(self, text: str) -> None:
        for parse in (parse_rate, parse_limit, parse_duration_s):
            with pytest.raises(ValueError, match=r"write|neither") as caught:
                parse(text)
            assert repr(text) in str(caught.value)

    @given(st.integers(1, 10**9 - 1), st.sampled_from(["s", "min", "h"]))
    def test_a_rate_reads_as_it_is_written(self, count: int, unit: str) -> None:
        assert str(parse_rate(f"{count}/{unit}")) == f"{count}/{unit}"


class TestWindow:
    NIGHT = parse_window("22:00-05:00")

    @pytest.mark.parametrize("moment", [time(22), time(23, 59), time(0), time(4, 59, 59)])
    def test_it_may_go_over_midnight(self, moment: time) -> None:
        assert moment in self.NIGHT

    @pytest.mark.parametrize("moment", [time(5), time(12), time(21, 59, 59)])
    def test_it_begins_and_ends(self, moment: time) -> None:
        assert moment not in self.NIGHT

    def test_by_day(self) -> None:
        day = parse_window(" 09:30 - 17:00 ")
        assert [time(9, 30) in day, time(17) in day, time(3) in day] == [True, False, False]
        assert str(day) == "09:30-17:00"
        assert parse_window(day) == day

    def test_it_need_not_end(self) -> None:
        always = parse_window("always")
        assert time(3) in always
        assert time(15) in always
        assert str(always) == "always"
        assert always.closes is None

    @pytest.mark.parametrize("text", ["", "22:00", "22:00-", "22-05", "22:00-22:00", "5:00-25:00"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="22:00-05:00"):
            parse_window(text)


class TestLimit:
    @pytest.mark.parametrize(
        ("limit", "part", "whole", "exceeded"),
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
    def test_more_than_the_limit(self, limit: Limit, part: int, whole: int, exceeded: bool) -> None:
        assert limit.exceeded(part, whole) is exceeded

    def test_a_percentage_counts_from_the_least_on_and_a_number_at_once(self) -> None:
        assert not Limit(50, percent=True).exceeded(99, 99, least=100)
        assert Limit(50, percent=True).exceeded(51, 100, least=100)
        assert Limit(5, percent=False).exceeded(6, 6, least=100)

    @given(st.integers(0, 100), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_a_percentage_is_exact(self, percent: int, one: int, other: int) -> None:
        part, whole = min(one, other), max(one, other)
        expected = whole > 0 and Fraction(part, whole) > Fraction(percent, 100)
        assert Limit(percent, percent=True).exceeded(part, whole) is expected
