"""Whatever is done, both kinds of ledger say the same of it, word for word."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Selection
from bulk_unenroll.model import Blocked, Call, Enrollment, Entry, Invalid, State
from tests.kit.tiers import long
from tests.ledger.kit import (
    BAD_ID,
    NOW_S,
    Place,
    answer,
    begin,
    claim,
    confirm,
    key,
    plan,
    reopen,
    turn,
    unanswered,
)  # fmt: skip
from tests.ledger.postgres.kit import PostgresPlace
from tests.ledger.sqlite.kit import SqlitePlace

KEYS = [key(customer, target=target) for customer in range(1, 8) for target in (1, 2)]
KEYS += [key(1, org=7), key(2, org=7), key(3, group=1002)]
ROWS: list[Enrollment | Invalid] = [*KEYS, BAD_ID]
STATES = [State.FAILED, State.BLOCKED, State.REVIEW, State.IN_DOUBT]


class Twins:
    """A ledger of each kind, to which the same is done."""

    def __init__(self, places: list[Place], seed: int) -> None:
        self.places = places
        self.ledgers = [place.open() for place in places]
        self.dice = random.Random(seed)
        self.now_s = NOW_S
        self.numbers = iter(range(1, 1_000_000))

    def both(self, do: Any) -> Any:
        """Do the same to both; what both answer."""
        one, other = (do(ledger) for ledger in self.ledgers)
        assert one == other
        return one

    def read(self) -> None:
        rows = self.dice.choices(ROWS, k=self.dice.randrange(12))
        name = self.dice.choice(["a.csv", "b.csv"])
        content = f"content {self.dice.randrange(6)}"
        chunk = self.dice.randrange(1, 6)
        self.both(lambda ledger: plan(ledger, rows, name, content, chunk))

    def confirm(self) -> None:
        sources = self.ledgers[0].reader.sources()
        if sources:
            chosen = self.dice.choice(sources).id
            self.both(lambda ledger: confirm(ledger, chosen))

    def begin(self) -> None:
        run_id = f"run {next(self.numbers)}"
        sources = [s.id for s in self.ledgers[0].reader.sources() if s.confirmed_s]
        chosen = sorted(self.dice.sample(sources, self.dice.randrange(len(sources) + 1)))
        resend = self.dice.choice([self.now_s - 900, float("inf")])
        if chosen:
            self.both(
                lambda ledger: begin(
                    ledger, *chosen, now_s=self.now_s, resend_after_s=resend, run_id=run_id
                )
            )

    def send(self) -> None:
        most, spread = self.dice.randrange(1, 6), self.dice.random() < 0.3
        halted = self.dice.choice([[], [], [7], [0]])
        calls = self.both(
            lambda ledger: claim(
                ledger, most, now_s=self.now_s, spread=spread, halted_orgs=halted,
                resend_after_s=self.now_s - 900,
            )
        )  # fmt: skip
        entries = [self.entry(call) for call in calls if self.dice.random() < 0.9]
        blocked = [Blocked(None, 1001, self.dice.choice([1, None]), "310018", "no rule")]
        blocked = blocked if self.dice.random() < 0.1 else []
        parted = self.dice.random() < 0.05
        self.both(
            lambda ledger: turn(
                ledger, *entries, blocked=blocked, now_s=self.now_s, clocks_parted=parted,
                resend_after_s=self.now_s - 900,
            )
        )  # fmt: skip

    def entry(self, call: Call) -> Entry:
        again_s = self.dice.choice([None, self.now_s, self.now_s + 300])
        at_s, old = self.now_s - self.dice.randrange(3), self.dice.random() < 0.1
        match self.dice.randrange(6):
            case 0:
                return unanswered(call, at_s=at_s, again_s=again_s)
            case 1:
                return answer(call, call.waiting, outcome="not_applied", code="521", at_s=at_s,
                              again_s=self.now_s + 100)  # fmt: skip
            case 2:
                code = self.dice.choice([None, "protected"])
                return Entry(call, call.waiting, None, again_s, old=old, code=code)
            case _:
                end = self.dice.choice(
                    [State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW, State.BLOCKED]
                )
                mismatch = self.dice.random() < 0.2
                return answer(call, end, code=f"c{end}", at_s=at_s, mismatch=mismatch)

    def reopen(self) -> None:
        chosen = self.dice.sample(STATES, self.dice.randrange(1, 4))
        codes = self.dice.choice([[], [], ["cfailed", "timeout"]])
        self.both(lambda ledger: reopen(ledger, *chosen, codes=codes, now_s=self.now_s))

    def kill(self) -> None:
        before = self.ledgers
        self.places = [place.after_kill() for place in self.places]
        self.ledgers = [place.open() for place in self.places]
        for ledger in before:
            ledger.close()

    def wait(self) -> None:
        self.now_s += self.dice.choice([1, 90, 400, -200])

    def step(self) -> None:
        steps = [self.read, self.confirm, self.begin, self.reopen, self.kill, self.wait]
        self.dice.choices([self.send, *steps], [6, 1, 1.5, 1, 0.7, 0.3, 1])[0]()
        self.both(lambda ledger: said_by(ledger.reader, self.now_s))


def said_by(reader: LedgerReader, now_s: float) -> dict[str, Any]:
    """All that a ledger says of its rows and calls, in an order; the customer of a count is any."""
    sources = [source.id for source in reader.sources()]
    customers = sorted({row.customer for row in KEYS})
    return {
        "sources": reader.sources(),
        "rows": [row for page in reader.result_pages(Selection()) for row in page],
        "shown": [
            row for page in reader.result_pages(Selection(states=["failed", "duplicate"]))
            for row in page
        ],
        "of customers": [reader.rows_of(customer) for customer in customers],
        "attempts": [sorted(reader.attempts_of(customer), key=repr) for customer in customers],
        "pages": sorted(
            (row for page in reader.attempt_pages(Selection(targets=["1001/1"])) for row in page),
            key=repr,
        ),
        "counts": [
            sorted((one._replace(customer=None) for one in reader.counts_by_target(some)), key=repr)
            for some in (sources, *([one] for one in sources))
        ],
        "row counts": reader.row_counts(sources),
        "invalid": reader.invalid_counts(sources),
        "doubts": reader.callable_doubts(sources, now_s - 900),
        "held": reader.callable_doubts(sources, float("inf")),
        "compared": [reader.compare([one]) for one in sources],
        "waiting": reader.waiting(),
        "again": reader.sent_again(100),
        "often": reader.attempt_counts(),
        "calls": reader.run_calls(),
        "bins": sorted(reader.attempt_bins("run 1", NOW_S, 10.0), key=repr),
        "withdrawn": reader.withdrawn_count(),
        "orgs": reader.has_other_orgs(),
        "judged": reader.has_judged(),
        "examples": [reader.example(one, sources) for one in KEYS],
    }  # fmt: skip


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's clock stands still: both kinds note the same moment."""
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: NOW_S + 7.25)
        yield


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("seed", [*range(1, 9), *long(*range(9, 60))])
@pytest.mark.thorough
def test_both_kinds_say_the_same(place: PostgresPlace, tmp_path: Path, seed: int) -> None:
    twins = Twins([place, SqlitePlace(tmp_path / "job")], seed)
    try:
        for _ in range(60):
            twins.step()
        for ledger in twins.ledgers:
            assert ledger.reader.integrity_faults() == []
    finally:
        for ledger in twins.ledgers:
            ledger.close()


def test_a_ledger_is_a_ledger(place: PostgresPlace) -> None:
    with closing(place.open()) as made:
        ledger: Ledger = made
        assert ledger.reader.sources() == []
