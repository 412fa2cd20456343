"""When a run stops by itself, by its settings."""

from __future__ import annotations

import time as clocks
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bulk_unenroll.clocks import elapsed_s
from bulk_unenroll.option_values import (
    Window,
    parse_window,
)
from bulk_unenroll.settings import RunSettings


class TestStop:
    NOON = datetime(2026, 1, 2, 12, 0, 30)

    @pytest.mark.parametrize(
        ("given", "closes_at"),
        [
            ({}, None),
            ({"stop_after_s": 5.0}, None),
            ({"stop_at": time(12, 1)}, datetime(2026, 1, 2, 12, 1)),
            ({"stop_at": time(12, 0)}, datetime(2026, 1, 3, 12, 0)),
            ({"stop_at": time(11, 59)}, datetime(2026, 1, 3, 11, 59)),
            ({"window": Window(time(9), time(17))}, datetime(2026, 1, 2, 17)),
            ({"window": Window(time(9), time(5))}, datetime(2026, 1, 3, 5)),
            ({"window": parse_window("always")}, None),
            (
                {"window": Window(time(9), time(17)), "stop_at": time(16)},
                datetime(2026, 1, 2, 16),
            ),
        ],
    )
    def test_a_time_of_day_that_has_passed_is_tomorrow_s(
        self, given: dict[str, Any], closes_at: datetime | None
    ) -> None:
        assert RunSettings(**given, began_at=self.NOON).closes_at == closes_at

    def test_a_duration(self) -> None:
        settings = RunSettings(stop_after_s=20.0, began_at=self.NOON, began_s=100.0)
        assert not settings.time_is_up(self.NOON, 119.9)
        assert settings.time_is_up(self.NOON, 120.0)

    @pytest.mark.parametrize(
        ("began", "stop_at", "ends"),
        [
            # the clock goes from 02:00 to 03:00 on the 29th of March, back on the 25th of October
            ("2026-03-28T22:00+01:00", time(5), "2026-03-29T05:00+02:00"),
            ("2026-03-28T22:00+01:00", time(2, 30), "2026-03-29T03:00+02:00"),
            ("2026-10-24T22:00+02:00", time(5), "2026-10-25T05:00+01:00"),
            ("2026-10-24T22:00+02:00", time(2, 30), "2026-10-25T02:30+02:00"),
            ("2026-10-25T02:10+01:00", time(2, 30), "2026-10-25T02:30+01:00"),
        ],
    )
    def test_it_is_what_a_clock_on_the_wall_shows_on_the_nights_when_clocks_change(
        self, began: str, stop_at: time, ends: str
    ) -> None:
        def shown(moment: datetime) -> datetime:
            return moment.astimezone(ZoneInfo("Europe/Madrid")).replace(tzinfo=None)

        moment = datetime.fromisoformat(began)
        settings = RunSettings(stop_at=stop_at, began_at=shown(moment))
        while not settings.time_is_up(shown(moment), 0.0):
            moment += timedelta(minutes=1)
        assert moment == datetime.fromisoformat(ends)

    def test_the_clock_of_durations_goes_on_while_the_machine_sleeps(self) -> None:
        assert elapsed_s() == pytest.approx(boot_s(), abs=1.0)


def boot_s() -> float:
    clock = getattr(clocks, "CLOCK_BOOTTIME", clocks.CLOCK_MONOTONIC)
    return clocks.clock_gettime(clock)
