"""The senders of a shared run, and what they share: slices of rows, start times, the first calls.

Each sender is a row, and its turns are numbered. If it is not seen for ``TTL_S``, others take over,
and its next turn fails as a whole. Times are the server's: clocks need not agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from bulk_unenroll.errors import FolderBusy
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.failures import given_up
from bulk_unenroll.ledger.sharing import Beat, Others, Part, Sharing
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import BAD, Entry, State
from bulk_unenroll.settings import RESEND_WINDOW_S

TTL_S: Final = 15.0
BEATS: Final = 3
"""How many turns a sender takes, at least, within ``TTL_S``."""
TURN_S: Final = 0.05
ASKS_FOR_S: Final = 30.0
"""How long a job that took no start counts for the rate of a credential."""
LOOK_S: Final = 0.2
STARTS_FROM: Final = "starts_from"
"""Under this name a job notes until when earlier starts count that were not granted here."""


class Senders:
    """See ``SharedRun``. One for each process; ``id`` is 0 until it is a sender of a run."""

    def __init__(self, connection: Callable[[], Connection], ttl_s: float = TTL_S) -> None:
        self._connect = connection
        self.sharing = Sharing(ttl_s, ttl_s / BEATS, TURN_S)
        self.id = self.run = self.turn = 0
        self._credential = ""
        self._canary_told = False
        self._reaped_s = time.monotonic()

    # ── joining and leaving ──────────────────────────────────────────────────────────────────────

    def enter(self, run: int, name: str) -> None:
        """Register as a sender of a run."""
        (self.id,) = self._connect().fetch_one("add_sender", run=run, name=name)
        self.run, self.turn, self._canary_told = run, 0, False

    def leave(self) -> None:
        """See ``SharedRun.leave``."""
        if self.id:
            self._connect().execute("leave", sender=self.id)
            self.id = 0

    # ── the first calls ──────────────────────────────────────────────────────────────────────────

    def part(self) -> Part:
        """See ``SharedRun.part``. Raises ``Fenced`` (75)."""
        passed, mine, stopped = self._connect().bridged(self._look_for_part)
        self._connect().bridged(lambda: self.reap(time.time()))
        if passed or stopped:
            return Part.SEND
        return Part.CANARY if mine else Part.WAIT

    def _look_for_part(self) -> Row:
        connection = self._connect()
        with connection.transaction():
            if not connection.execute("touch", sender=self.id):
                raise given_up()
            connection.execute("lock_run", run=self.run)
            connection.execute("take_canary", sender=self.id, run=self.run)
            return connection.fetch_one("part", sender=self.id, run=self.run)

    # ── the rate ─────────────────────────────────────────────────────────────────────────────────

    def share_rate(self, credential: str, interval_s: float) -> float:
        """See ``SharedRun.share_rate``."""
        connection, self._credential = self._connect(), credential
        connection.bridged(lambda: _make_shared(connection))
        job = connection.address.job
        connection.execute("add_pace", credential=credential)
        connection.execute("ask", credential=credential, job=job, interval=interval_s)
        if from_s := connection.meta(STARTS_FROM):  # the job was moved here: calls were made before
            connection.execute(
                "pause", credential=credential, pause=max(float(from_s) - time.time(), 0.0)
            )
        (longest_s,) = connection.fetch_one(
            "interval", credential=credential, job=job, asks_for=ASKS_FOR_S
        )
        return float(longest_s)

    def starts(self, beat: Beat) -> list[float]:
        """Seconds until each of the starts that a beat asks for. Within the turn's transaction."""
        if not (beat.starts and self._credential):
            return []
        connection = self._connect()
        asked = {"credential": self._credential, "job": connection.address.job}
        connection.send("still_asking", **asked)
        granted = connection.send(
            "grant", **asked, starts=beat.starts, lead=beat.lead_s, asks_for=ASKS_FOR_S
        )
        found = granted.fetchone()
        if found is None:
            return []
        first_s, interval_s = found
        return [first_s + interval_s * number for number in range(beat.starts)]

    # ── a turn ───────────────────────────────────────────────────────────────────────────────────

    def begin_turn(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        """Fence the turn: it fails if this sender was given up. Tell the others the news."""
        if not self.id:  # no run was begun: there is nothing to claim
            return
        states = [entry.state for entry in entries if entry.attempt]
        connection = self._connect()
        connection.send(
            "fence",
            sender=self.id,
            turn=self.turn,
            settled=sum(state not in (State.PENDING, State.IN_DOUBT) for state in states),
            bad=sum(state in BAD for state in states),
            not_enrolled=states.count(State.NOT_ENROLLED),
        )
        if beat is None:
            return
        if beat.canary_passed and not self._canary_told:
            connection.send("canary_passed", run=self.run)
        if beat.stop:
            code, reason = beat.stop
            connection.send("stop_run", run=self.run, code=int(code), reason=reason)
        if beat.pause_s > 0 and self._credential:
            connection.send("pause", credential=self._credential, pause=beat.pause_s)

    def ended_turn(self, beat: Beat | None) -> None:
        """The turn is committed."""
        self.turn += 1
        self._canary_told = self._canary_told or bool(beat and beat.canary_passed)

    def ask_others(self) -> psycopg.Cursor[Row]:
        """Why all must stop, and what others have settled: one row."""
        return self._connect().send("others", run=self.run, sender=self.id)

    def are_others_busy(self) -> bool:
        """Whether another sender has calls in flight, or rows to call."""
        found = self._connect().send("others_are_busy", run=self.run, sender=self.id).fetchone()
        return bool(found and found[0])

    def reap(self, now_s: float) -> None:
        """Take over from senders that took no turn for too long. Does so only now and then.

        Not from a connection that is younger than that: after an outage nobody was seen.
        """
        at_s, ttl_s = time.monotonic(), self.sharing.ttl_s
        connection = self._connect()
        if at_s - connection.since_s < ttl_s or at_s - self._reaped_s < self.sharing.beat_s:
            return
        self._reaped_s = at_s
        with connection.transaction():
            found = connection.fetch_all("reap", run=self.run, sender=self.id, ttl=ttl_s)
            lost = [sender for (sender,) in found]
            if lost:
                cutoff = now_s - RESEND_WINDOW_S
                connection.execute("take_over", lost=lost, now=now_s, cutoff=cutoff)


def heard(row: Row | None) -> tuple[tuple[int, str] | None, Others]:
    """What ``ask_others`` found."""
    if row is None:
        return None, Others()
    code, reason, settled, bad, not_enrolled, *_ = row
    return None if code is None else (code, reason), Others(settled, bad, not_enrolled)


def await_senders(connection: Connection, ttl_s: float) -> None:
    """Return once no sender of the job may make calls any more.

    Raises ``FolderBusy`` (75) where one goes on. One that was killed is given up after ``ttl_s``.
    """
    seen: dict[int, float] = {}
    while senders := connection.fetch_all("live_senders"):
        for sender, name, seen_s, _ in senders:
            if seen.setdefault(sender, seen_s) != seen_s:
                job = connection.address.job
                raise FolderBusy(job, f"{name} sends for the job {job}")
        if all(age_s >= ttl_s for *_, age_s in senders):
            connection.execute("give_up_all")
            return
        time.sleep(LOOK_S)


def _make_shared(connection: Connection) -> None:
    """Make what all jobs of a database share, if it is not there."""
    if connection.fetch_one("has_shared")[0]:
        return
    with connection.transaction():
        # IF NOT EXISTS is not safe where two create at once
        connection.raw.execute("SELECT pg_advisory_xact_lock(hashtext('bulk_unenroll shared'))")
        connection.run_script("shared")
