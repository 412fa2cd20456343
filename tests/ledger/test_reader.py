"""What every kind of ledger answers."""

from __future__ import annotations

from contextlib import closing

import pytest

from bulk_unenroll.ledger.counts import count
from bulk_unenroll.ledger.facts import (
    AttemptBin,
    AttemptCount,
    Comparison,
    CustomerRow,
    ExampleRow,
    InvalidCount,
    RunCalls,
    SentAgain,
    SlowCall,
    StateCount,
    Waiting,
    confirmed_ids,
    ids_in_force,
)
from bulk_unenroll.ledger.interface import Ledger, Selection
from bulk_unenroll.model import Invalid, State, Target
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
    info,
    key,
    keys,
    plan,
    reopen,
    settle,
    turn,
    unanswered,
)

ONE = Target(None, 1001, 2001)


class TestOpening:
    def test_it_sees_what_a_writer_at_work_has_committed(
        self, ledger: Ledger, place: Place
    ) -> None:
        source = confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        one, *_ = claim(ledger)
        with place.reader() as reader:
            assert count(reader, [source]).states[State.SENDING] == 3
        turn(ledger, answer(one))
        with place.reader() as reader:
            assert count(reader, [source]).states[State.SUCCEEDED] == 1

    def test_a_closed_ledger_can_be_asked(self, place: Place) -> None:
        with closing(place.open()) as ledger:
            confirmed(ledger, keys(1))
        with place.reader() as reader:
            assert confirmed_ids(reader.sources()) == [1]

    def test_at_one_moment_it_holds_up_no_writer_and_sees_no_half_a_picture(
        self, ledger: Ledger, place: Place
    ) -> None:
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        with place.reader() as reader:
            with reader.at_one_moment() as moment:
                before = count(moment, [source])
                settle(ledger)
                assert count(moment, [source]) == before
            assert count(reader, [source]).states[State.SUCCEEDED] == 2

    def test_the_ledger_s_own_reader_sees_every_change_at_once(self, ledger: Ledger) -> None:
        source = plan(ledger, keys(1))
        with ledger.reader.at_one_moment() as moment:
            assert confirmed_ids(moment.sources()) == []
            confirm(ledger, source)
            assert confirmed_ids(ledger.reader.sources()) == [source]
            assert confirmed_ids(moment.sources()) == []


