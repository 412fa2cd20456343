"""A run does not walk past millions that an earlier one has settled, and passes over nobody."""

from __future__ import annotations

import pytest

from bulk_unenroll.ledger.postgres import claims
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.model import State
from tests.ledger.kit import (
    NOW_S,
    answer,
    begin,
    claim,
    confirm,
    confirmed,
    customers,
    key,
    keys,
    plan,
    reopen,
    settle,
    turn,
    unsent,
)  # fmt: skip
from tests.ledger.postgres.kit import PostgresPlace, tool


def slices(place: PostgresPlace) -> list[tuple[str, int, bool]]:
    """The slices of the last run: of which kind, with how many rows, and whether all was tried."""
    with tool(place) as other:
        return other.execute(
            "SELECT kind, last_place - after_place, all_tried FROM slice"
            " WHERE run = (SELECT max(id) FROM run) ORDER BY id"
        ).fetchall()


def test_a_later_run_begins_where_the_one_before_came_to(
    ledger: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(ledger, keys(*range(1, 221)))
    begin(ledger)
    turn(ledger, *map(answer, claim(ledger, 120)))
    assert slices(place) == [
        ("fresh", 50, True), ("fresh", 50, True), ("fresh", 50, False), ("fresh", 50, False),
        ("fresh", 20, False),
    ]  # fmt: skip
    begin(ledger)
    assert [kind for kind, *_ in slices(place)] == ["in_line", "fresh", "fresh", "fresh"]
    assert customers(claim(ledger)) == list(range(121, 221))


def test_who_is_to_be_called_again_from_before_it_comes_first(ledger: PostgresLedger) -> None:
    confirmed(ledger, keys(*range(1, 71)))
    begin(ledger)
    one, two, three, *_ = calls = claim(ledger, 60)
    turn(
        ledger,
        answer(one),
        answer(two, State.FAILED, code="310011"),
        unsent(three),
        *map(answer, calls[3:]),
    )
    assert reopen(ledger, State.FAILED) == 1
    begin(ledger)
    assert customers(claim(ledger, 3)) == [2, 3, 61]
    assert customers(claim(ledger)) == list(range(62, 71))


def test_who_comes_back_into_the_file_is_called(ledger: PostgresLedger) -> None:
    everybody = keys(*range(1, 61))
    confirmed(ledger, everybody)
    begin(ledger)
    calls = claim(ledger, 60)
    turn(ledger, answer(calls[0]), *map(unsent, calls[1:]))
    confirmed(ledger, keys(1, 2))  # the others are withdrawn, though all was tried
    confirmed(ledger, everybody)
    begin(ledger)
    assert sorted(customers(claim(ledger))) == list(range(2, 61))


def test_those_of_a_halted_org_are_not_passed_over(
    ledger: PostgresLedger, place: PostgresPlace
) -> None:
    confirmed(ledger, [key(one, org=7 if one == 2 else None) for one in range(1, 71)])
    begin(ledger)
    turn(ledger, *map(answer, claim(ledger, 2, halted_orgs=[7])))
    turn(ledger, *map(answer, claim(ledger, 60)))  # the halt ended, row 2 was passed over
    assert slices(place)[0] == ("fresh", 50, False)
    begin(ledger)
    assert customers(claim(ledger))[0] == 2


def test_a_customer_known_from_elsewhere_is_in_one_slice_alone(ledger: PostgresLedger) -> None:
    old = plan(ledger, keys(1, 2, 3, 4), "old.csv")
    both = [
        plan(ledger, keys(*some), name) for name, some in (("a.csv", (3, 4)), ("b.csv", (4, 5)))
    ]
    confirm(ledger, old, *both)
    begin(ledger, *both)
    assert sorted(customers(claim(ledger))) == [3, 4, 5]


def test_a_turn_that_fails_has_tried_nobody(
    ledger: PostgresLedger, place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed(ledger, keys(*range(1, 61)))
    begin(ledger)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(claims, "call_of", fail)
        with pytest.raises(KeyboardInterrupt):
            claim(ledger, 55)
    assert slices(place)[0] == ("fresh", 50, False)
    begin(ledger, now_s=NOW_S + 1)
    settle(ledger)
