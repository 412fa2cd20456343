"""A ledger that is behind is noticed by whoever saw more of it, or saw nobody there for long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.errors import LedgerBehind
from bulk_unenroll.ledger.interface import Trust
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.mark import NAME, UNATTENDED_S, Mark
from tests.ledger.kit import begin, claim, confirmed, keys, turn
from tests.ledger.postgres.kit import PostgresPlace, tool

Open = Callable[..., PostgresLedger]


@pytest.fixture
def mark(tmp_path: Path) -> Mark:
    return Mark(tmp_path)


@pytest.fixture
def reopened(place: PostgresPlace, mark: Mark) -> Open:
    """Opens a job after two turns of a run that a kill ended."""
    with closing(PostgresLedger.open(place.url, place.job, 0.0, mark=mark)) as ledger:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger, run_id="the-run")
        claim(ledger, 1)
        turn(ledger)

    def open_(trust: Trust = Trust.USUAL, seen: Mark | None = mark) -> PostgresLedger:
        return PostgresLedger.open(place.url, place.job, 0.0, mark=seen, trust=trust)

    return open_


def go_back(place: PostgresPlace, turns: int) -> None:
    """As a copy that was made so many turns ago."""
    with tool(place) as raw:
        raw.execute("UPDATE sender SET turn = turn - %s", [turns])


def leave_alone(place: PostgresPlace, seconds: float) -> None:
    with tool(place) as raw:
        raw.execute("UPDATE sender SET seen_at = seen_at - make_interval(secs => %s)", [seconds])


def test_what_is_as_it_was_is_opened(reopened: Open, mark: Mark, place: PostgresPlace) -> None:
    seen = mark.read(place.job)
    assert seen
    assert (seen.run_id, seen.turns) == ("the-run", 2)
    reopened().close()


def test_an_older_copy_is_refused_whoever_opens_it(reopened: Open, place: PostgresPlace) -> None:
    go_back(place, 1)
    for trust in (Trust.USUAL, Trust.ATTENDED):
        with pytest.raises(LedgerBehind, match="lacks 1 turns of the run the-run"):
            reopened(trust)
    reopened(Trust.LOOK).close()
    with pytest.raises(LedgerBehind, match="older copy"):  # to look changed nothing
        reopened()


def test_one_without_the_run_is_refused(reopened: Open, place: PostgresPlace) -> None:
    with tool(place) as raw:
        raw.execute("DELETE FROM run")
    with pytest.raises(LedgerBehind, match="lacks the run the-run"):
        reopened()


def test_who_joins_notices_too(reopened: Open, place: PostgresPlace, mark: Mark) -> None:
    go_back(place, 1)
    with (
        closing(PostgresLedger.beside_others(place.url, place.job, 0.0, mark=mark)) as joining,
        pytest.raises(LedgerBehind, match="older copy"),
    ):
        joining.join("me")


def test_a_person_goes_on_and_everybody_after_that(reopened: Open, place: PostgresPlace) -> None:
    go_back(place, 1)
    reopened(Trust.RESTORED).close()
    reopened().close()


def test_a_stranger_waits_for_a_person_where_nobody_was_for_long(
    reopened: Open, place: PostgresPlace, mark: Mark
) -> None:
    stranger = Mark(Path("/nowhere"))
    reopened(seen=stranger).close()
    leave_alone(place, UNATTENDED_S + 1)
    with pytest.raises(LedgerBehind, match="nobody was seen on this run for 15 minutes"):
        reopened(seen=stranger)
    reopened().close()  # it saw all there is
    reopened(Trust.ATTENDED, stranger).close()
    with (
        closing(PostgresLedger.beside_others(place.url, place.job, 0.0, mark=mark)) as joining,
        pytest.raises(LedgerBehind, match="nobody was seen"),
    ):
        joining.join("me")
    with closing(reopened(Trust.ATTENDED)) as ledger:
        begin(ledger)
        claim(ledger, 1)
        with closing(PostgresLedger.beside_others(place.url, place.job, 0.0, mark=mark)) as joining:
            assert joining.join("me")


def test_a_run_that_ended_may_be_old(reopened: Open, place: PostgresPlace) -> None:
    with closing(reopened()) as ledger:
        begin(ledger)
        ledger.end_run(3, "stopped")
    leave_alone(place, 30 * 86_400.0)
    reopened(seen=None).close()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"job": 1, "run_id": "x", "turns": "y"}'])
def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path, mark: Mark, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    assert mark.read("job") is None


def test_an_earlier_run_that_was_killed_is_not_joined(
    reopened: Open, place: PostgresPlace, mark: Mark
) -> None:
    with closing(reopened()) as ledger:  # the-run never ended
        begin(ledger)
        ledger.end_run(3, "stopped")
    with closing(PostgresLedger.beside_others(place.url, place.job, 0.0, mark=mark)) as joining:
        assert joining.join("me") is None
