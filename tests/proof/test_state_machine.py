"""The ledger against a model of the promise in plain dicts: whatever happens, they agree."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bulk_unenroll.ledger.batch import Batch, StagedRow, staged_batch
from bulk_unenroll.ledger.counts import callable_count, count
from bulk_unenroll.ledger.sqlite import ledger
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import Blocked, Call, State
from tests.kit.tiers import long, thorough
from tests.ledger import kit

ANSWERS = {
    "success": State.SUCCEEDED,
    "not_enrolled": State.NOT_ENROLLED,
    "310011": State.FAILED,
    "310119": State.REVIEW,
    "310018": State.BLOCKED,
}
FINAL = {State.SUCCEEDED, State.NOT_ENROLLED}
CUSTOMERS = st.integers(1, 9)
WITHOUT_SHRINKING = (Phase.generate,)
REOPENABLE = [State.FAILED, State.BLOCKED, State.REVIEW, State.IN_DOUBT]


# ── the model ────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Person:
    """A customer as the promise sees it.

    ``due``: in doubt, and to be sent again by this run. ``asked``: reopened by a person.
    """

    state: State = State.PENDING
    attempts: int = 0
    code: str | None = None
    doubtful: bool = False
    due: bool = False
    asked: bool = False


@dataclass
class File:
    """One content of a path."""

    path: str
    rows: tuple[int, ...]
    confirmed: bool = False
    superseded: bool = False

    @property
    def may_be_sent(self) -> bool:
        return self.confirmed and not self.superseded


@dataclass
class Model:
    """The promise, without a ledger. Files by the number of their source."""

    people: dict[int, Person] = field(default_factory=dict)
    files: dict[int, File] = field(default_factory=dict)
    run: set[int] = field(default_factory=set)
    in_flight: set[int] = field(default_factory=set)

    def plan(self, number: int, path: str, rows: tuple[int, ...]) -> None:
        known = self.files.setdefault(number, File(path, rows))
        if known.superseded:
            known.confirmed = known.superseded = False
        for who in rows:
            person = self.people.setdefault(who, Person())
            if person.state is State.WITHDRAWN:
                person.state = State.PENDING

    def confirm(self, number: int) -> None:
        file = self.files[number]
        file.confirmed = True
        others = [
            other
            for other in self.files.values()
            if other is not file and other.path == file.path and not other.superseded
        ]
        for other in others:
            other.superseded = True
        live = self._standing(lambda each: not each.superseded)
        for who, person in self.people.items():
            untouched = person.state is State.PENDING and person.attempts == 0
            if others and untouched and who not in live:
                person.state = State.WITHDRAWN

    def begin(self, resend: bool) -> None:
        self.run = self._standing(lambda file: file.may_be_sent)
        for who, person in self.people.items():
            if person.state is State.IN_DOUBT:
                person.due = who in self.run and (resend or person.asked)

    def callable(self) -> set[int]:
        return {who for who in self.run if self._may_go(self.people[who])}

    def _may_go(self, person: Person) -> bool:
        return person.state is State.PENDING or (person.state is State.IN_DOUBT and person.due)

    def _standing(self, which: Callable[[File], bool]) -> set[int]:
        return {who for file in self.files.values() if which(file) for who in file.rows}

    def claim(self, who: int) -> None:
        self.people[who].state = State.SENDING
        self.in_flight.add(who)

    def answered(self, who: int, state: State, code: str | None) -> None:
        self._landed(who, state, code)
        self.people[who].doubtful &= state is State.REVIEW
        if state is State.BLOCKED:
            for each in self.run:
                person = self.people[each]
                if person.state is State.PENDING:
                    person.state, person.code = State.BLOCKED, code

    def refused(self, who: int, again: bool) -> None:
        """Certainly not applied: that settles no older doubt."""
        doubtful = self.people[who].doubtful
        ended = State.PENDING if again else State.FAILED
        self._landed(who, State.IN_DOUBT if doubtful else ended, "http_429", due=again)

    def lost(self, who: int, code: str, again: bool) -> None:
        person = self.people[who]
        person.doubtful, person.asked = True, False
        self._landed(who, State.IN_DOUBT, code, due=again)

    def _landed(self, who: int, state: State, code: str | None, due: bool = False) -> None:
        person = self.people[who]
        person.state, person.code, person.due = state, code, due
        person.attempts += 1
        self.in_flight.discard(who)

    def crash(self) -> None:
        for who in tuple(self.in_flight):
            self.lost(who, "killed", again=False)
        self.run = set()

    def retry(self, state: State, code: str | None) -> int:
        standing, number = self._standing(lambda file: file.may_be_sent), 0
        for who, person in self.people.items():
            if person.state is state and who in standing and code in (None, person.code):
                number += 1
                person.asked = True
                if person.doubtful:
                    person.state = State.IN_DOUBT
                else:
                    person.state, person.code = State.PENDING, None
        return number


# ── the ledger, compared with it ─────────────────────────────────────────────────────────────────


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to a real ledger and to the model, and compares them after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.folder = self.home / "0"
        self.folder.mkdir()
        self.ledger = SqliteLedger.open(self.folder)
        self.model = Model()
        self.calls: dict[int, Call] = {}
        self.crashes = 0

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.home)

    # a file is planned, or planned and confirmed; the same path again is an edit

    @precondition(lambda self: not self.calls)
    @rule(
        path=st.sampled_from(["a.csv", "b.csv"]),
        rows=st.lists(CUSTOMERS, max_size=9),
        confirm=st.booleans(),
    )
    def load(self, path: str, rows: list[int], confirm: bool) -> None:
        keys = kit.keys(*rows)
        number = kit.plan(self.ledger, keys, path, content=str(rows), chunk=3)
        self.model.plan(number, path, tuple(rows))
        if confirm:
            kit.confirm(self.ledger, number)
            self.model.confirm(number)
        self.model.run = set()

    @precondition(lambda self: not self.calls)
    @rule(resend=st.booleans())
    def begin(self, resend: bool) -> None:
        cutoff_s = kit.RECENT_S if resend else kit.NEVER_S
        kit.begin(self.ledger, resend_after_s=cutoff_s)
        self.model.begin(resend)

    @precondition(lambda self: self.model.run)
    @rule(most=st.integers(1, 4))
    def send(self, most: int) -> None:
        may = self.model.callable()
        calls = kit.claim(self.ledger, most)
        found = set(kit.customers(calls))
        assert found <= may, f"{found - may} were claimed, {may} might be"
        assert len(calls) == len(found) == min(most, len(may))
        for call in calls:
            who = call.enrollment.customer
            assert call.doubtful is self.model.people[who].doubtful
            self.model.claim(who)
            self.calls[who] = call

    def _land(self, data: st.DataObject) -> Call:
        who = data.draw(st.sampled_from(sorted(self.calls)))
        return self.calls.pop(who)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), name=st.sampled_from(sorted(ANSWERS)))
    def answer(self, data: st.DataObject, name: str) -> None:
        call, state = self._land(data), ANSWERS[name]
        code = name if name.isdigit() else None
        blocked = [Blocked(None, 1001, 2001, name, "")] if state is State.BLOCKED else []
        kit.turn(self.ledger, kit.answer(call, state, code=code), blocked=blocked)
        self.model.answered(call.enrollment.customer, state, code)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), again=st.booleans())
    def refuse(self, data: st.DataObject, again: bool) -> None:
        call = self._land(data)
        ended = State.PENDING if again else State.FAILED
        state = State.IN_DOUBT if call.doubtful else ended
        again_s = kit.NOW_S if again else None
        entry = kit.answer(call, state, outcome="not_applied", code="http_429", again_s=again_s)
        kit.turn(self.ledger, entry)
        self.model.refused(call.enrollment.customer, again)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), again=st.booleans())
    def time_out(self, data: st.DataObject, again: bool) -> None:
        call = self._land(data)
        kit.turn(self.ledger, kit.unanswered(call, again_s=kit.NOW_S if again else None))
        self.model.lost(call.enrollment.customer, "timeout", again)

    @rule()
    def crash(self) -> None:
        self.crashes += 1
        left = self.home / str(self.crashes)
        shutil.copytree(self.folder, left)
        self.ledger.close()
        self.folder, self.ledger = left, SqliteLedger.open(left)
        self.calls.clear()
        self.model.crash()

    @precondition(lambda self: not self.calls)
    @rule(
        state=st.sampled_from(REOPENABLE),
        code=st.sampled_from([None, None, "310011", "310018", "http_429", "killed"]),
    )
    def retry(self, state: State, code: str | None) -> None:
        number = kit.reopen(self.ledger, state, codes=[code] if code else [])
        assert number == self.model.retry(state, code)
        self.model.run = set()

    # ── agreement ────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def they_agree_on_everybody(self) -> None:
        found = self.ledger.connection.raw.execute(
            "SELECT customer_id, state, attempts, code, doubtful FROM item ORDER BY customer_id"
        ).fetchall()
        expected = [
            (who, person.state.value, person.attempts, person.code, person.doubtful)
            for who, person in sorted(self.model.people.items())
        ]
        assert found == expected

    @invariant()
    def they_agree_on_every_file(self) -> None:
        for number, file in self.model.files.items():
            counts = count(self.ledger.reader, [number])
            unique = len(set(file.rows))
            assert counts.read == len(file.rows)
            assert (counts.unique, counts.duplicate) == (unique, len(file.rows) - unique)
        sent = {number for number, file in self.model.files.items() if file.may_be_sent}
        assert set(kit.confirmed_sources(self.ledger)) == sent

    @invariant()
    def the_ledger_proves_itself(self) -> None:
        assert self.ledger.reader.integrity_faults() == []

    @precondition(lambda self: self.model.run and not self.calls)
    @invariant()
    def the_plan_says_how_many_would_be_called(self) -> None:
        sources = kit.confirmed_sources(self.ledger)
        doubts = {who for who in self.model.run if self.model.people[who].state is State.IN_DOUBT}
        pending = self.model.callable() - doubts
        number = callable_count(self.ledger.reader, sources, kit.RECENT_S)
        assert number == len(pending | doubts)


def attack(seed: int, examples: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    machine = type("Seeded", (LedgerMachine,), {})
    run_state_machine_as_test(
        hypothesis.seed(seed)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=phases,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.attack("state machine", "no divergence from the model")
@pytest.mark.parametrize("runs", [10, *thorough(40), *long(5000)])
def test_the_ledger_keeps_to_the_model(seed: int, proof: Callable[..., None], runs: int) -> None:
    attack(seed, runs)
    proof(runs=runs, divergences=0)


def test_control_position_instead_of_key(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_position(staged: Sequence[StagedRow]) -> Batch:
        batch = staged_batch(staged)
        return replace(batch, customers=[batch.first_row + row for row in batch.rows])

    monkeypatch.setattr(kit, "staged_batch", by_position)
    with pytest.raises(AssertionError):
        attack(seed, 60, WITHOUT_SHRINKING)


@pytest.mark.thorough
def test_control_a_doubt_forgotten_at_opening(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(connection: Writer) -> None:
        connection.raw.execute("UPDATE item SET state = 'pending' WHERE state = 'sending'")

    monkeypatch.setattr(ledger, "recover", forgetful)
    with pytest.raises(AssertionError):
        attack(seed, 60, WITHOUT_SHRINKING)
