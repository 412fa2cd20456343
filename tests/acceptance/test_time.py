"""Time as it passes for users: windows, clocks that are set, machines and processes that pause."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Self

import pytest

from tests.kit.command import REPO, Desk, Witness, people
from tests.kit.in_process import InProcess
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
FAST = ("--rate", "500/s", "--yes")


@pytest.fixture
def job(desk: Desk) -> Desk:
    desk.write("job.csv", [(who, 1001, 2001) for who in people(40)])
    return desk


def clock(**later: int) -> str:
    return f"{datetime.now() + timedelta(**later):%H:%M}"


def window(begins_h: int, ends_h: int) -> str:
    return f"{clock(hours=begins_h)}-{clock(hours=ends_h)}"


class Later(datetime):
    """The same clock, in five hours."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(hours=5)


@pytest.mark.in_process
class TestWindow:
    def test_outside_it_nothing_is_read_or_sent(self, job: Desk, witness: Start) -> None:
        api = witness()
        later = window(2, 4)
        ended = job.do("run", "job.csv", *FAST, "--window", later, "--json")
        assert ended.code == 3
        assert f"outside the window {later}; nothing was sent" in ended.json["exit"]["reason"]
        assert f"it opens at {later[:5]}" in ended.last_lines[0]
        assert ended.last_lines[1] == (
            f"next: bulk-unenroll run job.csv --rate 500/s --yes --window {later}"
        )
        assert api.seen() == []

    def test_inside_it_the_run_runs_and_the_plan_says_until_when(
        self, job: Desk, witness: Start
    ) -> None:
        api = witness()
        now = window(-2, 2)
        ended = job.do("run", "job.csv", *FAST, "--window", now)
        assert ended.code == 0, ended.err
        ends = datetime.now() + timedelta(hours=2)
        assert f"stops at {ends:%a %d %b}" in ended.out
        assert api.applied() == set(people(40))

    def test_the_folder_remembers_it(
        self, job: Desk, witness: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not isinstance(job, InProcess):
            pytest.skip("a clock of its own needs the test's process")
        api = witness()
        job.do("run", "job.csv", *FAST, "--window", window(-2, 2), "--stop-after", "0s")
        with monkeypatch.context() as later:
            later.setattr(
                "bulk_unenroll.commands.steps.stops.datetime", SimpleNamespace(datetime=Later)
            )
            refused = job.do("resume", "job.unenroll", "--yes")
            assert refused.code == 3
            assert "--window always" in refused.last_lines[0]
            assert api.seen() == []
            assert job.do("resume", "job.unenroll", "--yes", "--window", "always").code == 0
        assert api.applied() == set(people(40))

    def test_a_time_to_stop_that_has_passed_is_tomorrow_s(self, job: Desk, witness: Start) -> None:
        witness()
        stops = datetime.now() + timedelta(hours=23)  # before one in the morning that is today
        ended = job.do("run", "job.csv", *FAST, "--stop-at", f"{stops:%H:%M}")
        assert ended.code == 0
        said = f"stops at {stops:%a %d %b %H:%M}"
        assert (f"{said} (tomorrow)" in ended.out) == (stops.date() > datetime.now().date())
        assert said in ended.out


@pytest.mark.thorough
def test_a_wall_clock_that_jumps_ahead_ends_the_run_at_its_time(
    job: Desk, witness: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a night in which the machine slept; its monotonic clock did not count on."""
    api = witness()
    ahead = """
import datetime, sys, bulk_unenroll.commands.steps.stops as stops
began = datetime.datetime.now()
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        real = datetime.datetime.now(tz)
        late = real - began.replace(tzinfo=real.tzinfo) > datetime.timedelta(seconds=2.5)
        return real + datetime.timedelta(hours=9 * late)
stops.datetime = type("datetime", (), {"datetime": Clock})
from bulk_unenroll.cli.main import main
sys.argv[0] = "bulk-unenroll"
main()
"""
    words = ("run", "job.csv", "--yes", "--rate", "4/s", "--stop-at", clock(hours=8))
    done = subprocess.run(
        [sys.executable, "-c", ahead, *words],
        cwd=job.folder,
        env=job.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr.decode()
    assert b"time is up" in done.stderr
    assert 0 < len(api.seen()) < 30


class TestPaused:
    """A container that is paused, or Ctrl-Z: the process does not run, and then goes on."""

    @pytest.mark.parametrize("loop", thorough("uvloop", "asyncio"))
    def test_an_answer_that_came_meanwhile_is_read_and_nobody_is_called_twice(
        self, job: Desk, witness: Start, loop: str
    ) -> None:
        api = witness("[[rule]]\nprobability = 1\ndelay_s = 1\n")
        if loop == "asyncio":
            (job.folder / "uvloop.py").write_text("raise ImportError")
            job.environment["PYTHONPATH"] = f"{job.folder}:{REPO}"
        options = ("--read-timeout", "2", "--concurrency", "16", "--canary", "0")
        process = job.start("run", "job.csv", *FAST, *options)
        api.wait_for_calls(10)
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
        assert len(api.seen()) == 40
        found = job.do("status", "job.unenroll", "--json").json
        assert (found["attempts"], found["codes"]) == (40, {})


@pytest.mark.in_process
class TestOutage:
    """So many in doubt at once that nobody knows what was applied."""

    @pytest.mark.thorough
    def test_they_are_held_and_said_until_a_person_decides(self, job: Desk, witness: Start) -> None:
        api = witness("[[rule]]\nattempt = 1\nact = 'reset_after'\ntimes = 12\n")
        options = ("--max-attempts", "1", "--concurrency", "4", "--canary", "0")
        first = job.do("run", "job.csv", *FAST, *options, "--max-failures", "100%", "--json")
        assert first.json["status"]["in_doubt"] == 12
        assert first.json["status"]["succeeded"] == 28
        planned = job.do("plan", "job.csv")
        assert "0 to call" in planned.out
        assert "12 in doubt are held" in planned.out
        status = job.do("status", "job.unenroll", "--json").json
        assert status["next"] == "bulk-unenroll retry job.unenroll --state in_doubt"
        for command in (("resume", "job.unenroll", "--yes"), ("run", "job.csv", *FAST)):
            again = job.do(*command)
            assert again.code == 3
            assert again.last_lines[1] == f"next: {status['next']}"
        assert len(api.seen()) == 40
        assert job.do("retry", "job.unenroll", "--state", "in_doubt", "--yes").code == 0
        assert len(api.seen()) == 52

    def test_control_what_a_kill_may_leave_is_sent_again(self, job: Desk, witness: Start) -> None:
        api = witness("[[rule]]\nattempt = 1\nact = 'reset_after'\ntimes = 8\n")
        options = ("--max-attempts", "1", "--concurrency", "4", "--canary", "0")
        job.do("run", "job.csv", *FAST, *options, "--max-failures", "100%")
        assert job.do("resume", "job.unenroll", "--yes").code == 0
        assert len(api.seen()) == 48
