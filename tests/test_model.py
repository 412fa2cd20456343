"""The legal changes of state: one table in the code, one in the ledger, and they are the same."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulk_unenroll.ledger.sqlite.ledger import Ledger
from bulk_unenroll.model import (
    BAD,
    GOOD,
    MAX_ID,
    REOPENABLE,
    TRANSITIONS,
    Enrollment,
    State,
    Target,
)
from tests.sending.scripted import keys, load

PAIRS = list(itertools.product(State, State))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger with one pending customer for every pair of states."""
    made = Ledger.open(tmp_path_factory.mktemp("transitions"))
    load(made, keys(range(1, len(PAIRS) + 1)))
    yield made
    made.close()


def way_to(state: State) -> list[State]:
    """The shortest legal way from ``pending`` to ``state``."""
    ways = {State.PENDING: [State.PENDING]}
    line = [State.PENDING]
    while line:
        here = line.pop(0)
        for there in TRANSITIONS[here] - ways.keys():
            ways[there] = [*ways[here], there]
            line.append(there)
    return ways[state]


def set_state(ledger: Ledger, customer: int, state: State) -> None:
    ledger.connection.execute(
        "UPDATE item SET state = ? WHERE customer_id = ?", (state.value, customer)
    )


def state_of(ledger: Ledger, customer: int) -> str:
    found = ledger.connection.execute("SELECT state FROM item WHERE customer_id = ?", (customer,))
    state: str = found.fetchone()[0]
    return state


def test_the_ledger_holds_the_same_table(ledger: Ledger) -> None:
    rows = ledger.connection.execute("SELECT old, new FROM transition").fetchall()
    assert set(rows) == {(old.value, new.value) for old in State for new in TRANSITIONS[old]}


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=lambda state: state.value)
def test_the_ledger_refuses_every_change_that_is_not_in_the_table(
    ledger: Ledger, old: State, new: State
) -> None:
    customer = PAIRS.index((old, new)) + 1
    for state in way_to(old):
        set_state(ledger, customer, state)
    if new in TRANSITIONS[old] or new is old:
        set_state(ledger, customer, new)
        assert state_of(ledger, customer) == new
    else:
        with pytest.raises(sqlite3.IntegrityError, match="illegal transition"):
            set_state(ledger, customer, new)
        assert state_of(ledger, customer) == old


def test_every_state_has_its_line_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(way_to(state) for state in State)


@pytest.mark.parametrize("state", sorted(GOOD))
def test_what_ended_well_is_final(state: State) -> None:
    assert not TRANSITIONS[state]


def test_a_call_in_doubt_never_looks_as_if_it_had_not_been_made() -> None:
    assert TRANSITIONS[State.IN_DOUBT] == {State.SENDING}


def test_only_a_claimed_call_can_get_an_outcome_and_only_a_queued_one_is_claimed() -> None:
    for outcome in GOOD | {State.FAILED, State.REVIEW}:
        assert {old for old in State if outcome in TRANSITIONS[old]} == {State.SENDING}
    doubted_from = {old for old in State if State.IN_DOUBT in TRANSITIONS[old]}
    assert doubted_from == {State.SENDING, State.REVIEW}  # an old doubt that was never settled
    claimed_from = {old for old in State if State.SENDING in TRANSITIONS[old]}
    assert claimed_from == {State.PENDING, State.IN_DOUBT}


def test_what_failed_can_be_reopened_and_what_ended_well_cannot() -> None:
    assert all(State.PENDING in TRANSITIONS[state] for state in BAD)
    assert BAD | {State.IN_DOUBT} == REOPENABLE
    assert not REOPENABLE & GOOD


def test_the_largest_id_goes_through_the_ledger_unchanged(tmp_path: Path) -> None:
    key = Enrollment(MAX_ID, Target(MAX_ID, MAX_ID, MAX_ID))
    ledger = Ledger.open(tmp_path)
    try:
        source = load(ledger, [key])
        ledger.begin_run("r", "run", [source], now_s=1.0, resend_after_s=0.0)
        (call,) = ledger.turn([], claim=1, now_s=1.0, resend_after_s=0.0).calls
    finally:
        ledger.close()
    assert call.enrollment == key
