"""The accounting closes after whatever happens, and notices when somebody cooks the books."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite.ledger import Ledger
from bulk_unenroll.ledger.sqlite.reader import (
    ask,
    callable_count,
    conservation_faults,
    count,
    integrity_faults,
    reader,
)
from bulk_unenroll.model import Blocked, Enrollment, Invalid, State, Target
from tests.ledger.kit import (
    BAD_ID,
    NEVER_S,
    NOW_S,
    RECENT_S,
    after_kill,
    answer,
    begin,
    claim,
    confirm,
    confirmed,
    key,
    keys,
    plan,
    read_only,
    settle,
    states,
    turn,
    unanswered,
    unsent,
)

# ── against a model ──────────────────────────────────────────────────────────────────────────────

KEYS = [key(customer, target=target) for customer in range(1, 5) for target in (1, 2)]
KEYS += [key(1, org=7), key(2, org=7)]
ENDS = {
    State.SUCCEEDED: "succeeded",
    State.NOT_ENROLLED: "not_enrolled",
    State.FAILED: "failed",
    State.REVIEW: "review",
    State.BLOCKED: "blocked",
}
CODES = {State.NOT_ENROLLED: "310149", State.FAILED: "310011", State.REVIEW: "no_data"}
CODES[State.BLOCKED] = "310018"
fates = st.sampled_from([*ENDS, "unsent", "unanswered", "not_applied", "killed"])


@dataclass
class Customer:
    """What the model knows of a customer/target."""

    state: State = State.PENDING
    attempts: int = 0
    doubted: bool = False
    doubtful: bool = False


@dataclass
class Source:
    """What the model knows of a source."""

    id: int
    path: str
    content: str
    rows: list[Enrollment | Invalid]
    confirmed: bool = False
    superseded: bool = False

    @property
    def keys(self) -> set[Enrollment]:
        return {row for row in self.rows if isinstance(row, Enrollment)}


@dataclass
class Books:
    """A ledger in a few dictionaries."""

    customers: dict[Enrollment, Customer] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)

    def come_back(self, source: Source) -> None:
        """Who stands in a planned source is not withdrawn."""
        for row in source.keys:
            customer = self.customers.setdefault(row, Customer())
            if customer.state is State.WITHDRAWN:
                customer.state = State.PENDING

    def confirm(self, source: Source) -> None:
        superseded = [
            other
            for other in self.sources
            if other.path == source.path and other is not source and not other.superseded
        ]
        source.confirmed, source.superseded = True, False
        for other in superseded:
            other.superseded = True
        listed = {row for other in self.sources if not other.superseded for row in other.keys}
        for row, customer in self.customers.items():
            never_called = customer.state is State.PENDING and not customer.attempts
            if superseded and never_called and row not in listed:
                customer.state = State.WITHDRAWN

    @property
    def in_force(self) -> list[Source]:
        return [source for source in self.sources if source.confirmed and not source.superseded]


class Accounting(RuleBasedStateMachine):
    """Random loads, runs, kills and retries; after each the ledger's figures are the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.books = Books()
        self.running: set[Enrollment] = set()

    @initialize()
    def create(self) -> None:
        (self.root / "job").mkdir()
        self.folder = self.root / "job"
        self.ledger = Ledger.open(self.folder)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.root)

    @rule(
        path=st.sampled_from(["a.csv", "b.csv"]),
        rows=st.lists(st.sampled_from([*KEYS, *KEYS, BAD_ID]), max_size=12),
        chunk=st.integers(1, 5),
    )
    def read(self, path: str, rows: list[Enrollment | Invalid], chunk: int) -> None:
        content = f"content {len(self.books.sources)}"
        source = Source(plan(self.ledger, rows, path, content, chunk), path, content, rows)
        self.books.sources.append(source)
        self.books.come_back(source)

    @precondition(lambda self: self.books.sources)
    @rule(data=st.data())
    def find_again(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(self.books.sources))
        assert plan(self.ledger, [], source.path, source.content) == source.id
        if source.superseded:
            source.superseded = source.confirmed = False
            self.books.come_back(source)

    @precondition(lambda self: any(not source.superseded for source in self.books.sources))
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        known = [source for source in self.books.sources if not source.superseded]
        source = data.draw(st.sampled_from(known))
        confirm(self.ledger, source.id)
        self.books.confirm(source)

    @rule(
        path=st.sampled_from(["a.csv", "b.csv"]),
        rows=st.lists(st.sampled_from(KEYS), max_size=6),
        drawn=st.lists(fates, min_size=6),
    )
    def run_a_file(
        self, path: str, rows: list[Enrollment | Invalid], drawn: list[State | str]
    ) -> None:
        self.read(path, rows, 1000)
        source = self.books.sources[-1]
        confirm(self.ledger, source.id)
        self.books.confirm(source)
        begin(self.ledger, source.id)
        self.running = source.keys
        self.send(6, False, drawn)

    @precondition(lambda self: self.books.in_force)
    @rule(data=st.data())
    def begin_run(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.books.in_force), min_size=1, unique_by=id))
        begin(self.ledger, *(source.id for source in chosen))
        self.running = set().union(*(source.keys for source in chosen))

    @precondition(lambda self: self.running)
    @rule(most=st.integers(1, 6), spread=st.booleans(), drawn=st.lists(fates, min_size=6))
    def send(self, most: int, spread: bool, drawn: list[State | str]) -> None:
        calls = claim(self.ledger, most, spread=spread)
        assert len({call.enrollment for call in calls}) == len(calls) <= most
        entries, killed = [], False
        for call, fate in zip(calls, drawn, strict=False):
            customer = self.books.customers[call.enrollment]
            assert call.enrollment in self.running
            assert customer.state in (State.PENDING, State.IN_DOUBT)
            assert call.doubtful == (customer.state is State.IN_DOUBT)
            waiting = State.IN_DOUBT if call.doubtful else State.PENDING
            customer.attempts += fate != "unsent"
            if isinstance(fate, State):
                customer.state = fate
                customer.doubtful &= fate is State.REVIEW
                entries.append(answer(call, fate, code=CODES.get(fate)))
            elif fate == "unsent":
                entries.append(unsent(call))
            elif fate == "not_applied":
                entries.append(answer(call, waiting, outcome=fate, code="521", again_s=NOW_S))
            else:
                customer.state, customer.doubted = State.IN_DOUBT, True
                customer.doubtful = True
                killed |= fate == "killed"
                if fate == "unanswered":
                    entries.append(unanswered(call, again_s=NOW_S))
        turn(self.ledger, *entries)
        if killed:
            self.kill()

    def kill(self) -> None:
        self.folder, before = after_kill(self.folder), self.ledger
        self.ledger = Ledger.open(self.folder)
        self.running = set()
        before.close()

    @precondition(lambda self: self.running)
    @rule(unknown=st.sampled_from([1, 2, None]), org=st.sampled_from([None, 7]))
    def block(self, unknown: int | None, org: int | None) -> None:
        turn(self.ledger, blocked=[Blocked(org, 1001, unknown, "310018", "no rule")])
        for row, customer in self.books.customers.items():
            meant = row.target.org == org and unknown in (None, row.target.rule)
            if row in self.running and meant and customer.state is State.PENDING:
                customer.state = State.BLOCKED

    @rule(
        chosen=st.sets(
            st.sampled_from([State.FAILED, State.BLOCKED, State.REVIEW, State.IN_DOUBT]),
            min_size=1,
        )
    )
    def retry(self, chosen: set[State]) -> None:
        meant = [
            self.books.customers[row]
            for row in set().union(*(source.keys for source in self.books.in_force))
            if self.books.customers[row].state in chosen
        ]
        assert self.ledger.reopen(sorted(chosen), [], [], now_s=NOW_S) == len(meant)
        for customer in meant:
            customer.state = State.IN_DOUBT if customer.doubtful else State.PENDING
        self.running = set()

    @rule()
    def close_and_open(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.folder)
        self.running = set()

    @invariant()
    def the_books_close(self) -> None:
        assert conservation_faults(self.ledger.connection) == []
        assert integrity_faults(self.ledger.connection) == []

    @invariant()
    def the_figures_are_those_of_the_model(self) -> None:
        assert self.ledger.confirmed_sources() == [source.id for source in self.books.in_force]
        self.compare(self.books.in_force)
        for source in self.books.sources:
            self.compare([source])

    def compare(self, sources: Sequence[Source]) -> None:
        counts = count(self.ledger.connection, [source.id for source in sources])
        rows = [row for source in sources for row in source.rows]
        unique = {row for row in rows if isinstance(row, Enrollment)}
        held = [self.books.customers[row] for row in unique]
        assert counts.read == len(rows)
        assert counts.invalid == sum(isinstance(row, Invalid) for row in rows)
        assert counts.unique == len(unique)
        assert counts.read == counts.invalid + counts.duplicate + sum(counts.states.values())
        assert +Counter(counts.states) == Counter(customer.state for customer in held)
        assert counts.attempts == sum(customer.attempts for customer in held)
        withdrawn = [c for c in self.books.customers.values() if c.state is State.WITHDRAWN]
        assert counts.withdrawn == len(withdrawn)

    @invariant()
    def every_call_that_may_have_left_has_its_line(self) -> None:
        lines = self.ledger.connection.execute(
            "SELECT org_id, target_group_id, target_id, customer_id, count(*),"
            " sum(outcome = 'unanswered') > 0 FROM attempt_history GROUP BY 1, 2, 3, 4"
        )
        found = {Enrollment(line[3], Target(*line[:3])): line[4:] for line in lines}
        assert found == {
            row: (customer.attempts, customer.doubted)
            for row, customer in self.books.customers.items()
            if customer.attempts
        }


