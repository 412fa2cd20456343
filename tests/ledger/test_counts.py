"""The accounting of every kind of ledger closes after whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bulk_unenroll.ledger.counts import callable_count, count
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.model import Blocked, Enrollment, Invalid, State
from tests.kit.tiers import thorough
from tests.ledger.kit import (
    BAD_ID,
    NEVER_S,
    NOW_S,
    RECENT_S,
    Place,
    answer,
    begin,
    claim,
    confirm,
    confirmed,
    confirmed_sources,
    key,
    keys,
    plan,
    reopen,
    settle,
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

    make_place: ClassVar[Callable[[Path], Place]]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.books = Books()
        self.running: set[Enrollment] = set()
        self.place = type(self).make_place(self.root / "job")
        self.ledger = self.place.open()

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
        self.place, before = self.place.after_kill(), self.ledger
        self.ledger = self.place.open()
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
        assert reopen(self.ledger, *chosen) == len(meant)
        for customer in meant:
            customer.state = State.IN_DOUBT if customer.doubtful else State.PENDING
        self.running = set()

    @rule()
    def close_and_open(self) -> None:
        self.ledger.close()
        self.ledger = self.place.open()
        self.running = set()

    @invariant()
    def the_books_close(self) -> None:
        assert self.ledger.reader.conservation_faults() == []
        assert self.ledger.reader.integrity_faults() == []

    @invariant()
    def the_figures_are_those_of_the_model(self) -> None:
        assert confirmed_sources(self.ledger) == [source.id for source in self.books.in_force]
        self.compare(self.books.in_force)
        for source in self.books.sources:
            self.compare([source])

    def compare(self, sources: Sequence[Source]) -> None:
        counts = count(self.ledger.reader, [source.id for source in sources])
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
        found: dict[Enrollment, list[str]] = defaultdict(list)
        for who in {row.customer for row in KEYS}:
            for line in self.ledger.reader.attempts_of(who):
                found[Enrollment(who, line.target)].append(line.outcome)
        lines = {row: (len(came), "unanswered" in came) for row, came in found.items()}
        assert lines == {
            row: (customer.attempts, customer.doubted)
            for row, customer in self.books.customers.items()
            if customer.attempts
        }


@pytest.mark.parametrize("examples", [4, *thorough(60)])
def test_the_accounting_closes_whatever_happens(
    make_place: Callable[[Path], Place], examples: int
) -> None:
    run_state_machine_as_test(
        type("Accounting", (Accounting,), {"make_place": staticmethod(make_place)}),
        settings=settings(max_examples=examples, stateful_step_count=30),
    )


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


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
        counts = count(ledger.reader, [source])
        assert counts.codes == {"310149": 1, "310011": 2, "timeout": 1}

    def test_attempts_and_mismatches_are_summed(self, ledger: Ledger) -> None:
        source = confirmed(ledger, keys(1, 2))
        begin(ledger)
        one, two = claim(ledger)
        turn(ledger, answer(one, mismatch=True), unanswered(two, again_s=NOW_S))
        settle(ledger)
        counts = count(ledger.reader, [source])
        assert (counts.attempts, counts.mismatches) == (3, 1)

    def test_a_customer_of_two_sources_is_unique_once_and_then_a_duplicate(
        self, ledger: Ledger
    ) -> None:
        sources = [confirmed(ledger, keys(1, 2), "a.csv"), confirmed(ledger, keys(2, 3), "b.csv")]
        both = count(ledger.reader, sources)
        assert (both.read, both.unique, both.duplicate) == (4, 3, 1)
        assert [count(ledger.reader, [one]).duplicate for one in sources] == [0, 0]

    def test_nothing_counts_as_nothing(self, ledger: Ledger) -> None:
        counts = count(ledger.reader, [])
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
        reader = ledger.reader
        assert callable_count(reader, [source], RECENT_S) == 2
        assert callable_count(reader, [source], NEVER_S) == 1
        reopen(ledger, State.IN_DOUBT, State.FAILED)
        assert callable_count(reader, [source], NEVER_S) == 4
