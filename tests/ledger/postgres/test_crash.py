"""Whenever a connection or the server breaks, in the middle of a turn too, nobody is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.model import Call
from tests.kit.postgres import Server
from tests.kit.tiers import thorough
from tests.ledger.kit import answer, begin, claim, confirmed, customers, keys, states, turn, unsent
from tests.ledger.postgres.kit import PostgresPlace

NUMBER = 3_000


class Sender:
    """Sends until the ledger fails; whom it called, and whose outcome was confirmed."""

    def __init__(self, place: PostgresPlace, dice: random.Random) -> None:
        self.called: set[int] = set()
        self.succeeded: set[int] = set()
        self._place, self._dice = place, dice

    def work(self, accident: Callable[[], object]) -> None:
        with closing(self._place.open()) as ledger:
            begin(ledger)
            breaking = threading.Timer(self._dice.uniform(0.0, 0.15), accident)
            breaking.start()
            with suppress(LedgerFailed):
                while calls := claim(ledger, 20):
                    self._send(ledger, calls)
            breaking.join()

    def _send(self, ledger: Ledger, calls: list[Call]) -> None:
        made = self._dice.sample(calls, 15) if len(calls) > 15 else calls
        self.called |= set(customers(made))
        turn(ledger, *map(answer, made), *(unsent(call) for call in calls if call not in made))
        self.succeeded |= set(customers(made))


def drill(place: PostgresPlace, accident: Callable[[], object], times: int, seed: int) -> None:
    with closing(place.open()) as ledger:
        confirmed(ledger, keys(*range(1, NUMBER + 1)))
    sender = Sender(place, random.Random(seed))
    for _ in range(times):
        sender.work(accident)
        with closing(place.open()) as ledger:
            found = states(ledger)
            assert ledger.reader.integrity_faults() == []
        assert len(found) == NUMBER
        # an answer to a commit may be lost: then it stands, though nobody was told
        assert {found[customer] for customer in sender.called} <= {"succeeded", "in_doubt"}
        assert {found[customer] for customer in sender.succeeded} <= {"succeeded"}
        assert list(found.values()).count("in_doubt") <= 20 * times


@pytest.mark.parametrize("seed", [1, *thorough(2, 3, 4)])
@pytest.mark.thorough
def test_connections_that_break(place: PostgresPlace, seed: int) -> None:
    drill(place, place.after_kill, 12, seed)


@pytest.mark.parametrize("seed", thorough(1, 2))
def test_a_server_that_crashes(server: Server, place: PostgresPlace, seed: int) -> None:
    def crash() -> None:
        server.stop("immediate")
        time.sleep(0.1)
        server.start()

    drill(place, crash, 5, seed)
