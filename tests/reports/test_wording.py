"""The words and figures of the report page, without a ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.codes import says
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State
from bulk_unenroll.reports.wording import headline, masked, reason_of, visible


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

    def test_a_rehearsal_and_a_plan_are_not_told_as_the_real_thing(self) -> None:
        counts = Counts(read=5, unique=5)
        counts.states[State.SUCCEEDED] = 5
        assert headline(counts, rehearsal=True).startswith("In a rehearsal, 5 of 5 ")
        assert headline(counts, planned=True).startswith("Nothing was sent yet: 5 ")

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