class TestSources:
    def test_a_source_has_what_identifies_it(self, ledger: Ledger) -> None:
        about = info("a.csv", "ab" * 32)
        source = ledger.load(about, batches([*keys(1, 2), BAD_ID]))
        (found,) = ledger.reader.sources()
        assert (found.id, found.name, found.path) == (source, about.name, about.path)
        assert (found.sha256, found.header) == (about.sha256, about.header)
        assert (found.row_count, found.confirmed_s, found.superseded_s) == (3, None, None)

    def test_in_force_is_what_is_confirmed_or_else_what_is_planned(self, ledger: Ledger) -> None:
        old = plan(ledger, keys(1))
        other = plan(ledger, keys(2), "b.csv")
        assert ids_in_force(ledger.reader.sources()) == [old, other]
        confirm(ledger, old)
        assert ids_in_force(ledger.reader.sources()) == [old]
        new = confirmed(ledger, keys(3))
        assert ids_in_force(ledger.reader.sources()) == [new]
        assert [bool(source.superseded_s) for source in ledger.reader.sources()] == [
            True,
            False,
            False,
        ]

    def test_nothing_is_known_of_an_empty_ledger(self, ledger: Ledger) -> None:
        reader = ledger.reader
        assert reader.base_url() is None
        assert reader.pace() is None
        for nothing in (
            reader.sources(),
            reader.runs(),
            reader.run_calls(),
            reader.recent_starts(0),
        ):
            assert nothing == []

    def test_the_base_url_and_the_pace_are_those_of_the_last_run(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        turn(ledger, pace='{"cuts": 1}')
        assert (ledger.reader.base_url(), ledger.reader.pace()) == (BASE_URL, '{"cuts": 1}')
        begin(ledger)
        assert ledger.reader.pace() is None


class TestAccounting:
    def test_customers_are_counted_by_target_state_and_code(self, ledger: Ledger) -> None:
        source = confirmed(ledger, [*keys(1, 2, 3), key(4, target=2002), key(5, org=7)])
        begin(ledger)
        one, two, *_ = claim(ledger)
        turn(ledger, answer(one, State.FAILED, code="310011"))
        turn(ledger, answer(two, State.FAILED, code="310011", mismatch=True))
        failed = StateCount(ONE, State.FAILED, "310011", 2, 1, 2, 1)
        found = ledger.reader.counts_by_target([source])
        assert failed in found
        assert {(some.target, some.state, some.number) for some in found} == {
            (ONE, State.FAILED, 2),
            (ONE, State.SENDING, 1),
            (Target(None, 1001, 2002), State.SENDING, 1),
            (Target(7, 1001, 2001), State.SENDING, 1),
        }
        targets = [some.target for some in found]
        assert targets == sorted(targets, key=list(dict.fromkeys(targets)).index)

    def test_known_from_an_earlier_source_they_count_there_too(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2), "a.csv")
        begin(ledger)
        settle(ledger, 1)
        other = confirmed(ledger, keys(1, 3), "b.csv")
        found = ledger.reader.counts_by_target([other])
        assert {(some.state, some.number) for some in found} == {
            (State.SUCCEEDED, 1),
            (State.PENDING, 1),
        }

    def test_the_worst_code_is_the_most_frequent_one_and_review_comes_last(
        self, ledger: Ledger
    ) -> None:
        source = confirmed(ledger, keys(1, 2, 3, 4, 5, 6))
        assert count(ledger.reader, [source]).worst_code is None
        begin(ledger)
        ends = [(State.REVIEW, "r")] * 3 + [(State.FAILED, "f")] * 2 + [(State.SUCCEEDED, "s")]
        calls = claim(ledger)
        for call, (state, code) in zip(calls, ends, strict=True):
            turn(ledger, answer(call, state, code=code))
        assert count(ledger.reader, [source]).worst_code == (State.FAILED, "f")

    @pytest.mark.parametrize(
        ("org", "end", "expected"),
        [(None, None, False), (7, None, True), (7, State.SUCCEEDED, False)],
    )
    def test_other_orgs_matter_while_somebody_there_is_left_to_call(
        self, ledger: Ledger, org: int | None, end: State | None, expected: bool
    ) -> None:
        confirmed(ledger, [key(1, org=org)])
        if end:
            begin(ledger)
            settle(ledger, state=end)
        assert ledger.reader.has_other_orgs() is expected

    def test_who_is_in_doubt_or_withdrawn_counts_in_superseded_sources_too(
        self, ledger: Ledger
    ) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        (call,) = claim(ledger, 1)
        turn(ledger, unanswered(call))
        confirmed(ledger, keys(3))
        assert (ledger.reader.doubts_left(), ledger.reader.withdrawn_count()) == (1, 1)


class TestPlans:
    def test_invalid_rows_are_counted_by_reason_the_most_frequent_first(
        self, ledger: Ledger
    ) -> None:
        other = Invalid("zero", "customerId: is 0")
        source = plan(ledger, [other, *keys(1), BAD_ID, BAD_ID])
        assert ledger.reader.invalid_counts([source]) == [
            InvalidCount("not_digits", 2, 3, BAD_ID.message, "a.csv"),
            InvalidCount("zero", 1, 1, other.message, "a.csv"),
        ]
        assert ledger.reader.invalid_counts([]) == []

    def test_how_sources_were_read_is_kept(self, ledger: Ledger) -> None:
        bad, good = info("a.csv", reading="A"), info("b.csv", reading="B")
        sources = [ledger.load(bad, batches([BAD_ID])), ledger.load(good, batches(keys(1)))]
        assert sorted(ledger.reader.readings(sources)) == ["A", "B"]
        assert ledger.reader.readings(sources[:1]) == ["A"]

    def test_a_plan_is_compared_with_what_was_confirmed(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2), "a.csv")
        confirmed(ledger, keys(3), "b.csv")
        plan(ledger, keys(4), "c.csv")
        new = plan(ledger, keys(2, 3, 4), "a.csv")
        assert ledger.reader.compare([new]) == Comparison(known=2, gone=1)

    def test_a_swapped_target_is_known_by_who_was_taken_out_of_the_right_one(
        self, ledger: Ledger
    ) -> None:
        confirmed(ledger, [key(1, 1001, 2001)])
        swapped = plan(ledger, [key(2, 2001, 1001)], "b.csv")
        assert not ledger.reader.swapped_before([swapped])
        begin(ledger)
        settle(ledger)
        assert ledger.reader.swapped_before([swapped])
        straight = plan(ledger, [key(3, 1001, 2001)], "c.csv")
        assert not ledger.reader.swapped_before([straight])


