"""The senders of a shared run, and what they share: slices of rows, start times, the first calls.

Each sender is a row, and its turns are numbered. If it is not seen for ``TTL_S``, others take over,
and its next turn fails as a whole. Times are the server's: clocks need not agree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg

from bulk_unenroll.errors import FolderBusy
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.failures import given_up
from bulk_unenroll.ledger.sharing import Beat, Others, Part, Sharing
from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import BAD, Blocked, Entry, State
from bulk_unenroll.settings import RESEND_WINDOW_S

TTL_S: Final = 15.0
BEATS: Final = 3
"""How many turns a sender takes, at least, within ``TTL_S``."""
TURN_S: Final = 0.05
ASKS_FOR_S: Final = 30.0
"""How long a job that took no start counts for the rate of a credential."""
LOOK_S: Final = 0.2
CLOCK_HOLDS_S: Final = 10.0
STARTS_FROM: Final = "starts_from"
"""Under this name a job notes until when earlier starts count that were not granted here."""


class Told(NamedTuple):
    """What a turn is told of the run and its other senders: a row of the statement ``others``.

    ``blocked``: what others found since, as a list of the fields of ``Blocked``; ``last_block`` is
    the number of the last one. ``unsettled``: of some block not all that was pending is settled.
    ``turns`` are those of the other senders; ``at_s`` is the server's time (Unix seconds).
    """

    stop_code: int | None = None
    stop_reason: str = ""
    settled: int = 0
    bad: int = 0
    not_enrolled: int = 0
    senders: int = 0
    blocked: list[list[Any]] | None = None
    last_block: int = 0
    unsettled: bool = False
    turns: int = 0
    at_s: float = 0.0

    @property
    def stop(self) -> tuple[int, str] | None:
        """The exit code and reason with which all must stop."""
        return None if self.stop_code is None else (self.stop_code, self.stop_reason)

    @property
    def others(self) -> Others:
        """What others have settled, and what is blocked."""
        blocked = tuple(Blocked(*fields) for fields in self.blocked or ())
        return Others(self.settled, self.bad, self.not_enrolled, self.senders, blocked)


@dataclass(slots=True)
class ServerClock:
    """How far the server's clock is ahead of ``time.monotonic``, in seconds.

    An answer comes some time after the server looked at its clock, so it makes the difference too
    small, and all starts late by as much. So of the answers of the last seconds that one counts
    which came fastest. Clocks drift apart by less than that.
    """

    ahead_s: float = -math.inf
    noted_s: float = -math.inf

    def in_s(self, at_s: float, server_s: float, now_s: float) -> float:
        """Seconds until the server's clock shows ``at_s``; it has just answered ``server_s``."""
        ahead_s = server_s - now_s
        if ahead_s >= self.ahead_s or now_s - self.noted_s > CLOCK_HOLDS_S:
            self.ahead_s, self.noted_s = ahead_s, now_s
        return at_s - self.ahead_s - now_s


class Senders:
    """See ``SharedRun``. One for each process; ``id`` is 0 until it is a sender of a run."""

    def __init__(self, connection: Callable[[], Connection], ttl_s: float = TTL_S) -> None:
        self._connect = connection
        self.sharing = Sharing(ttl_s, ttl_s / BEATS, TURN_S)
        self.id = self.run = self.turn = 0
        self._credential = ""
        self._clock = ServerClock()
        self._canary_told = False
        self._last_block = 0
        self.has_unsettled = False
        """Whether the run has blocks of which not all that was pending is settled."""
        self._reaped_s = time.monotonic()

    # ── joining and leaving ──────────────────────────────────────────────────────────────────────

    def enter(self, run: int, name: str) -> None:
        """Register as a sender of a run."""
        (self.id,) = self._connect().fetch_one("add_sender", run=run, name=name)
        self.run, self.turn, self._canary_told = run, 0, False
        self._last_block, self.has_unsettled = 0, False

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
        """Seconds until each of the starts that a beat asks for. The last step of a turn.

        Others wait for the row of the credential until the turn ends.
        """
        connection = self._connect()
        if beat.pause_s > 0 and self._credential:
            connection.send("pause", credential=self._credential, pause=beat.pause_s)
        if not (beat.starts and self._credential):
            return []
        asked = {"credential": self._credential, "job": connection.address.job}
        connection.send("still_asking", **asked)
        granted = connection.send(
            "grant", **asked, starts=beat.starts, lead=beat.lead_s, asks_for=ASKS_FOR_S
        )
        found = granted.fetchone()
        if found is None:
            return []
        first_at_s, interval_s, server_s = found
        first_s = self._clock.in_s(first_at_s, server_s, time.monotonic())
        return [first_s + interval_s * number for number in range(beat.starts)]

    # ── a turn ───────────────────────────────────────────────────────────────────────────────────

    def begin_turn(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        """Fence the turn: it fails if this sender was given up. Tell the others the news."""
        if not self.id:  # no run was begun: there is nothing to claim
            return
        sent = (entry for entry in entries if entry.attempt)
        states = [entry.state for entry in sent if entry.call.tells(entry.state)]
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

    def hear(self, told: Told) -> None:
        """The turn that was told so is committed."""
        self._last_block, self.has_unsettled = told.last_block, told.unsettled

    def ended_turn(self, beat: Beat | None) -> None:
        """The turn is committed."""
        self.turn += 1
        self._canary_told = self._canary_told or bool(beat and beat.canary_passed)

    def ask_others(self) -> psycopg.Cursor[Row]:
        """Ask for what is ``Told``: one row."""
        return self._connect().send("others", run=self.run, sender=self.id, heard=self._last_block)

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
