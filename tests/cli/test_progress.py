"""What a person sees of a run that goes on after earlier ones: its own work, its own speed."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bulk_unenroll.cli import progress
from bulk_unenroll.cli.progress import ProgressDisplay, line
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision, Enrollment, State, Target
from bulk_unenroll.reports.progress import Progress, ProgressCounter

MILLIONS = Progress(
    done=4_812_345,
    of=10_482_113,
    states={State.PENDING: 5_669_768, State.SUCCEEDED: 4_700_000, State.FAILED: 112_345},
    per_min=100,
    left_s=56_697 * 60,
)


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


def resumed() -> ProgressDisplay:
    """A thousand customers, of whom earlier runs called 900."""
    counts = Counts(read=1000, unique=1000)
    counts.states |= {State.SUCCEEDED: 880, State.FAILED: 20, State.PENDING: 90, State.IN_DOUBT: 10}
    return ProgressDisplay(counts, 100, live=True)


def settle(display: ProgressDisplay, number: int, *, doubtful: bool = False) -> None:
    for customer in range(number):
        call = Call(customer, Enrollment(customer, Target(None, 1001, 2001)), 1, doubtful)
        display.recorded(call, Decision(State.SUCCEEDED, "succeeded", None, None))


def shown(display: ProgressDisplay, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(display)
    return captured.get().strip("━ \n")


class TestOfARun:
    def test_done_total_rate_and_time_left_are_of_this_run_and_states_of_all(
        self, clock: Clock
    ) -> None:
        display = resumed()
        assert shown(display).startswith("0/100  0 %")
        clock.now_s += 60
        settle(display, 10)
        settle(display, 10, doubtful=True)
        assert shown(display) == ("20/100  20 %  4 min left  20/min  20 failed  900 succeeded")

    def test_customers_that_are_not_sent_are_done_but_do_not_raise_the_rate(
        self, clock: Clock
    ) -> None:
        display = resumed()
        clock.now_s += 60
        settle(display, 20)
        display.blocked(40)
        assert shown(display).startswith("60/100  60 %  2 min left  20/min  ")

    def test_before_anything_is_done_no_time_left_is_estimated(self, clock: Clock) -> None:
        display = resumed()
        clock.now_s += 30
        display.blocked(0)
        assert "left" not in shown(display)


class TestWidth:
    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_a_narrow_window_keeps_count_percent_and_time_left(self, width: int) -> None:
        text = line(MILLIONS, width).plain
        for part in ("4,812,345/10,482,113", "45 %", "39 d 8 h left"):
            assert part in text
        assert cell_len(text) <= width

    def test_a_wide_one_has_a_bar_and_what_needs_a_look_before_the_rest(self) -> None:
        text = line(MILLIONS, 120).plain
        assert text.startswith("━━━━━━━━")
        assert text.endswith("100/min  112,345 failed  4,700,000 succeeded")
        assert "pending" not in text

    @given(st.integers(1, 300), st.integers(0, 10**8), st.integers(0, 10**8))
    def test_it_is_never_wider_than_the_window(self, width: int, done: int, of: int) -> None:
        found = Progress(done, of, {State.SUCCEEDED: done}, 1.0, 60.0)
        assert cell_len(line(found, width).plain) <= width


@pytest.mark.parametrize("end", [State.SUCCEEDED, State.IN_DOUBT])
def test_the_states_add_up_while_calls_wait_to_be_sent_again(end: State) -> None:
    counts = Counts(3, 0)
    counts.states[State.PENDING] = 3
    counter = ProgressCounter(counts, 3, 0.0)
    enrollment = Enrollment(423789336, Target(None, 1, 2))
    counter.recorded(Call(1, enrollment), Decision(State.IN_DOUBT, "unanswered", wait_s=1.0))
    assert counter.progress(1.0).states == {State.PENDING: 2, State.IN_DOUBT: 1}
    assert counter.progress(1.0).done == 0
    counter.recorded(Call(1, enrollment, 1, doubtful=True), Decision(end, "whatever"))
    found = counter.progress(2.0)
    assert (found.states, found.done) == ({State.PENDING: 2, end: 1}, 1)


def test_what_other_senders_settle_is_part_of_it(clock: Clock) -> None:
    """Of what they had settled before, the counts at the beginning know."""
    display = resumed()
    display.others_settled(300, 10, 5)
    settle(display, 10)
    clock.now_s += 60
    display.others_settled(350, 20, 8)
    said = shown(display)
    assert "60/100" in said
    assert "927 succeeded" in said  # 880, 10 here, 50 - 10 - 3 there
    assert "10 not_enrolled" in said
    assert "23 failed" in said