Accounting.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_the_accounting_closes_whatever_happens = Accounting.TestCase


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path)
    yield made
    made.close()


class TestCount:
    def test_codes_count_every_state_but_succeeded(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2, 3, 4, 5))
        begin(ledger)
        one, two, three, four, five = claim(ledger)
        turn(
            ledger,
            answer(one, code="warned"),
            answer(two, State.NOT_ENROLLED, code="310149"),
            answer(three, State.FAILED, code="310011"),
            answer(four, State.FAILED, code="310011"),
            unanswered(five),
        )
        counts = count(ledger.connection, [source])
        assert counts.codes == {"310149": 1, "310011": 2, "timeout": 1}

    def test_attempts_and_mismatches_are_summed(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, two = claim(ledger)
        turn(ledger, answer(one, mismatch=True), unanswered(two, again_s=NOW_S))
        settle(ledger)
        counts = count(ledger.connection, [source])
        assert (counts.attempts, counts.mismatches) == (3, 1)

    def test_a_customer_of_two_sources_is_unique_once_and_then_a_duplicate(
        self, ledger: Ledger
    ) -> None:
        sources = [confirmed(ledger, keys(1, 2), "a.csv"), confirmed(ledger, keys(2, 3), "b.csv")]
        both = count(ledger.connection, sources)
        assert (both.read, both.unique, both.duplicate) == (4, 3, 1)
        assert [count(ledger.connection, [one]).duplicate for one in sources] == [0, 0]

    def test_nothing_counts_as_nothing(self, ledger: Ledger) -> None:
        counts = count(ledger.connection, [])
        assert (counts.read, counts.unique, counts.attempts, counts.codes) == (0, 0, 0, {})

    def test_what_a_run_would_call(self, ledger: Ledger) -> None:
        source = confirmed(ledger, [*keys(1, 2, 3, 4, 5), BAD_ID, *keys(1)])
        begin(ledger)
        one, two, three, four, five = claim(ledger)
        turn(
            ledger,
            answer(one),
            answer(two, State.FAILED, code="310011"),
            unanswered(three, at_s=NOW_S),
            unanswered(four, at_s=NOW_S - 1000),
            unsent(five),
        )
        connection = ledger.connection
        assert callable_count(connection, [source], RECENT_S) == 2
        assert callable_count(connection, [source], NEVER_S) == 1
        ledger.reopen([State.IN_DOUBT, State.FAILED], [], [], now_s=NOW_S)
        assert callable_count(connection, [source], NEVER_S) == 4


# ── tampering ────────────────────────────────────────────────────────────────────────────────────

TAMPERINGS = {
    "a failure called a success": "UPDATE item SET state = 'succeeded' WHERE customer_id = 2",
    "a success called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 1",
    "a success to be called again": "UPDATE item SET state = 'pending' WHERE customer_id = 1",
    "a success called blocked": "UPDATE item SET state = 'blocked' WHERE customer_id = 1",
    "a success called not enrolled": "UPDATE item SET state = 'not_enrolled' WHERE customer_id = 1",
    "an untried one called a success": "UPDATE item SET state = 'succeeded' WHERE customer_id = 5",
    "an untried one called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 5",
    "an untried one called in doubt": "UPDATE item SET state = 'in_doubt' WHERE customer_id = 5",
    "a tried one called withdrawn": "UPDATE item SET state = 'withdrawn' WHERE customer_id = 2",
    "a doubt called pending": "UPDATE item SET state = 'pending' WHERE customer_id = 3",
    "a doubt called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 3",
    "a doubt forgotten": "UPDATE item SET doubtful = 0 WHERE customer_id = 3",
    "a review called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 4",
    "no state at all": "UPDATE item SET state = 'done' WHERE customer_id = 5",
    "attempts added": "UPDATE item SET attempts = attempts + 1 WHERE customer_id = 2",
    "attempts taken away": "UPDATE item SET attempts = 0 WHERE customer_id = 1",
    "an attempt deleted": "DELETE FROM attempt WHERE item = 1 << 40 | 1",
    "an attempt invented": "INSERT INTO attempt (item, attempt, run, sent_at, outcome)"
    " VALUES (1 << 40 | 5, 1, 1, 0, 'succeeded')",
    "an attempt's outcome changed": "UPDATE attempt SET outcome = 'failed'"
    " WHERE item = 1 << 40 | 1",
    "an attempt renumbered": "UPDATE attempt SET attempt = 7 WHERE item = 1 << 40 | 1",
    "the last row deleted": "DELETE FROM row WHERE row = 8",
    "a row in the middle deleted": "DELETE FROM row WHERE row = 6",
    "a repeated row deleted": "DELETE FROM item WHERE customer_id = 1",
    "an invalid row deleted": "DELETE FROM row WHERE row = 7",
    "a row added": "INSERT INTO row (source, row) VALUES (1, 9)",
    "a row renumbered": "UPDATE row SET row = 99 WHERE row = 8",
    "a row given to nobody": "UPDATE row SET item = 99 WHERE row = 6",
    "a duplicate called another's": "UPDATE row SET repeats = 2 WHERE row = 6",
    "a duplicate called a first row": "UPDATE row SET repeats = NULL WHERE row = 6",
    "a row that stands there twice": "UPDATE row SET row = 5 WHERE row = 6",
    "the rows as they were deleted": "DELETE FROM chunk",
    "the rows as they were renumbered": "UPDATE chunk SET row_count = row_count - 1",
    "the share of a target changed": "UPDATE share SET items = items + 1",
    "the row count changed": "UPDATE source SET row_count = row_count - 1",
    "a customer deleted": "DELETE FROM item WHERE customer_id = 5",
    "a customer added": "INSERT INTO item (id, target, customer_id) VALUES (1 << 40 | 9, 1, 99)",
    "a customer of no source added": "INSERT INTO item (target, customer_id) VALUES (1, 99)",
    "a target deleted": "DELETE FROM target",
    "a run deleted": "DELETE FROM run",
}


class TestTampering:
    @pytest.fixture
    def booked(self, ledger: Ledger) -> Ledger:
        """Five customers, each in another state, a duplicate and invalid rows."""
        confirmed(ledger, [*keys(1, 2, 3, 4, 5, 1), BAD_ID, BAD_ID])
        begin(ledger)
        one, two, three, four, five = claim(ledger)
        turn(
            ledger,
            answer(one),
            answer(two, State.FAILED, code="310011"),
            unanswered(three),
            answer(four, State.REVIEW, code="no_data"),
            unsent(five),
        )
        return ledger

    def test_an_honest_ledger_has_no_faults(self, booked: Ledger) -> None:
        assert integrity_faults(booked.connection) == []
        assert conservation_faults(booked.connection) == []

    @pytest.mark.parametrize("tampering", TAMPERINGS)
    def test_it_is_found(self, booked: Ledger, tampering: str) -> None:
        for trigger in ("legal_transition", "attempt_unchanged"):
            booked.connection.execute(f"DROP TRIGGER {trigger}")
        assert booked.connection.execute(TAMPERINGS[tampering]).rowcount > 0
        assert integrity_faults(booked.connection)

    def test_an_index_that_lies_is_found(self, booked: Ledger, tmp_path: Path) -> None:
        booked.connection.execute("PRAGMA writable_schema = ON")
        booked.connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '''in_doubt''', '''failed''')"
            " WHERE name = 'item_in_doubt'"
        )
        with closing(sqlite3.connect(ledger_path(tmp_path))) as connection:
            assert "item_in_doubt" in integrity_faults(connection)[0]


