"""A synchronous standby takes the place of a server that is lost: nobody is, and nobody in doubt.

Senders name both servers in one address, as libpq takes it (34.1.1.3, several hosts).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest

from bulk_unenroll.exits import ExitCode
from tests.kit.command import Desk, Witness, people
from tests.kit.postgres import Server, programs, running_server
from tests.proof.test_many_senders import Team, ended, minded

pytestmark = pytest.mark.thorough
Start = Callable[..., Witness]
GAP_S = 10.0
IN_STEP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class Pair(Server):
    """A primary and its standby, under the address of both."""

    def __init__(self, primary: Server, standby: Server) -> None:
        self.hosts = ",".join(f"127.0.0.1:{one.port}" for one in (primary, standby))

    def url(self, database: str = "postgres") -> str:
        """The address of whichever of the two can be written to."""
        return f"postgresql://unenroll@{self.hosts}/{database}?target_session_attrs=read-write"


@contextmanager
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and a standby that follows it."""
    bin_ = programs()
    if bin_ is None or not (bin_ / "pg_basebackup").exists():
        pytest.skip("no PostgreSQL with pg_basebackup")
    with running_server(bin_) as primary, running_server(bin_, primary) as standby:
        yield primary, standby


@pytest.mark.attack(
    "a synchronous standby that is promoted while two senders work",
    "nobody lost, nobody in doubt, nobody twice; calls go on within 10 s",
)
def test_a_promoted_standby_knows_of_every_call(
    desk: Desk, witness: Start, proof: Callable[..., None]
) -> None:
    with pair() as (primary, standby):
        wait_for_standby(primary)
        team = Team(desk, witness(), Pair(primary, standby), people(1500))
        first = team.run("--rate", "200/s", "--canary", 0)
        other = team.work()
        with minded(first, other):
            team.await_turns(2)
            time.sleep(1.0)
            primary.stop()
            standby.promote()
            assert {ended(first), ended(other)} == {0}
        team.judged()
        states = dict(team.ask("SELECT status, count(*) FROM results GROUP BY 1"))
        doubts = team.ask("SELECT count(*) FROM attempt_history WHERE outcome = 'unanswered'")
    seen = sorted(call["at_s"] for call in team.api.seen())
    gap_s = max(after - before for before, after in pairwise(seen))
    proof(customers=len(team.customers), calls=len(seen), **{"longest gap (s)": round(gap_s, 1)})
    assert doubts == [(0,)]
    assert sum(states.values()) == len(seen) == 1500
    assert gap_s < GAP_S


def test_one_that_lacks_calls_is_not_sent_from(desk: Desk, witness: Start) -> None:
    """An asynchronous standby that fell behind, as ``docs/many-machines.md`` warns of."""
    with pair() as (primary, standby):
        team = Team(desk, witness(), Pair(primary, standby), people(1500))
        first = team.run("--rate", "200/s", "--canary", 0)
        other = team.work()
        with minded(first, other):
            team.await_turns(2)
            standby.set("primary_conninfo", "")  # it follows no more
            time.sleep(1.5)
            primary.stop()
            standby.promote()
            assert {ended(first), ended(other)} == {ExitCode.LEDGER_FAILED}
    assert len(team.api.seen()) < 1500


def wait_for_standby(primary: Server) -> None:
    """Let no commit end before the standby has it."""
    psycopg = pytest.importorskip("psycopg")
    primary.set("synchronous_standby_names", "*")
    end_s = time.monotonic() + 30
    with closing(psycopg.connect(primary.url(), autocommit=True)) as asked:
        while asked.execute(IN_STEP).fetchone() != (1,):
            assert time.monotonic() < end_s, "the standby does not follow"
            time.sleep(0.1)
