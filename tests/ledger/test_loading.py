"""What every kind of ledger makes of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.model import MAX_ID, Enrollment, Invalid, State
from tests.ledger.kit import (
    BAD_ID,
    BASE_URL,
    NOW_S,
    Place,
    answer,
    batches,
    begin,
    claim,
    confirm,
    confirmed,
    confirmed_sources,
    customers,
    info,
    key,
    keys,
    plan,
    rows_of,
    settle,
    states,
    turn,
    unanswered,
    unsent,
)


def refused(rows: Sequence[Enrollment | Invalid]) -> Iterator[Batch]:
    """Rows of an input that is refused at its end."""
    yield from batches(rows, 2)
    raise InputRefused("it ends in the middle of a row")


class TestLoading:
    @pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
    def test_each_row_is_accepted_a_duplicate_or_invalid(self, ledger: Ledger, chunk: int) -> None:
        rows: list[Enrollment | Invalid] = [*keys(1, 2), BAD_ID, *keys(1, 3, 1), BAD_ID, *keys(3)]
        source = plan(ledger, rows, chunk=chunk)
        assert rows_of(ledger, source) == [
            (1, 1, "pending", None),
            (2, 2, "pending", None),
            (3, None, "invalid", BAD_ID.message),
            (4, 1, "duplicate", "repeats row 1"),
            (5, 3, "pending", None),
            (6, 1, "duplicate", "repeats row 1"),
            (7, None, "invalid", BAD_ID.message),
            (8, 3, "duplicate", "repeats row 5"),
        ]

    def test_one_customer_in_other_targets_and_orgs_is_no_duplicate(self, ledger: Ledger) -> None:
        rows = [key(1), key(1, target=2002), key(1, group=1002), key(1, org=7), key(1, org=8)]
        source = confirmed(ledger, rows)
        assert [status for _, _, status, _ in rows_of(ledger, source)] == ["pending"] * 5
        begin(ledger)
        assert {call.enrollment for call in claim(ledger)} == set(rows)

    def test_a_key_of_two_sources_is_one_customer_with_a_row_in_each(self, ledger: Ledger) -> None:
        one = confirmed(ledger, keys(1, 2), "a.csv")
        other = confirmed(ledger, [key(3), key(2), key(2)], "b.csv")
        assert len(states(ledger)) == 3
        begin(ledger)
        settle(ledger, 2)
        assert rows_of(ledger, one)[1] == (2, 2, "succeeded", None)
        assert rows_of(ledger, other)[1:] == [
            (2, 2, "succeeded", None),
            (3, 2, "duplicate", "repeats row 2"),
        ]

    def test_the_same_content_is_read_once(self, ledger: Ledger) -> None:
        source = plan(ledger, keys(1), content="the same")
        assert ledger.load(info(content="the same"), refused([])) == source

    @pytest.mark.parametrize(
        "other", [info("b.csv", "x"), info("a.csv", "y"), info("a.csv", "x", '{"group": 7}')]
    )
    def test_another_path_content_or_reading_is_another_source(
        self, ledger: Ledger, other: SourceInfo
    ) -> None:
        source = plan(ledger, keys(1), "a.csv", "x")
        assert ledger.load(other, batches(keys(1))) != source

    def test_what_was_noticed_is_kept_with_its_source(self, ledger: Ledger) -> None:
        facts = {"delimiter": ";", "bom": True}
        one = ledger.load(info(), batches(keys(1)), lambda: facts)
        other = plan(ledger, keys(2))
        assert ledger.reader.noticed([one, other]) == {one: facts, other: {}}

    def test_rows_know_their_lines(self, ledger: Ledger) -> None:
        first, second = batches(keys(1, 2, 3, 4), 2)
        parts = [replace(first, lines={1: 2}), replace(second, lines={4: 7})]
        source = ledger.load(info(), iter(parts))
        assert [ledger.reader.line(source, row) for row in (1, 2, 3, 4)] == [2, 3, 4, 7]
        assert ledger.reader.line(plan(ledger, keys(5)), 1) is None

    def test_a_header_and_no_rows_is_a_source(self, ledger: Ledger) -> None:
        source = confirmed(ledger, [])
        assert confirmed_sources(ledger) == [source]
        begin(ledger)
        assert claim(ledger) == []

    @pytest.mark.parametrize("before", [[], [key(2), key(9)]])
    def test_a_refused_source_leaves_nothing_behind(
        self, ledger: Ledger, before: list[Enrollment]
    ) -> None:
        if before:
            confirmed(ledger, before, "before.csv")
        sources, on_record = ledger.reader.sources(), states(ledger)
        rows: list[Enrollment | Invalid] = [*keys(1, 2), BAD_ID, *keys(1), key(3, target=7)]
        with pytest.raises(InputRefused):
            ledger.load(info("a.csv", "refused"), refused(rows))
        assert ledger.reader.sources() == sources
        assert states(ledger) == on_record
        assert ledger.reader.conservation_faults() == []
        source = plan(ledger, keys(1, 3), "a.csv", "refused")
        assert [row.customer for row in rows_of(ledger, source)] == [1, 3]

    def test_a_refused_source_after_a_row_that_another_repeats_spoils_neither(
        self, ledger: Ledger
    ) -> None:
        first = plan(ledger, keys(1, 1))
        with pytest.raises(InputRefused):
            ledger.load(info(), refused(keys(5, 1, 1, 5)))
        last = plan(ledger, keys(5, 5, 1), "c.csv")
        assert [row.message for row in rows_of(ledger, first)] == [None, "repeats row 1"]
        assert [row.message for row in rows_of(ledger, last)] == [None, "repeats row 1", None]

    def test_the_largest_ids_go_through_it_unchanged(self, ledger: Ledger) -> None:
        largest = key(MAX_ID, MAX_ID, MAX_ID, MAX_ID)
        confirmed(ledger, [largest])
        begin(ledger)
        assert [call.enrollment for call in claim(ledger)] == [largest]


class TestConfirming:
    def test_a_plan_confirms_nothing(self, ledger: Ledger) -> None:
        plan(ledger, keys(1))
        assert confirmed_sources(ledger) == []
        assert ledger.reader.base_url() is None

    def test_what_is_confirmed_and_for_which_api_is_kept(
        self, ledger: Ledger, place: Place
    ) -> None:
        source = confirmed(ledger, keys(1))
        with closing(place.after_kill().open()) as again:
            assert confirmed_sources(again) == [source]
            assert again.reader.base_url() == BASE_URL

    def test_a_new_content_supersedes_the_old_only_once_it_is_confirmed(
        self, ledger: Ledger
    ) -> None:
        old = confirmed(ledger, keys(1, 2))
        new = plan(ledger, keys(2, 3))
        assert confirmed_sources(ledger) == [old]
        confirm(ledger, new)
        assert confirmed_sources(ledger) == [new]
        assert states(ledger) == {1: "withdrawn", 2: "pending", 3: "pending"}

    def test_another_path_supersedes_nothing(self, ledger: Ledger) -> None:
        sources = [confirmed(ledger, keys(1), "a.csv"), confirmed(ledger, keys(2), "b.csv")]
        assert confirmed_sources(ledger) == sources

    def test_two_readings_of_one_path_confirmed_together_both_stay(self, ledger: Ledger) -> None:
        sources: list[int] = []
        for about in (info("a.csv", "x", "{}"), info("a.csv", "x", '{"group": 7}')):
            sources.append(ledger.load(about, batches(keys(len(sources) + 1))))
        confirm(ledger, *sources)
        assert confirmed_sources(ledger) == sources

    def test_who_stands_in_another_source_still_is_not_withdrawn(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2), "a.csv")
        confirmed(ledger, keys(1), "b.csv")
        confirmed(ledger, keys(3), "a.csv")
        assert states(ledger) == {1: "pending", 2: "withdrawn", 3: "pending"}

    def test_who_was_called_is_never_withdrawn(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3, 4))
        begin(ledger)
        one, two, three, four = claim(ledger)
        turn(
            ledger,
            answer(one, State.FAILED, code="310011"),
            unanswered(two),
            answer(three, State.PENDING, outcome="not_applied", again_s=NOW_S),
            unsent(four),
        )
        confirmed(ledger, keys(5))
        assert states(ledger) == {
            1: "failed",
            2: "in_doubt",
            3: "pending",
            4: "withdrawn",
            5: "pending",
        }
        begin(ledger)
        assert customers(claim(ledger)) == [5]

    def test_a_row_that_comes_back_is_pending_again(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        confirmed(ledger, keys(2))
        assert states(ledger)[1] == "withdrawn"
        confirmed(ledger, keys(1, 2))
        assert states(ledger) == {1: "pending", 2: "pending"}
        begin(ledger)
        assert customers(claim(ledger)) == [1, 2]

    def test_an_old_content_can_be_planned_and_confirmed_again(self, ledger: Ledger) -> None:
        old = plan(ledger, keys(1, 2), content="old")
        confirm(ledger, old)
        new = confirmed(ledger, keys(2, 3))
        assert plan(ledger, [], content="old") == old
        assert confirmed_sources(ledger) == [new]  # planned again, confirmed not yet
        assert states(ledger) == {1: "pending", 2: "pending", 3: "pending"}
        confirm(ledger, old)
        assert confirmed_sources(ledger) == [old]
        assert states(ledger) == {1: "pending", 2: "pending", 3: "withdrawn"}

    def test_confirming_again_what_is_confirmed_changes_nothing(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1))
        confirm(ledger, source)
        assert confirmed_sources(ledger) == [source]
        assert states(ledger) == {1: "pending"}
