"""The words and figures of the report page, without a ledger."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.codes import says
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State
from bulk_unenroll.reports.problems import Most
from bulk_unenroll.reports.timeline import SLOTS_MOST, Calls, Latencies, slot_width_s
from bulk_unenroll.reports.wording import headline, masked, reason_of, visible


def binned(latency_ms: int) -> int:
    """As ``attempt_bins`` does it."""
    width = 2 if latency_ms < 100 else 20 if latency_ms < 1000 else 200
    width = width if latency_ms < 10_000 else 2000
    return latency_ms // width * width


class TestHeadline:
    def test_it_says_how_many_were_taken_out_and_how_the_others_ended(self) -> None:
        counts = Counts(read=1000, unique=998)
        counts.states |= {State.SUCCEEDED: 960, State.FAILED: 4, State.IN_DOUBT: 34}
        assert headline(counts) == (
            "960 of 998 customers/targets were taken out, 4 failed, 34 are in doubt."
        )

    @pytest.mark.parametrize("state", [s for s in State if s is not State.WITHDRAWN])
    def test_no_state_is_passed_over(self, state: State) -> None:
        counts = Counts(read=7, unique=7)
        counts.states[state] = 7
        assert "7 " in headline(counts).replace("of 7 ", "")

    def test_an_input_without_rows_had_nobody_to_call(self) -> None:
        assert headline(Counts()) == "There was no customer/target to call."


class TestMasking:
    @pytest.mark.parametrize(
        "text",
        [
            "user 423789336 is unknown",
            "mobile +91 98765 43210 belongs to another",
            "mobile 98765-43210",
            "ids (423)789-3361",
            "４２３７８９３３６ is no number",
            "zoe.smith@example.com is not enrolled",
        ],
    )
    def test_what_may_name_a_person_is_masked(self, text: str) -> None:
        shown = masked(text)
        assert "…" in shown
        assert not any(len(word) > 4 and word.isdecimal() for word in shown.split())
        assert "@" not in shown

    def test_codes_and_target_ids_stay(self) -> None:
        assert masked("310018: target 999999 of group 1002") == (
            "310018: target 999999 of group 1002"
        )

    def test_a_long_text_is_cut(self) -> None:
        assert len(masked("x" * 5000)) < 300

    def test_reasons_of_ours_keep_their_counts_and_those_of_a_server_are_masked(self) -> None:
        assert reason_of(1, "1234567 rows failed") == "1234567 rows failed"
        assert reason_of(77, "403: no access for 423789336") == "403: no access for …"

    @given(st.text())
    def test_nothing_that_turns_or_hides_text_is_left_in(self, text: str) -> None:
        assert len(visible(text)) == len(text)
        assert not set(visible(text)) & set("\x00\x1b\x7f\n\u202e\u2066\u200b\ufeff\u061c")

    def test_letters_of_all_scripts_stay(self) -> None:
        assert visible("Zoë 田中 عميل <b>") == "Zoë 田中 عميل <b>"


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("310011", "invalid user id"),
        ("http_502", "server error, perhaps after applying"),
        ("987", "not documented"),
        (None, ""),
    ],
)
def test_a_code_is_explained_as_the_code_table_does(code: str | None, meaning: str) -> None:
    assert says(code) == meaning


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

    def test_a_minute_is_shown_by_two_seconds(self) -> None:
        assert slot_width_s(60) == 2

    def test_the_mean_rate_counts_starts_after_the_first(self) -> None:
        assert Calls(101, 0.0, 60.0).per_min == 100
        assert Calls(1, 5.0, 5.0).per_min is None


class TestMost:
    @given(st.lists(st.integers(0, 20)), st.integers(0, 5))
    def test_the_heaviest_are_kept_in_order_and_the_others_counted(
        self, weights: list[int], limit: int
    ) -> None:
        most: Most[int] = Most(limit)
        for place, weight in enumerate(weights):
            most.offer(weight, place)
        ranked = sorted(range(len(weights)), key=lambda place: (-weights[place], place))
        assert most.listed() == ranked[:limit]
        assert most.others == len(ranked[limit:])
        assert most.others_weight == sum(weights[place] for place in ranked[limit:])
