"""The legal changes of state. That the ledger holds the same ones is tested with it."""

from __future__ import annotations

import pytest

from bulk_unenroll.model import BAD, GOOD, REOPENABLE, TRANSITIONS, State


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