# ── readers ──────────────────────────────────────────────────────────────────────────────────────


class TestReader:
    def test_it_sees_what_a_writer_at_work_has_committed(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        source = confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        one, *_ = claim(ledger)
        with reader(tmp_path) as connection:
            assert count(connection, [source]).states[State.SENDING] == 3
        turn(ledger, answer(one))
        with reader(tmp_path) as connection:
            assert count(connection, [source]).states[State.SUCCEEDED] == 1

    def test_it_does_not_hold_up_the_writer_nor_see_half_a_picture(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        with reader(tmp_path) as connection:
            connection.execute("BEGIN")
            before = count(connection, [source])
            settle(ledger)
            assert count(connection, [source]) == before
            connection.execute("COMMIT")
            assert count(connection, [source]).states[State.SUCCEEDED] == 2

    def test_it_cannot_write(self, ledger: Ledger, tmp_path: Path) -> None:
        confirmed(ledger, keys(1))
        with pytest.raises(LedgerFailed, match="readonly"), reader(tmp_path) as connection:
            connection.execute("DELETE FROM row")
        assert states(ledger) == {1: "pending"}

    def test_it_leaves_a_closed_folder_as_it_was(self, tmp_path: Path) -> None:
        with closing(Ledger.open(tmp_path)) as ledger:
            confirmed(ledger, keys(1))
        before = ledger_path(tmp_path).read_bytes()
        with reader(tmp_path) as connection:
            assert ask(connection, "confirmed_sources") == [(1,)]
        assert ledger_path(tmp_path).read_bytes() == before
        with closing(Ledger.open(tmp_path)) as again:
            assert states(again) == {1: "pending"}

    def test_it_reads_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        with closing(Ledger.open(tmp_path)) as ledger:
            confirmed(ledger, keys(1))
        with read_only(tmp_path), reader(tmp_path) as connection:
            assert integrity_faults(connection) == []
            assert ask(connection, "confirmed_sources") == [(1,)]
        assert {path.name for path in tmp_path.iterdir()} == {"ledger.sqlite", "ledger.sqlite-mark"}

    def test_it_reads_what_a_kill_left_without_mending_it(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        source = confirmed(ledger, keys(1))
        begin(ledger)
        claim(ledger)
        killed = after_kill(tmp_path)
        for _ in range(2):
            with reader(killed) as connection:
                assert count(connection, [source]).states[State.SENDING] == 1
                assert integrity_faults(connection) == []

    def test_a_kill_s_leavings_in_a_folder_that_cannot_be_written(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        source = confirmed(ledger, keys(1))
        killed = after_kill(tmp_path)
        with read_only(killed), reader(killed) as connection:
            assert count(connection, [source]).states[State.PENDING] == 1
