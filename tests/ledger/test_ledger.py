"""What the ledger promises: nothing lost, nobody called twice unseen, nobody unconfirmed."""

from __future__ import annotations

import gc
import random
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_unenroll.errors import FolderBusy, FolderUnusable, InputMissing, LedgerFailed
from bulk_unenroll.ledger.folder import existing_folder, ledger_path, locked, make_folder
from bulk_unenroll.ledger.sqlite.ledger import APPLICATION_ID, SCHEMA_VERSION, Ledger
from bulk_unenroll.ledger.sqlite.reader import integrity_faults, reader
from bulk_unenroll.model import Blocked, Enrollment, Invalid, State
from tests.ledger.kit import (
    BAD_ID,
    BASE_URL,
    NEVER_S,
    NOW_S,
    RECENT_S,
    after_kill,
    answer,
    any_mask,
    begin,
    claim,
    confirm,
    confirmed,
    customers,
    full_disk,
    history,
    info,
    key,
    keys,
    plan,
    settle,
    staged,
    state_counts,
    states,
    turn,
    unanswered,
    unsent,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job.unenroll"


@pytest.fixture
def ledger(folder: Path) -> Iterator[Ledger]:
    make_folder(folder)
    made = Ledger.open(folder)
    yield made
    assert integrity_faults(made.connection) == []
    made.close()


def reopened(ledger: Ledger, folder: Path) -> Ledger:
    ledger.close()
    return Ledger.open(folder)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rows_of(ledger: Ledger, source: int) -> list[tuple[object, ...]]:
    """The rows of a source in ``results``: number, customer, status, message."""
    return ledger.connection.execute(
        "SELECT row, customer_id, status, message FROM results WHERE source_id = ? ORDER BY row",
        (source,),
    ).fetchall()


class TestFolder:
    def test_what_is_made_is_for_its_owner_alone(self, folder: Path) -> None:
        with any_mask():
            make_folder(folder)
            with closing(Ledger.open(folder)) as ledger:
                confirmed(ledger, keys(1, 2))
                modes = {path.name: mode_of(path) for path in folder.iterdir()}
        assert mode_of(folder) == 0o700
        assert modes == {
            "ledger.sqlite": 0o600,
            "ledger.sqlite-wal": 0o600,
            "ledger.sqlite-shm": 0o600,
            "ledger.sqlite-mark": 0o600,
        }

    def test_closed_it_is_one_file_that_can_be_copied(self, folder: Path, tmp_path: Path) -> None:
        make_folder(folder)
        with closing(Ledger.open(folder)) as ledger:
            confirmed(ledger, keys(1, 2))
        assert {path.name for path in folder.iterdir()} == {"ledger.sqlite", "ledger.sqlite-mark"}
        (tmp_path / "copy").mkdir()
        shutil.copy(ledger_path(folder), tmp_path / "copy")
        with closing(Ledger.open(tmp_path / "copy")) as copy:
            assert states(copy) == {1: "pending", 2: "pending"}

    def test_any_sqlite_tool_opens_it_and_knows_whose_it_is(self, ledger: Ledger) -> None:
        assert ledger.connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert ledger.connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)

    def test_what_is_committed_survives_power_loss(self, ledger: Ledger) -> None:
        assert ledger.connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert ledger.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_it_has_its_name_only_once_it_needs_no_rollback_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Read-only, nobody can roll one back; a power cut would leave it there."""
        modes = []
        real = Path.replace

        def replace(self: Path, target: Path) -> Path:
            modes.append(self.read_bytes()[18:20])
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        make_folder(tmp_path / "job")
        Ledger.open(tmp_path / "job").close()
        assert modes[0] == bytes([2, 2])  # SQLite file format, 1.3.3: 2 is WAL

    def test_a_folder_cannot_be_made_where_a_file_is(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(FolderUnusable) as caught:
                make_folder(path)
            assert caught.value.code == 73

    def test_it_is_named_by_itself_or_by_its_ledger(self, folder: Path, ledger: Ledger) -> None:
        assert existing_folder(folder) == folder
        assert existing_folder(ledger_path(folder)) == folder

    def test_a_folder_without_a_ledger_is_missing(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(InputMissing) as caught:
                existing_folder(path)
            assert caught.value.code == 66

    def test_a_second_sender_is_turned_away_at_once(self, tmp_path: Path) -> None:
        with locked(tmp_path):
            with pytest.raises(FolderBusy) as caught, locked(tmp_path):
                pass
            assert caught.value.code == 75
            assert mode_of(tmp_path / "lock") == 0o600
        with locked(tmp_path):
            pass


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
        about = info("a.csv", "the same")
        assert ledger.find_source(about) is None
        source = plan(ledger, keys(1), content="the same")
        assert ledger.find_source(about) == source

    @pytest.mark.parametrize(
        "other", [info("b.csv", "x"), info("a.csv", "y"), info("a.csv", "x", '{"group": 7}')]
    )
    def test_another_path_content_or_reading_is_another_source(
        self, ledger: Ledger, other: object
    ) -> None:
        plan(ledger, keys(1), "a.csv", "x")
        assert ledger.find_source(other) is None  # type: ignore[arg-type]

    def test_a_header_and_no_rows_is_a_source(self, ledger: Ledger) -> None:
        source = confirmed(ledger, [])
        assert ledger.confirmed_sources() == [source]
        begin(ledger)
        assert claim(ledger) == []

    @pytest.mark.parametrize("before", [[], [key(2), key(9)]])
    def test_a_refused_source_leaves_nothing_behind(
        self, ledger: Ledger, before: list[Enrollment]
    ) -> None:
        if before:
            confirmed(ledger, before, "before.csv")
        dump = [line for line in ledger.connection.iterdump() if "INSERT INTO" in line]
        source = ledger.add_source(info("a.csv", "refused"))
        ledger.add_rows(source, staged([key(1), key(2), BAD_ID, key(1), key(3, target=7)]))
        ledger.drop_source(source)
        left = [line for line in ledger.connection.iterdump() if "INSERT INTO" in line]
        kept = ("target", "sqlite_sequence", "item", "meta")  # targets hold no customer
        assert [line for line in left if not line.startswith(_inserts(kept))] == [
            line for line in dump if not line.startswith(_inserts(kept))
        ]
        assert sorted(states(ledger)) == sorted(row.customer for row in before)
        assert plan(ledger, keys(1, 3), "a.csv", "refused") != source

    def test_a_source_dropped_after_a_row_that_another_repeats_spoils_neither(
        self, ledger: Ledger
    ) -> None:
        first = plan(ledger, keys(1, 1))
        refused = ledger.add_source(info())
        ledger.add_rows(refused, staged(keys(5, 1, 1, 5)))
        ledger.drop_source(refused)
        last = plan(ledger, keys(5, 5, 1), "c.csv")
        assert [row[3] for row in rows_of(ledger, first)] == [None, "repeats row 1"]
        assert [row[3] for row in rows_of(ledger, last)] == [None, "repeats row 1", None]

    def test_an_unfinished_load_is_dropped_on_the_next_opening(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(2), "before.csv")
        source = ledger.add_source(info("a.csv", "unfinished"))
        ledger.add_rows(source, staged(keys(1, 2, 3)))
        with closing(Ledger.open(after_kill(folder))) as again:
            assert states(again) == {2: "pending"}
            assert integrity_faults(again.connection) == []
            assert again.find_source(info("a.csv", "unfinished")) is None
        ledger.drop_source(source)


def _inserts(tables: Sequence[str]) -> tuple[str, ...]:
    return tuple(f'INSERT INTO "{table}"' for table in tables)


class TestConfirming:
    def test_a_plan_confirms_nothing(self, ledger: Ledger) -> None:
        plan(ledger, keys(1))
        assert ledger.confirmed_sources() == []
        assert ledger.base_url() is None

    def test_what_is_confirmed_and_for_which_api_is_kept(
        self, ledger: Ledger, folder: Path
    ) -> None:
        source = confirmed(ledger, keys(1))
        with closing(Ledger.open(after_kill(folder))) as again:
            assert again.confirmed_sources() == [source]
            assert again.base_url() == BASE_URL

    def test_a_new_content_supersedes_the_old_only_once_it_is_confirmed(
        self, ledger: Ledger
    ) -> None:
        old = confirmed(ledger, keys(1, 2))
        new = plan(ledger, keys(2, 3))
        assert ledger.confirmed_sources() == [old]
        confirm(ledger, new)
        assert ledger.confirmed_sources() == [new]
        assert states(ledger) == {1: "withdrawn", 2: "pending", 3: "pending"}

    def test_another_path_supersedes_nothing(self, ledger: Ledger) -> None:
        sources = [confirmed(ledger, keys(1), "a.csv"), confirmed(ledger, keys(2), "b.csv")]
        assert ledger.confirmed_sources() == sources

    def test_two_readings_of_one_path_confirmed_together_both_stay(self, ledger: Ledger) -> None:
        sources = []
        for about in (info("a.csv", "x", "{}"), info("a.csv", "x", '{"group": 7}')):
            sources.append(ledger.add_source(about))
            ledger.add_rows(sources[-1], staged(keys(len(sources))))
            ledger.source_loaded(sources[-1], 1)
        confirm(ledger, *sources)
        assert ledger.confirmed_sources() == sources

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
        assert ledger.confirmed_sources() == [new]  # planned again, confirmed not yet
        assert states(ledger) == {1: "pending", 2: "pending", 3: "pending"}
        confirm(ledger, old)
        assert ledger.confirmed_sources() == [old]
        assert states(ledger) == {1: "pending", 2: "pending", 3: "withdrawn"}

    def test_confirming_again_what_is_confirmed_changes_nothing(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1))
        confirm(ledger, source)
        assert ledger.confirmed_sources() == [source]
        assert states(ledger) == {1: "pending"}


class TestClaiming:
    def test_nobody_is_called_who_stands_in_no_confirmed_source(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1), "a.csv")
        plan(ledger, keys(2), "b.csv")
        plan(ledger, keys(3), "a.csv")
        begin(ledger)
        assert customers(claim(ledger)) == [1]

    def test_a_run_calls_only_rows_of_its_own_inputs(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2), "a.csv")
        other = confirmed(ledger, keys(2, 3), "b.csv")
        begin(ledger, other)
        assert sorted(customers(claim(ledger))) == [2, 3]

    def test_nor_are_others_sent_again_or_blocked_by_it(self, ledger: Ledger) -> None:
        one = confirmed(ledger, keys(1, 2), "a.csv")
        other = confirmed(ledger, keys(3), "b.csv")
        begin(ledger, one)
        doubt, retry = claim(ledger)
        turn(
            ledger,
            unanswered(doubt, again_s=NOW_S),
            answer(retry, State.PENDING, outcome="not_applied", again_s=NOW_S),
        )
        begin(ledger, other)
        blocked = turn(ledger, blocked=[Blocked(None, 1001, None, "310017", "no group")]).blocked
        assert blocked == 1
        assert claim(ledger, now_s=NOW_S + 100) == []
        assert states(ledger) == {1: "in_doubt", 2: "pending", 3: "blocked"}

    def test_an_intent_is_durable_before_the_call_is_handed_out(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger, run_id="this-run")
        (call,) = claim(ledger, 1)
        with reader(folder) as witness:
            sending = "SELECT customer_id, claimed_at FROM item WHERE state = 'sending'"
            assert witness.execute(sending).fetchall() == [(1, NOW_S)]
            lines = "SELECT customer_id, run_id, outcome, answered_at FROM attempt_history"
            assert witness.execute(lines).fetchall() == [(1, "this-run", "unanswered", None)]
        turn(ledger, answer(call))

    def test_no_call_is_handed_out_twice(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(*range(1, 101)))
        begin(ledger)
        taken = [customer for _ in range(30) for customer in customers(claim(ledger, 7))]
        assert taken == list(range(1, 101))

    def test_claiming_nothing_claims_nothing(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        assert turn(ledger, claim=0).calls == []
        assert states(ledger) == {1: "pending"}

    def test_what_is_settled_is_never_handed_out_again(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2, 3, 4, 5, 6))
        begin(ledger)
        ends = (State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW, State.BLOCKED)
        calls = claim(ledger)
        turn(ledger, *(answer(call, end) for call, end in zip(calls, ends, strict=False)))
        turn(ledger, unsent(calls[-1]))
        for _ in range(2):
            begin(ledger, source, now_s=NOW_S + 10)
            left = claim(ledger, now_s=NOW_S + 10)
            assert customers(left) == [6]
            turn(ledger, unsent(left[0]))

    @pytest.mark.parametrize("per_target", [[5, 5, 5], [1, 5, 50], [50, 1, 1]])
    def test_spread_takes_from_as_many_targets_as_there_are(
        self, ledger: Ledger, per_target: list[int]
    ) -> None:
        rows = [
            key(customer, target=target)
            for target, number in enumerate(per_target, 1)
            for customer in range(1, number + 1)
        ]
        confirmed(ledger, rows)
        begin(ledger)
        first = claim(ledger, 3, spread=True)
        assert sorted(call.enrollment.target.rule for call in first) == [1, 2, 3]
        rest = claim(ledger, 1000, spread=True)
        assert Counter(call.enrollment.target.rule for call in rest) == Counter(
            {target: number - 1 for target, number in enumerate(per_target, 1) if number > 1}
        )

    def test_of_a_halted_org_nothing_is_handed_out(self, ledger: Ledger) -> None:
        rows = [key(1), key(2, org=7), key(3, org=8), key(4, org=7), key(5, org=8)]
        confirmed(ledger, rows)
        begin(ledger)
        assert customers(claim(ledger, halted_orgs=[0, 7])) == [3, 5]
        assert turn(ledger, halted_orgs=[0, 7]).more is False

    def test_nor_is_it_waited_for(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1, org=7)])
        begin(ledger)
        (call,) = claim(ledger)
        later = answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 9)
        assert turn(ledger, later, halted_orgs=[7]).next_due_s is None
        assert turn(ledger, halted_orgs=[8]).next_due_s == NOW_S + 9

    def test_only_claims_again_from_among_these_alone(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(*range(1, 7)))
        begin(ledger)
        one, two, three = claim(ledger, 3)
        turn(ledger, *(unsent(call) for call in (one, two, three)))
        again = claim(ledger, only=[one.id, three.id])
        assert sorted(customers(again)) == [1, 3]
        assert claim(ledger, only=[one.id, three.id]) == []
        assert claim(ledger, only=[]) == []


class TestScheduling:
    def test_a_retry_waits_until_it_is_due(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        first, second = claim(ledger)
        given = turn(
            ledger,
            answer(first, State.PENDING, outcome="not_applied", again_s=NOW_S + 30),
            answer(second, State.PENDING, outcome="not_applied", again_s=NOW_S + 10),
        )
        assert given.next_due_s == NOW_S + 10
        assert given.more
        assert claim(ledger, now_s=NOW_S + 9.9) == []
        assert customers(claim(ledger, now_s=NOW_S + 10)) == [2]
        assert turn(ledger, now_s=NOW_S + 10).next_due_s == NOW_S + 30
        assert customers(claim(ledger, now_s=NOW_S + 31)) == [1]
        assert turn(ledger, now_s=NOW_S + 31) == turn(ledger, now_s=NOW_S + 32)
        assert turn(ledger, now_s=NOW_S + 31).more is False

    def test_what_is_due_goes_before_what_was_never_tried(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        (call,) = claim(ledger, 1)
        turn(ledger, answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 1))
        assert customers(claim(ledger, 2, now_s=NOW_S + 1)) == [1, 2]

    def test_a_kill_keeps_the_backoff(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S + 60))
        with closing(Ledger.open(after_kill(folder))) as again:
            begin(again, now_s=NOW_S + 5)
            assert turn(again, claim=1, now_s=NOW_S + 5).next_due_s == NOW_S + 60
            assert claim(again, now_s=NOW_S + 5) == []
            assert customers(claim(again, now_s=NOW_S + 60)) == [1]

    def test_tries_count_within_a_run_and_attempts_for_ever(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        for run in range(3):
            begin(ledger)
            for tries in range(3):
                (call,) = claim(ledger, now_s=NOW_S + run)
                assert call.tries == tries
                refused = answer(call, State.PENDING, outcome="not_applied", again_s=NOW_S)
                turn(ledger, refused)
        assert ledger.connection.execute("SELECT attempts FROM results").fetchall() == [(9,)]
        assert [line[0] for line in history(ledger, 1)] == list(range(1, 10))

    def test_more_tells_whether_any_is_left(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        assert turn(ledger).more
        assert turn(ledger, claim=1).more
        claim(ledger, 1)
        assert turn(ledger, claim=1).more is False


class TestRecording:
    @pytest.mark.parametrize(
        ("state", "outcome", "again_s", "charged", "tries"),
        [
            (State.SUCCEEDED, "succeeded", None, True, None),
            (State.NOT_ENROLLED, "not_enrolled", None, True, None),
            (State.FAILED, "failed", None, True, None),
            (State.FAILED, "not_applied", None, True, None),
            (State.REVIEW, "review", None, True, None),
            (State.BLOCKED, "blocked", None, True, None),
            (State.PENDING, "not_applied", NOW_S, True, 1),
            (State.PENDING, "refused", NOW_S, False, 0),
            (State.PENDING, "halted", NOW_S, False, 0),
        ],
    )
    def test_an_answer_stands_in_both_views(
        self,
        ledger: Ledger,
        state: State,
        outcome: str,
        again_s: float | None,
        charged: bool,
        tries: int | None,
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="this-run")
        (call,) = claim(ledger)
        entry = answer(
            call, state, outcome=outcome, code="310011", again_s=again_s, charged=charged
        )
        turn(ledger, entry)
        assert ledger.connection.execute(
            "SELECT status, code, message, http_status, attempts, updated_at, request_id"
            " FROM results"
        ).fetchall() == [
            (state.value, "310011", "about 310011", 200, 1, "2023-11-14T22:13:21.000Z", "request-1")
        ]
        assert ledger.connection.execute("SELECT * FROM attempt_history").fetchall() == [
            (
                *(None, 1001, 2001, 1, 1, "this-run"),
                *("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.000Z"),
                *(outcome, "310011", 200, "request-1"),
            )
        ]
        assert [again.tries for again in claim(ledger)] == ([] if tries is None else [tries])

    def test_an_echo_of_somebody_else_is_kept(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, two = claim(ledger)
        turn(ledger, answer(one, mismatch=True), answer(two))
        found = ledger.connection.execute("SELECT customer_id FROM item WHERE mismatch")
        assert found.fetchall() == [(1,)]

    def test_what_never_left_leaves_no_attempt(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        for _ in range(3):
            (call,) = claim(ledger)
            assert call.tries == 0
            turn(ledger, unsent(call))
        assert history(ledger, 1) == []
        assert ledger.connection.execute("SELECT status, attempts FROM results").fetchall() == [
            ("pending", 0)
        ]

    def test_an_org_of_its_own_stands_in_both_views(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1, org=7)])
        begin(ledger)
        settle(ledger)
        for view in ("results", "attempt_history"):
            found = ledger.connection.execute(f"SELECT org_id, customer_id FROM {view}")
            assert found.fetchall() == [(7, 1)]

    def test_a_block_reaches_the_pending_rows_of_that_target_alone(self, ledger: Ledger) -> None:
        rows = [key(1), key(2), key(3), key(4, target=2002), key(5, 1002), key(6, org=7)]
        confirmed(ledger, rows)
        begin(ledger)
        first, second, *others = claim(ledger, 2) + claim(ledger)
        turn(ledger, *(unsent(call) for call in others))
        blocked = turn(
            ledger,
            answer(first, State.BLOCKED, code="310018"),
            unanswered(second, again_s=NOW_S),
            blocked=[Blocked(None, 1001, 2001, "310018", "no rule")],
        ).blocked
        assert blocked == 1
        assert states(ledger) == {
            1: "blocked",
            2: "in_doubt",
            3: "blocked",
            4: "pending",
            5: "pending",
            6: "pending",
        }
        assert rows_of(ledger, 1)[2] == (3, 3, "blocked", "no rule")
        sql = "SELECT code, attempts, http_status FROM results WHERE customer_id = 3"
        assert ledger.connection.execute(sql).fetchall() == [("310018", 0, None)]

    def test_an_unknown_group_blocks_all_its_targets(self, ledger: Ledger) -> None:
        confirmed(ledger, [key(1), key(2, target=2002), key(3, 1002), key(4, org=7)])
        begin(ledger)
        turn(ledger, blocked=[Blocked(None, 1001, None, "310017", "no group")])
        assert states(ledger) == {1: "blocked", 2: "blocked", 3: "pending", 4: "pending"}
        assert sorted(customers(claim(ledger))) == [3, 4]

    def test_a_turn_is_recorded_whole_or_not_at_all(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, _ = claim(ledger)
        with pytest.raises(LedgerFailed) as caught:
            turn(ledger, answer(one), answer(one, State.FAILED))  # no legal transition
        assert caught.value.code == 74
        assert states(ledger) == {1: "sending", 2: "sending"}
        turn(ledger, answer(one))

    def test_runs_and_how_they_ended_are_kept(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="one")
        ledger.end_run(3, "1 row left")
        begin(ledger, run_id="two")
        found = ledger.connection.execute("SELECT run_id, command, exit_code, reason FROM run")
        assert found.fetchall() == [("one", "run", 3, "1 row left"), ("two", "run", None, None)]


class TestDoubt:
    """A call that may have been applied and was not answered."""

    def in_doubt(self, ledger: Ledger, again_s: float | None = None) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, unanswered(call, again_s=again_s))

    def test_it_is_in_doubt_and_never_failed_or_pending(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        assert states(ledger) == {1: "in_doubt"}
        assert [line[2:] for line in history(ledger, 1)] == [("unanswered", "timeout")]

    @pytest.mark.parametrize(("age_s", "sent_again"), [(0, True), (899, True), (901, False)])
    def test_a_run_sends_it_again_only_while_it_is_young(
        self, ledger: Ledger, age_s: float, sent_again: bool
    ) -> None:
        self.in_doubt(ledger)
        now_s = NOW_S + age_s
        begin(ledger, now_s=now_s, resend_after_s=now_s - 900)
        calls = claim(ledger, now_s=now_s, resend_after_s=now_s - 900)
        assert [call.doubtful for call in calls] == [True] * sent_again
        turn(ledger, *(unsent(call) for call in calls))

    def test_hold_never_sends_it_again(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        begin(ledger, resend_after_s=NEVER_S)
        given = turn(ledger, claim=10, resend_after_s=NEVER_S)
        assert (given.calls, given.next_due_s, given.more) == ([], None, False)

    def test_it_can_grow_too_old_while_it_waits(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S + 950)
        given = turn(ledger, claim=1, now_s=NOW_S + 950, resend_after_s=NOW_S + 50)
        assert (given.calls, given.more) == ([], False)

    def test_without_attempts_left_it_rests(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=None)
        given = turn(ledger, claim=1)
        assert (given.calls, given.next_due_s, given.more) == ([], None, False)

    def test_given_back_unsent_it_is_in_doubt_still(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S)
        (call,) = claim(ledger)
        turn(ledger, unsent(call))
        assert states(ledger) == {1: "in_doubt"}
        assert len(history(ledger, 1)) == 1

    def test_refused_after_doubt_it_is_in_doubt_still_and_no_younger(self, ledger: Ledger) -> None:
        self.in_doubt(ledger, again_s=NOW_S)
        (call,) = claim(ledger)
        turn(ledger, answer(call, State.IN_DOUBT, outcome="not_applied", at_s=NOW_S + 800))
        begin(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1)
        assert claim(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1) == []

    @pytest.mark.parametrize("resend_after_s", [RECENT_S + 9000, NEVER_S])
    def test_a_person_may_reopen_it_whatever_its_age_and_the_rule(
        self, ledger: Ledger, resend_after_s: float
    ) -> None:
        self.in_doubt(ledger)
        late_s = NOW_S + 9000
        assert ledger.reopen([State.IN_DOUBT], [], [], now_s=late_s) == 1
        assert states(ledger) == {1: "in_doubt"}
        begin(ledger, now_s=late_s, resend_after_s=resend_after_s)
        (call,) = claim(ledger, now_s=late_s, resend_after_s=resend_after_s)
        assert call.doubtful
        turn(ledger, answer(call))
        assert states(ledger) == {1: "succeeded"}

    def test_unanswered_again_after_that_the_rule_applies_again(self, ledger: Ledger) -> None:
        self.in_doubt(ledger)
        ledger.reopen([State.IN_DOUBT], [], [], now_s=NOW_S)
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, unanswered(call))
        begin(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1)
        assert claim(ledger, now_s=NOW_S + 901, resend_after_s=NOW_S + 1) == []

    def test_every_customer_possibly_called_twice_can_be_listed(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        one, two, three = claim(ledger)
        turn(ledger, answer(one), unanswered(two, again_s=NOW_S), unanswered(three))
        (again,) = claim(ledger)
        turn(ledger, answer(again))
        twice = ledger.connection.execute(
            "SELECT customer_id FROM attempt_history GROUP BY 1"
            " HAVING count(*) > 1 AND sum(outcome = 'unanswered')"
        )
        assert twice.fetchall() == [(2,)]


class TestReopening:
    @pytest.fixture
    def settled(self, ledger: Ledger) -> Ledger:
        """One customer in every state that a run can leave behind."""
        confirmed(ledger, [*keys(1, 2, 3, 4, 5), key(6, target=2002), key(7)])
        begin(ledger)
        calls = {call.enrollment.customer: call for call in claim(ledger)}
        turn(
            ledger,
            answer(calls[1]),
            answer(calls[2], State.NOT_ENROLLED, code="310149"),
            answer(calls[3], State.FAILED, code="310011"),
            answer(calls[4], State.REVIEW, code="no_data"),
            unanswered(calls[5]),
            answer(calls[6], State.BLOCKED, code="310018"),
            answer(calls[7], State.FAILED, code="310019"),
        )
        return ledger

    @pytest.mark.parametrize(
        ("chosen", "codes", "targets", "expected"),
        [
            ([State.FAILED, State.BLOCKED], [], [], [3, 6, 7]),
            ([State.REVIEW], [], [], [4]),
            ([State.IN_DOUBT], [], [], [5]),
            ([State.FAILED], ["310011"], [], [3]),
            ([State.FAILED], ["310011", "310019"], [], [3, 7]),
            ([State.FAILED], ["999"], [], []),
            ([State.FAILED, State.BLOCKED], [], ["1001/2002"], [6]),
            ([State.FAILED, State.BLOCKED], [], ["1001/2001"], [3, 7]),
            ([State.FAILED, State.BLOCKED], [], ["2001/1001"], []),
            ([State.FAILED, State.BLOCKED], ["310018"], ["1001/2001"], []),
            ([State.SUCCEEDED, State.NOT_ENROLLED], [], [], None),
        ],
    )
    def test_what_matches_is_called_again_and_nothing_else(
        self,
        settled: Ledger,
        chosen: list[State],
        codes: list[str],
        targets: list[str],
        expected: list[int] | None,
    ) -> None:
        if expected is None:
            with pytest.raises(LedgerFailed, match="illegal transition"):
                settled.reopen(chosen, codes, targets, now_s=NOW_S)
            return
        assert settled.reopen(chosen, codes, targets, now_s=NOW_S) == len(expected)
        begin(settled, resend_after_s=NEVER_S)
        calls = claim(settled, resend_after_s=NEVER_S)
        assert sorted(customers(calls)) == expected
        assert {call.tries for call in calls} <= {0}
        turn(settled, *(unsent(call) for call in calls))

    def test_its_attempts_stay_on_record(self, settled: Ledger) -> None:
        settled.reopen([State.FAILED], ["310011"], [], now_s=NOW_S)
        begin(settled)
        settle(settled, 3)
        assert [line[2] for line in history(settled, 3)] == ["failed", "succeeded"]

    def test_of_a_superseded_source_nothing_is_reopened(self, settled: Ledger) -> None:
        confirmed(settled, keys(3))
        assert settled.reopen([State.FAILED, State.BLOCKED], [], [], now_s=NOW_S) == 1
        assert state_counts(settled)["pending"] == 1

    def test_nor_of_one_that_was_never_confirmed(self, settled: Ledger) -> None:
        confirmed(settled, keys(99))
        plan(settled, keys(3), "b.csv")
        assert settled.reopen([State.FAILED], [], [], now_s=NOW_S) == 0


class TestFinality:
    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.NOT_ENROLLED])
    @pytest.mark.parametrize("new", State)
    def test_what_ended_well_never_changes(self, ledger: Ledger, state: State, new: State) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        settle(ledger, state=state)
        if new is not state:
            with pytest.raises(sqlite3.IntegrityError):
                ledger.connection.execute("UPDATE item SET state = ?", (new.value,))
        assert states(ledger) == {1: state.value}

    def test_an_attempt_on_record_never_changes(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        settle(ledger)
        with pytest.raises(sqlite3.IntegrityError, match="never changes"):
            ledger.connection.execute("UPDATE attempt SET outcome = 'failed'")


class TestKill:
    """What the next opening makes of a folder that nobody closed."""

    def test_what_may_have_left_is_in_doubt_and_stands_unanswered(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1, 2, 3, 4))
        begin(ledger, run_id="killed-run")
        one, two, three = claim(ledger, 3)
        turn(ledger, answer(one), unsent(two))
        with closing(Ledger.open(after_kill(folder))) as again:
            assert states(again) == {1: "succeeded", 2: "pending", 3: "in_doubt", 4: "pending"}
            assert history(again, 3) == [(1, "killed-run", "unanswered", "killed")]
            assert history(again, 2) == history(again, 4) == []
            assert integrity_faults(again.connection) == []
            begin(again)
            assert [call.doubtful for call in claim(again, 1)] == [True]
        turn(ledger, unsent(three))

    def test_the_line_stands_there_before_anybody_opens_it_again(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1))
        begin(ledger, run_id="killed-run")
        claim(ledger)
        with reader(after_kill(folder)) as connection:
            found = connection.execute("SELECT run_id, outcome, answered_at FROM attempt_history")
            assert found.fetchall() == [("killed-run", "unanswered", None)]

    def test_killed_again_and_again_it_loses_nothing(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        begin(ledger)
        claim(ledger)
        for kills in range(1, 4):
            folder = after_kill(folder)
            again = Ledger.open(folder)
            assert [line[2] for line in history(again, 1)] == ["unanswered"] * kills
            assert states(again) == {1: "in_doubt"}
            begin(again)
            (call,) = claim(again)
            assert call.tries == 0
            folder = after_kill(folder)
            turn(again, answer(call))
            again.close()

    def test_a_clean_close_leaves_nothing_in_doubt(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(1, 2))
        begin(ledger)
        settle(ledger, 1)
        copy = after_kill(folder, "closed")
        with closing(Ledger.open(copy)):
            pass
        with closing(Ledger.open(copy)) as again:
            assert states(again) == {1: "succeeded", 2: "pending"}

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=25, deadline=None)
    def test_whenever_it_strikes_what_was_committed_is_there(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int
    ) -> None:
        """The log may lose its uncommitted tail; what a turn returned from is never lost."""
        dice = random.Random(seed)
        folder = tmp_path_factory.mktemp("kill")
        with closing(Ledger.open(folder)) as ledger:
            confirmed(ledger, keys(*range(1, 40)))
            begin(ledger)
            known: dict[int, str] = {}
            for _ in range(dice.randrange(1, 6)):
                calls = claim(ledger, dice.randrange(1, 6))
                known |= dict.fromkeys(customers(calls), "in_doubt")
                done = [call for call in calls if dice.random() < 0.5]
                turn(ledger, *map(answer, done))
                known |= dict.fromkeys(customers(done), "succeeded")
            killed = after_kill(folder)
        log = killed / "ledger.sqlite-wal"
        with log.open("ab") as file:
            file.write(dice.randbytes(dice.randrange(0, 9000)))  # torn frames after the last commit
        with closing(Ledger.open(killed)) as again:
            found = states(again)
            assert {who: found[who] for who in known} == known
            assert integrity_faults(again.connection) == []


class TestRecentStarts:
    def test_what_was_sent_since_newest_first(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3, 4))
        begin(ledger)
        at_s = (NOW_S, NOW_S + 20, NOW_S + 10, NOW_S + 30)
        calls = claim(ledger)
        turn(ledger, *(answer(call, at_s=s) for call, s in zip(calls, at_s, strict=True)))
        assert ledger.recent_starts(NOW_S) == [NOW_S + 30, NOW_S + 20, NOW_S + 10]
        assert ledger.recent_starts(NOW_S + 30) == []

    def test_a_call_that_hung_for_long_hides_no_others(self, ledger: Ledger) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        hung, quick, other = claim(ledger)
        turn(ledger, answer(quick, at_s=NOW_S + 70), answer(other, at_s=NOW_S + 71))
        turn(ledger, unanswered(hung, at_s=NOW_S))  # recorded last, after its timeout
        assert ledger.recent_starts(NOW_S + 60) == [NOW_S + 71, NOW_S + 70]

    def test_calls_that_a_kill_left_unanswered_count_and_hide_none(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        claim(ledger, 1, now_s=NOW_S)
        (quick,) = claim(ledger, 1, now_s=NOW_S + 70)
        turn(ledger, answer(quick, at_s=NOW_S + 70))
        claim(ledger, 1, now_s=NOW_S + 72)
        with closing(Ledger.open(after_kill(folder))) as again:
            assert again.recent_starts(NOW_S + 60) == [NOW_S + 72, NOW_S + 70]


def damage_in(folder: Path, path: Path, damage: Callable[[Path], object]) -> LedgerFailed:
    """How a damaged ledger is refused, to writers and readers, as often as they come."""
    damage(path)
    refusals = []
    for opening in 2 * (Ledger.open, lambda folder: reader(folder).__enter__()):
        with pytest.raises(LedgerFailed) as caught:
            opening(folder)
        assert caught.value.code == 74
        assert caught.value.remedy
        assert "\n" not in caught.value.reason
        refusals.append(caught.value)
    return refusals[0]


def write_at(offset: int, content: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return write


def truncate(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


class TestDamage:
    @pytest.fixture
    def closed(self, folder: Path) -> Path:
        """A folder with a thousand settled customers, closed."""
        make_folder(folder)
        with closing(Ledger.open(folder)) as ledger:
            confirmed(ledger, keys(*range(1, 1001)))
            begin(ledger)
            settle(ledger)
        return folder

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda path: path.write_bytes(b""), "is no SQLite file"),
            (lambda path: truncate(path, 0), "is no SQLite file"),
            (lambda path: path.write_bytes(b"customerId\n1\n"), "is no SQLite file"),
            (write_at(0, b"XQLite"), "is no SQLite file"),
            (lambda path: truncate(path, 0.5), "damaged"),
            (lambda path: truncate(path, 0.99), "damaged"),
            (write_at(68, b"OTHR"), "was not made by bulk-unenroll"),
            (write_at(68, b"\0\0\0\0"), "was not made by bulk-unenroll"),
            (write_at(60, (SCHEMA_VERSION + 1).to_bytes(4, "big")), "by a newer bulk-unenroll"),
            (write_at(60, (SCHEMA_VERSION - 1).to_bytes(4, "big")), "by an older bulk-unenroll"),
            (write_at(100, b"\xff" * 2000), "damaged"),
            (write_at(40 * 4096, b"\xff" * 4096), "damaged"),
        ],
    )
    def test_it_is_refused(
        self, closed: Path, damage: Callable[[Path], object], reason: str
    ) -> None:
        assert reason in str(damage_in(closed, ledger_path(closed), damage))

    def test_a_symlink_or_a_folder_in_its_place_is_refused(
        self, closed: Path, tmp_path: Path
    ) -> None:
        for damage in (
            lambda path: (path.rename(tmp_path / "real"), path.symlink_to(tmp_path / "real")),
            lambda path: (path.unlink(), path.symlink_to(tmp_path / "nowhere")),
            lambda path: (path.unlink(), path.mkdir()),
        ):
            refusal = damage_in(closed, ledger_path(closed), damage)
            assert "is not a regular file" in refusal.reason

    def test_another_program_s_database_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        path = ledger_path(tmp_path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        before = path.read_bytes()
        damage_in(tmp_path, path, lambda path: None)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("keep", [0, 0.5, 0.99])
    def test_a_log_lost_in_part_or_whole_after_a_kill_is_seen(
        self, ledger: Ledger, folder: Path, keep: float
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        log = killed / "ledger.sqlite-wal"
        refusal = damage_in(killed, log, lambda log: truncate(log, keep) if keep else log.unlink())
        assert "changes are lost" in refusal.reason

    def test_a_log_that_another_tool_merged_after_a_kill_is_not_lost(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        with closing(sqlite3.connect(ledger_path(killed))) as tool:
            tool.execute("SELECT * FROM results").fetchall()
        assert not (killed / "ledger.sqlite-wal").exists()
        with reader(killed) as connection:
            assert integrity_faults(connection) == []
        with closing(Ledger.open(killed)) as opened:
            assert states(opened) == {1: "pending"}

    def test_the_mark_of_an_open_ledger_is_missed(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        mark = killed / "ledger.sqlite-mark"
        assert "mark" in damage_in(killed, mark, lambda mark: mark.unlink()).reason

    @pytest.mark.parametrize("text", ["", "open\n", "open many\n", "shut 5\n", "\xff"])
    def test_a_damaged_mark_is_refused(self, closed: Path, text: str) -> None:
        mark = closed / "ledger.sqlite-mark"
        damaged = damage_in(closed, mark, lambda mark: mark.write_bytes(text.encode("latin-1")))
        assert "mark is damaged" in damaged.reason

    def test_an_older_copy_in_its_place_is_refused(self, closed: Path, tmp_path: Path) -> None:
        older = tmp_path / "older"
        shutil.copy(ledger_path(closed), older)
        with closing(Ledger.open(closed)) as ledger:
            confirmed(ledger, keys(5001), "more.csv")
        refusal = damage_in(closed, ledger_path(closed), lambda path: shutil.copy(older, path))
        assert "it changed since it was closed" in refusal.reason

    def test_a_reader_beside_the_closing_program_does_not_spoil_it(self, closed: Path) -> None:
        ledger = Ledger.open(closed)
        confirmed(ledger, keys(5001), "more.csv")
        with reader(closed) as connection:
            connection.execute("BEGIN")
            assert integrity_faults(connection) == []
            ledger.close()
        with closing(Ledger.open(closed)) as opened:
            assert states(opened)[5001] == "pending"

    def test_a_log_without_its_ledger_is_not_taken_for_a_new_folder(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        refusal = damage_in(killed, ledger_path(killed), lambda path: path.unlink())
        assert "ledger.sqlite" in refusal.reason

    def test_looking_does_not_hide_it(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(1))
        killed = after_kill(folder)
        (killed / "ledger.sqlite-wal").unlink()
        with pytest.raises(LedgerFailed), reader(killed):
            pass
        with pytest.raises(LedgerFailed):
            Ledger.open(killed)

    def test_a_damaged_ledger_is_kept_as_it_is_with_its_log(self, closed: Path) -> None:
        with closing(Ledger.open(closed)) as ledger:
            plan(ledger, keys(1))
            killed = after_kill(closed)
        path, log = ledger_path(killed), killed / "ledger.sqlite-wal"
        write_at(40 * 4096, b"\xff" * 4096)(path)
        before = path.read_bytes(), log.read_bytes()
        with pytest.raises(LedgerFailed, match="damaged"):
            Ledger.open(killed)
        assert (path.read_bytes(), log.read_bytes()) == before

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=60, deadline=None)
    def test_whatever_happens_to_the_file_it_opens_or_is_refused(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int
    ) -> None:
        dice = random.Random(seed)
        folder = tmp_path_factory.mktemp("damage")
        with closing(Ledger.open(folder)) as ledger:
            confirmed(ledger, keys(*range(1, 50)))
        path = ledger_path(folder)
        size = path.stat().st_size
        if dice.random() < 0.3:
            truncate(path, dice.random())
        for _ in range(dice.randrange(1, 20)):
            write_at(dice.randrange(size), dice.randbytes(dice.choice([1, 4, 100])))(path)
        try:
            Ledger.open(folder).close()
        except LedgerFailed as refusal:
            assert refusal.reason  # noqa: PT017 - either is well


class TestFullDisk:
    def test_a_turn_that_cannot_be_written_ends_in_74_and_changes_nothing(
        self, ledger: Ledger
    ) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        begin(ledger)
        pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
        calls = claim(ledger)
        ledger.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(LedgerFailed) as caught:
            turn(ledger, *map(answer, calls))
        assert caught.value.code == 74
        assert caught.value.remedy == "free some room"
        assert state_counts(ledger) == {"sending": 1000, "pending": 1000}
        ledger.connection.execute("PRAGMA max_page_count = 1000000")
        turn(ledger, *map(answer, calls))
        assert state_counts(ledger) == {"succeeded": 1000, "pending": 1000}

    def test_a_full_disk_while_a_kill_is_mended_costs_no_more_than_a_retry(
        self, ledger: Ledger, folder: Path
    ) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        reopened_once = after_kill(folder)
        again = Ledger.open(reopened_once)
        begin(again)
        claim(again, 2000)
        killed = after_kill(reopened_once)
        with (
            full_disk(ledger_path(killed).stat().st_size + 50_000),
            pytest.raises(LedgerFailed) as caught,
        ):
            Ledger.open(killed)
        assert caught.value.code == 74
        gc.collect()
        with closing(Ledger.open(killed)) as mended:
            assert state_counts(mended) == {"in_doubt": 2000}
            assert integrity_faults(mended.connection) == []
        again.close()

    def test_nor_does_a_full_disk_at_the_end(self, ledger: Ledger, folder: Path) -> None:
        confirmed(ledger, keys(*range(1, 2001)))
        copy = after_kill(folder)
        Ledger.open(copy).close()
        again = Ledger.open(copy)
        begin(again)
        log = copy / "ledger.sqlite-wal"
        with full_disk(log.stat().st_size), pytest.raises(LedgerFailed):
            again.close()
        del again
        gc.collect()
        with closing(Ledger.open(copy)) as mended:
            assert state_counts(mended) == {"pending": 2000}
