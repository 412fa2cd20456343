"""The ledger of a job in PostgreSQL, and its queue. One method, one transaction.

One connection works on a job, used by one thread at a time. A lock of the server sees to it that
one process alone plans; those that send are told apart by their rows, see ``senders``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

from bulk_unenroll.errors import FolderBusy, LedgerAway, LedgerFailed, LedgerOutOfReach
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.claiming import ClaimFilter, call_of
from bulk_unenroll.ledger.interface import Reopening, Trust, Turn
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.notes import SETTINGS, Notes, as_text
from bulk_unenroll.ledger.postgres.arrivals import Arrivals
from bulk_unenroll.ledger.postgres.claims import Claims, begin_run
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import (
    keep_free,
    let_go,
    open_to_send,
    open_to_write,
    release,
)
from bulk_unenroll.ledger.postgres.loading import load
from bulk_unenroll.ledger.postgres.mark import Mark, Seen, check_attended, check_not_behind
from bulk_unenroll.ledger.postgres.outage import Outage
from bulk_unenroll.ledger.postgres.reader import PostgresReader
from bulk_unenroll.ledger.postgres.recording import (
    Recorded,
    all_landed,
    block,
    record,
    reopen,
    settle_blocked,
)
from bulk_unenroll.ledger.postgres.senders import TTL_S, Senders, Told
from bulk_unenroll.ledger.postgres.session import Address
from bulk_unenroll.ledger.postgres.sources import confirm, note_alarms
from bulk_unenroll.ledger.sharing import Beat
from bulk_unenroll.model import Alarm, Blocked, Call, Entry


class PostgresLedger(Notes):
    """See ``Ledger``. Made by ``PostgresLedger.open``."""

    def __init__(
        self, connection: Connection, ttl_s: float = TTL_S, mark: Mark | None = None
    ) -> None:
        self.connection = connection
        self._mark, self._run_id = mark, ""
        self.reader = PostgresReader(connection)
        self.shared = Senders(lambda: self.connection, ttl_s)
        self.loading = Arrivals(lambda: self.connection)
        self._claims = Claims(lambda: self.connection)

    @classmethod
    def open(
        cls,
        url: str,
        job: str,
        ttl_s: float = TTL_S,
        *,
        make: bool = True,
        mark: Mark | None = None,
        trust: Trust = Trust.USUAL,
    ) -> Self:
        """Open the ledger of a job, making it if there is none, and settle what a kill left.

        Unless ``make``: then it raises ``InputMissing`` (66). ``mark`` is what this machine saw of
        it; raises ``LedgerBehind`` (74) where that is more than the ledger knows.

        Raises ``FolderBusy`` (75) while another process works on the job, ``Misconfigured`` (78)
        for a server that could lose what it confirmed, and ``LedgerFailed`` (74). Senders are given
        up after ``ttl_s`` seconds without a turn.
        """
        connection = open_to_write(Address.of(url, job), ttl_s, new=make)
        with connection.closed_on_error():
            check_not_behind(connection, mark, trust)
            Arrivals(lambda: connection).give_up()
            connection.execute("recover", now=time.time())
            connection.execute("free_slices")
        return cls(connection, ttl_s, mark)

    @classmethod
    def beside_others(
        cls, url: str, job: str, ttl_s: float = TTL_S, *, mark: Mark | None = None
    ) -> Self:
        """Open the ledger of a job to send for the run that goes on; see ``join``."""
        return cls(open_to_send(Address.of(url, job)), ttl_s, mark)

    def join(self, started_by: str) -> tuple[str, list[int]] | None:
        """Join the run that is going on: its id and sources; None if there is none.

        Raises ``FolderBusy`` (75) while another process plans or is about to begin one, and
        ``LedgerBehind`` (74) where the ledger may not know who was called.
        """
        check_not_behind(self.connection, self._mark, Trust.ATTENDED)
        with self.connection.transaction():
            if not keep_free(self.connection):
                job = self.connection.address.job
                why = f"another process works on the job {job}, and has begun no run to be joined"
                raise FolderBusy(job, why, "start it again in a while")
            found = self.connection.fetch_all("open_run")
            if not found:
                return None
            check_attended(self.connection)
            run, run_id, sources = found[0]
            self.shared.enter(run, started_by)
        self._run_id = run_id
        self._claims = Claims(lambda: self.connection, self.shared.id, run, sources)
        self.connection.bridges = True
        return run_id, sources

    def load(
        self,
        info: SourceInfo,
        batches: Iterator[Batch],
        noticed: Callable[[], Mapping[str, object]] = dict,
    ) -> int:
        """See ``Ledger.load``."""
        return load(self.connection, info, batches, noticed)

    def confirm(
        self,
        sources: Sequence[int],
        base_url: str,
        given: Collection[str] = (),
        *,
        settings: Mapping[str, object] | None = None,
        anew: bool = False,
    ) -> None:
        """See ``Ledger.confirm``."""
        with self.connection.transaction():
            if settings is not None:
                self.connection.set_meta(SETTINGS, as_text(settings))
            confirm(self.connection, sources, base_url, given, anew=anew)

    def note(self, name: str, text: str) -> None:
        """See ``Ledger.note``."""
        self.connection.set_meta(name, text)

    def note_alarms(self, alarms: Sequence[Alarm], *, now_s: float, noted_by: str | None) -> None:
        """See ``Ledger.note_alarms``."""
        if list(alarms) != self.reader.alarms():
            note_alarms(self.connection, alarms, now_s, noted_by)

    def reopen(
        self, which: Reopening, *, now_s: float, check: Callable[[], object] = lambda: None
    ) -> int:
        """See ``Ledger.reopen``."""
        with self.connection.transaction():
            number = reopen(self.connection, which, now_s)
            check()
        return number

    def begin_run(
        self,
        run_id: str,
        command: str,
        sources: Sequence[int],
        *,
        now_s: float,
        resend_after_s: float,
        started_by: str | None = None,
        joinable: bool = True,
    ) -> None:
        """See ``Ledger.begin_run``."""
        self.connection.bridges = False  # another process could take the job meanwhile
        self.shared.leave()
        run = begin_run(
            self.connection,
            run_id,
            command,
            sources,
            now_s=now_s,
            resend_after_s=resend_after_s,
            started_by=started_by,
            joinable=joinable,
        )
        self._run_id = run_id
        self.shared.enter(run, started_by or "")
        self._claims = Claims(lambda: self.connection, self.shared.id, run, sources)
        if joinable:
            with suppress(LedgerAway):  # then it is let go, too
                let_go(self.connection)
        self.connection.bridges = True

    def turn(
        self,
        entries: Sequence[Entry],
        blocked: Sequence[Blocked] = (),
        *,
        claim: int,
        now_s: float,
        resend_after_s: float,
        halted_orgs: Iterable[int] = (),
        only: Collection[int] | None = None,
        spread: bool = False,
        pace: str | None = None,
        clocks_parted: bool = False,
        beat: Beat | None = None,
    ) -> Turn:
        """See ``Ledger.turn``. A server that is away is waited for, for a while."""
        wanted = ClaimFilter.of(now_s, halted_orgs, only, spread=spread)

        def take() -> Turn:
            with self.connection.pipelined_transaction():
                self.connection.send("plan_by_index")
                self.shared.begin_turn(entries, beat)
                if pace is not None:
                    self.connection.send("set_meta", name="pace", value=pace)
                recorded, number = self._record(entries, blocked)
                self._park(now_s, resend_after_s, clocks_parted=clocks_parted)
                others = self.shared.ask_others()
                turn = self._claim(claim, wanted, number)
                if not all_landed(recorded):
                    raise LedgerFailed("calls were settled that were not being made")
                told = Told(*(others.fetchone() or ()))
                starts = tuple(self.shared.starts(beat)) if beat else ()
                granted_s = time.monotonic()
            self._note_seen(told)
            self.shared.hear(told)
            if told.unsettled:  # the rest of what is blocked is due with the next turn
                turn = replace(turn, more=True, next_due_s=now_s)
            return replace(
                turn,
                starts_in_s=starts,
                granted_s=granted_s,
                stop=told.stop,
                others=told.others,
            )

        turn = Outage(self).bridged(take, now_s)
        self.shared.ended_turn(beat)
        if beat:
            with suppress(LedgerOutOfReach):  # the turn is taken; the next one waits for the server
                self.shared.reap(now_s)
        return turn

    def _record(self, entries: Sequence[Entry], blocked: Sequence[Blocked]) -> tuple[Recorded, int]:
        """Record ``entries``, then settle what is blocked; how many that were."""
        if not (blocked or self.shared.has_unsettled):
            return record(self.connection, entries), 0
        run, sources = self._claims.run, self._claims.sources
        block(self.connection, run, self.shared.id, blocked)
        recorded = record(self.connection, entries)
        return recorded, settle_blocked(self.connection, run, sources)

    def _note_seen(self, told: Told) -> None:
        """A turn is committed: whatever the ledger is later, this was in it."""
        if self._mark and told.at_s:
            turns = self.shared.turn + 1 + told.turns
            job = self.connection.address.job
            self._mark.note(Seen(job, self._run_id, turns, told.at_s))

    def _claim(self, claim: int, wanted: ClaimFilter, blocked: int) -> Turn:
        begun = self._claims.begin(claim, wanted) if claim else None
        next_due = self._claims.ask_next_due(wanted)
        calls = self._claims.finish(begun, claim, wanted) if begun else []
        due = next_due.fetchone()
        full = 0 < claim == len(calls)
        more = due is not None or full or self._claims.has_fresh(wanted)
        more = more or self._claims.is_any_left(wanted)
        return Turn(calls, due[0] if due else None, more, blocked)

    def forget_claims(self) -> None:
        """Look up anew what is left to claim: a turn did not take effect."""
        self._claims.forget()

    def claimed_at(self, now_s: float) -> list[Call]:
        """What a turn claimed whose answer was lost."""
        found = self.connection.fetch_all("my_flights", sender=self.shared.id, now=now_s)
        return [call_of(row) for row in found]

    def _park(self, now_s: float, resend_after_s: float, *, clocks_parted: bool) -> None:
        """Leave in doubt what became too old to be sent again by itself."""
        if clocks_parted:
            self.connection.send("age_doubts")
            self.connection.send("end_backoffs", now=now_s)
        self.connection.send("park_stale_doubts", now=now_s, cutoff=resend_after_s)

    def end_run(self, exit_code: int, reason: str, *, for_all: bool = True) -> None:
        """See ``Ledger.end_run``."""
        run, now = self._claims.run, time.time()
        self.connection.execute(
            "end_run", run=run, sender=self.shared.id, now=now, exit_code=exit_code, reason=reason,
            for_all=for_all,
        )  # fmt: skip

    def close(self) -> None:
        """See ``Ledger.close``. A server that is away is not waited for."""
        self.connection.bridges = False
        with suppress(LedgerFailed):  # then it is given up in a while, as after a kill
            self.shared.leave()
            release(self.connection)
        self.connection.close()