class TestRows:
    def rows(self, ledger: Ledger, selection: Selection) -> list[tuple[int, int]]:
        pages = ledger.reader.result_pages(selection)
        return [(row.source_id, row.row) for page in pages for row in page]

    def test_they_come_in_the_order_of_sources_and_rows_with_their_cells(
        self, ledger: Ledger
    ) -> None:
        one = plan(ledger, [*keys(2), BAD_ID, *keys(1, 2)], "a.csv", chunk=3)
        other = plan(ledger, keys(1, 3), "b.csv", chunk=1)
        pages = list(ledger.reader.result_pages(Selection()))
        assert all(pages)
        rows = [row for page in pages for row in page]
        assert [(row.source_id, row.source, row.row) for row in rows] == [
            *((one, "a.csv", number) for number in (1, 2, 3, 4)),
            *((other, "b.csv", number) for number in (1, 2)),
        ]
        assert [list(row.cells) for row in rows] == [
            [who, "1001", "2001"] for who in ("2", "x", "1", "2", "1", "3")
        ]
        assert [row.status for row in rows] == [
            *("pending", "invalid", "pending", "duplicate", "pending", "pending")
        ]

    def test_they_are_chosen_by_source_state_and_code(self, ledger: Ledger) -> None:
        one = confirmed(ledger, [*keys(1, 2), BAD_ID, *keys(1)], "a.csv")
        other = confirmed(ledger, keys(3), "b.csv")
        begin(ledger)
        for call in claim(ledger):
            turn(ledger, answer(call, State.FAILED, code=f"c{call.enrollment.customer}"))
        assert self.rows(ledger, Selection(sources=[other])) == [(other, 1)]
        assert self.rows(ledger, Selection(sources=[])) == []
        assert self.rows(ledger, Selection(states=["invalid", "duplicate"])) == [(one, 3), (one, 4)]
        assert self.rows(ledger, Selection(codes=["c2", "c3"])) == [(one, 2), (other, 1)]
        assert self.rows(ledger, Selection(states=["failed"], codes=["not_digits"])) == []

    def test_a_ledger_may_be_used_between_two_pages(self, ledger: Ledger) -> None:
        confirm(ledger, plan(ledger, keys(1, 2), chunk=1))
        begin(ledger)
        pages = ledger.reader.result_pages(Selection())
        assert [row.status for row in next(pages)] == ["pending"]
        settle(ledger)
        assert [row.status for row in next(pages)] == ["succeeded"]

    def test_an_example_is_the_first_row_of_a_customer_and_target(self, ledger: Ledger) -> None:
        one = confirmed(ledger, [*keys(9, 7), key(7, target=2002), *keys(7)], "a.csv")
        other = confirmed(ledger, keys(7), "b.csv")
        begin(ledger)
        settle(ledger, 7, state=State.FAILED, code="310011")
        example = ledger.reader.example
        assert example(key(7), [one, other]) == ExampleRow("a.csv", 2, "about 310011")
        assert example(key(7), [other]) == ExampleRow("b.csv", 1, "about 310011")
        assert example(key(7, org=7), [one, other]) is None

    def test_a_customer_s_rows_are_those_of_all_sources(self, ledger: Ledger) -> None:
        old = info("a.csv", "old")
        ledger.load(old, batches(keys(1, 2, 1)))
        confirm(ledger, 1)
        new = info("a.csv", "new")
        ledger.load(new, batches([key(1), key(1, org=7)]))
        confirm(ledger, 2)
        plan(ledger, keys(1), "b.csv", "other")
        assert ledger.reader.rows_of(1) == [
            CustomerRow("a.csv", "old", 1, ONE, "pending", None, None, "superseded"),
            CustomerRow("a.csv", "old", 3, ONE, "duplicate", None, "repeats row 1", "superseded"),
            CustomerRow("a.csv", "new", 1, ONE, "pending", None, None, "confirmed"),
            CustomerRow(
                "a.csv", "new", 2, Target(7, 1001, 2001), "pending", None, None, "confirmed"
            ),
            CustomerRow("b.csv", "other", 1, ONE, "pending", None, None, "planned"),
        ]
        assert ledger.reader.rows_of(9) == []

    def test_a_customer_s_attempts_come_as_they_were_sent(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1), key(1, target=2002)])
        begin(ledger)
        one, other = claim(ledger)
        turn(ledger, answer(one, at_s=NOW_S + 5), unanswered(other, at_s=NOW_S))
        found = [(line.target.rule, line.outcome) for line in ledger.reader.attempts_of(1)]
        assert found == [(2002, "unanswered"), (2001, "succeeded")]

    def test_every_attempt_comes_in_pages_those_on_their_way_last(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bulk_unenroll.ledger.reader.PAGE_ROWS", 2)
        confirmed(ledger, [*keys(1, 2, 3), key(4, target=7)])
        begin(ledger, run_id="first")
        one, two, three, _ = claim(ledger)
        turn(ledger, answer(one), answer(two, State.FAILED, code="310011"), unanswered(three))
        pages = list(ledger.reader.attempt_pages(Selection()))
        assert [[(row.customer_id, row.outcome, row.code) for row in page] for page in pages] == [
            [(1, "succeeded", None), (2, "failed", "310011")],
            [(3, "unanswered", "timeout")],
            [(4, "unanswered", None)],
        ]
        assert pages[0][0].request_id == "request-1"
        assert {row.run_id for page in pages for row in page} == {"first"}
        (chosen,) = ledger.reader.attempt_pages(Selection(targets=["1001/7"]))
        assert [row.customer_id for row in chosen] == [4]
        assert list(ledger.reader.attempt_pages(Selection(sources=[]))) == []


class TestCalls:
    @pytest.fixture
    def called(self, ledger: Ledger) -> Ledger:
        """Two runs: the first was answered after 1 s each, of the other one is unanswered."""
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger, run_id="one")
        one, two, three = claim(ledger)
        again_s = NOW_S + 20
        turn(
            ledger,
            answer(one, at_s=NOW_S),
            answer(two, State.PENDING, outcome="not_applied", code="521", at_s=NOW_S + 10,
                   again_s=again_s),
            answer(three, State.FAILED, code="310011", at_s=NOW_S + 11),
        )  # fmt: skip
        (again,) = claim(ledger, now_s=again_s)
        turn(ledger, answer(again, at_s=again_s))
        reopen(ledger, State.FAILED)
        begin(ledger, run_id="two", now_s=NOW_S + 100)
        (later,) = claim(ledger, now_s=NOW_S + 100)
        turn(ledger, unanswered(later, at_s=NOW_S + 100, again_s=NOW_S + 500))
        return ledger

    def test_each_run_has_its_number_of_calls_and_its_span(self, called: Ledger) -> None:
        assert called.reader.run_calls() == [
            RunCalls("one", 4, NOW_S, NOW_S + 20),
            RunCalls("two", 1, NOW_S + 100, NOW_S + 100),
        ]

    def test_the_asked_run_s_calls_are_sorted_into_slots(self, called: Ledger) -> None:
        found = called.reader.attempt_bins("one", NOW_S, 10)
        assert sorted(found, key=repr) == sorted(
            [
                AttemptBin("one", 0, "done", 1000, 1),
                AttemptBin("one", 1, "refused", 1000, 2),
                AttemptBin("one", 2, "done", 1000, 1),
                AttemptBin("two", None, "unanswered", None, 1),
            ],
            key=repr,
        )

    @pytest.mark.parametrize(
        ("took_s", "bin_ms"), [(0.0, 0), (0.0155, 14), (0.455, 440), (1.999, 1800), (75.5, 74_000)]
    )
    def test_bins_are_finer_where_answers_are_quick(
        self, ledger: Ledger, took_s: float, bin_ms: int
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="one")
        (call,) = claim(ledger)
        turn(ledger, answer(call, took_s=took_s))
        (found,) = ledger.reader.attempt_bins("one", NOW_S, 10)
        assert found.bin_ms == bin_ms

    def test_who_was_called_how_often_and_after_what(self, called: Ledger) -> None:
        assert called.reader.attempt_counts() == [AttemptCount(1, 1), AttemptCount(2, 2)]
        assert called.reader.sent_again(10) == [
            SentAgain("failed", "310011", 0, 1, None, None),
            SentAgain("not_applied", "521", 1, 0, 9.0, 9.0),
        ]
        assert called.reader.sent_again(1) == called.reader.sent_again(10)[:1]

    def test_who_waits_is_counted_with_the_first_moment(self, called: Ledger) -> None:
        assert called.reader.waiting() == Waiting(1, NOW_S + 500)

    def test_nobody_waits_at_first(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        assert ledger.reader.waiting() == Waiting(0, None)

    def test_the_slowest_come_first(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1), key(2, org=7), key(3)])
        begin(ledger)
        calls = claim(ledger)
        for call, took_s in zip(calls, (2.0, 8.0, 4.0), strict=True):
            turn(ledger, answer(call, took_s=took_s))
        first, second = ledger.reader.slowest(2)
        assert first == SlowCall(key(2, org=7), 8.0, NOW_S, "succeeded", None, 200)
        assert (second.enrollment, second.took_s) == (key(3), 4.0)
