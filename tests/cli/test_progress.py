"""What a person sees of a run that goes on after earlier ones: its own work, its own speed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from bulk_unenroll.cli import progress
from bulk_unenroll.cli.progress import ProgressDisplay
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision, Enrollment, State, Target


class Clock:
    """Replaces the module ``time``."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def resumed(live: Progress) -> ProgressDisplay:
    """A thousand customers, of whom earlier runs called 900."""
    counts = Counts(read=1000, unique=1000)
    counts.states |= {State.SUCCEEDED: 880, State.FAILED: 20, State.PENDING: 90, State.IN_DOUBT: 10}
    return ProgressDisplay(counts, 100, live=live)


def settle(display: ProgressDisplay, number: int, *, doubtful: bool = False) -> None:
    for customer in range(number):
        call = Call(customer, Enrollment(customer, Target(None, 1001, 2001)), 1, doubtful)
        display.recorded(call, Decision(State.SUCCEEDED, "succeeded", None, None))


def test_done_total_rate_and_time_left_are_of_this_run_and_states_of_all(clock: Clock) -> None:
    live = Progress(console=Console(file=io.StringIO()))
    display = resumed(live)
    (task,) = live.tasks
    assert (task.completed, task.total) == (0, 100)
    clock.now_s += 60
    settle(display, 10)
    settle(display, 10, doubtful=True)
    assert (task.completed, task.total) == (20, 100)
    assert task.fields["pace"] == "20/min, 4 min left"
    assert task.fields["states"] == "80 pending  900 succeeded  20 failed"


def test_customers_that_are_not_sent_are_done_but_do_not_raise_the_rate(clock: Clock) -> None:
    live = Progress(console=Console(file=io.StringIO()))
    display = resumed(live)
    clock.now_s += 60
    settle(display, 20)
    display.blocked(40)
    (task,) = live.tasks
    assert task.completed == 60
    assert task.fields["pace"] == "20/min, 2 min left"


def test_before_anything_is_done_no_time_left_is_estimated(clock: Clock) -> None:
    live = Progress(console=Console(file=io.StringIO()))
    display = resumed(live)
    clock.now_s += 30
    display.blocked(0)
    assert live.tasks[0].fields["pace"] == "0/min"
