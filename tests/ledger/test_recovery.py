"""What a kill leaves in every kind of ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_unenroll.ledger.interface import Ledger
from tests.ledger.kit import (
    NOW_S,
    Place,
    answer,
    begin,
    claim,
    confirmed,
    history,
    keys,
    settle,
    some_work,
    states,
    turn,
    unanswered,
    unsent,
)


class TestKill:
    """What the next opening makes of a ledger that nobody closed."""

    def test_what_may_have_left_is_in_doubt_and_unanswered(
        self, ledger: Ledger, place: Place
    ) -> None:
        confirmed(ledger, keys(1, 2, 3, 4))
        begin(ledger, run_id="killed-run")
        one, two, _ = claim(ledger, 3)
        turn(ledger, answer(one), unsent(two))
        with closing(place.after_kill().open()) as again:
            assert states(again) == {1: "succeeded", 2: "pending", 3: "in_doubt", 4: "pending"}
            assert history(again, 3) == [(1, "killed-run", "unanswered", "killed")]
            assert history(again, 2) == history(again, 4) == []
            assert again.reader.integrity_faults() == []
            begin(again)
            assert [call.doubtful for call in claim(again, 1)] == [True]

    def test_the_line_is_there_before_anybody_opens_it_again(
        self, ledger: Ledger, place: Place
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="killed-run")
        claim(ledger)
        with place.after_kill().reader() as reader:
            (line,) = reader.attempts_of(1)
        assert (line.run_id, line.outcome, line.answered_at) == ("killed-run", "unanswered", None)

    def test_killed_again_and_again_it_loses_nothing(self, ledger: Ledger, place: Place) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        claim(ledger)
        for kills in range(1, 4):
            place = place.after_kill()
            with closing(place.open()) as again:
                assert [line.outcome for line in history(again, 1)] == ["unanswered"] * kills
                assert states(again) == {1: "in_doubt"}
                begin(again)
                (call,) = claim(again)
                assert call.tries == 0
                place = place.after_kill()

    def test_a_clean_close_leaves_nothing_in_doubt(self, place: Place) -> None:
        with closing(place.open()) as ledger:
            confirmed(ledger, keys(1, 2))
            begin(ledger)
            settle(ledger, 1)
        for _ in range(2):
            with closing(place.open()) as again:
                assert states(again) == {1: "succeeded", 2: "pending"}

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=25)
    def test_whenever_it_strikes_what_was_committed_is_there(
        self,
        make_place: Callable[[Path], Place],
        tmp_path_factory: pytest.TempPathFactory,
        seed: int,
    ) -> None:
        place = make_place(tmp_path_factory.mktemp("kill") / "job")
        with closing(place.open()) as ledger:
            known = some_work(ledger, random.Random(seed))
            killed = place.after_kill()
        with closing(killed.open()) as again:
            found = states(again)
            assert {who: found[who] for who in known} == known
            assert again.reader.integrity_faults() == []


class TestRecentStarts:
    def test_what_was_sent_since_newest_first(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3, 4))
        begin(ledger)
        at_s = (NOW_S, NOW_S + 20, NOW_S + 10, NOW_S + 30)
        calls = claim(ledger)
        turn(ledger, *(answer(call, at_s=s) for call, s in zip(calls, at_s, strict=True)))
        assert ledger.reader.recent_starts(NOW_S) == [NOW_S + 30, NOW_S + 20, NOW_S + 10]
        assert ledger.reader.recent_starts(NOW_S + 30) == []

    def test_a_call_that_hung_for_long_hides_no_others(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        hung, quick, other = claim(ledger)
        turn(ledger, answer(quick, at_s=NOW_S + 70), answer(other, at_s=NOW_S + 71))
        turn(ledger, unanswered(hung, at_s=NOW_S))  # recorded last, after its timeout
        assert ledger.reader.recent_starts(NOW_S + 60) == [NOW_S + 71, NOW_S + 70]

    def test_calls_that_a_kill_left_unanswered_count_and_hide_none(
        self, ledger: Ledger, place: Place
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        claim(ledger, 1, now_s=NOW_S)
        (quick,) = claim(ledger, 1, now_s=NOW_S + 70)
        turn(ledger, answer(quick, at_s=NOW_S + 70))
        claim(ledger, 1, now_s=NOW_S + 72)
        with closing(place.after_kill().open()) as again:
            assert again.reader.recent_starts(NOW_S + 60) == [NOW_S + 72, NOW_S + 70]
