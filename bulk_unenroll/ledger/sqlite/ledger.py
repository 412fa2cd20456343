"""The ledger of a run folder in SQLite, and its queue. One method, one transaction.

One connection writes, used by one thread at a time; the folder's lock sees to it that there is only
one such process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.claiming import ClaimFilter
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.interface import Reopening, Turn
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.notes import SETTINGS, Notes, as_text
from bulk_unenroll.ledger.sharing import Beat
from bulk_unenroll.ledger.sqlite.claims import Claims, begin_run
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.ledger.sqlite.failures import LedgerHeld
from bulk_unenroll.ledger.sqlite.file import open_writer
from bulk_unenroll.ledger.sqlite.loading import load
from bulk_unenroll.ledger.sqlite.reader import SqliteReader
from bulk_unenroll.ledger.sqlite.recording import block, record, recover_calls, reopen
from bulk_unenroll.ledger.sqlite.sources import (
    confirm,
    drop_unfinished,
    note_alarms,
)
from bulk_unenroll.model import Alarm, Blocked, Entry


class SqliteLedger(Notes):
    """See ``Ledger``. Made by ``SqliteLedger.open``, within the folder's lock."""

    def __init__(self, connection: Writer) -> None:
        self.connection = connection
        self.reader = SqliteReader(connection)
        self._claims = Claims(connection)
        self.shared = None
        self.loading = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the folder's ledger, making it if there is none, and settle what a kill left."""
        connection = open_writer(ledger_path(folder))
        try:
            recover(connection)
        except BaseException as error:
            connection.abandon(unchanged=isinstance(error, LedgerHeld))
            raise
        return cls(connection)

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
        with self.connection.transaction():
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
        joinable: bool = True,  # nobody can
    ) -> None:
        """See ``Ledger.begin_run``."""
        self._claims = begin_run(
            self.connection,
            run_id,
            command,
            sources,
            now_s=now_s,
            resend_after_s=resend_after_s,
            started_by=started_by,
        )

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
        """See ``Ledger.turn``."""
        wanted = ClaimFilter.of(now_s, halted_orgs, only, spread=spread)
        with self.connection.transaction():
            if pace is not None:
                self.connection.set_meta("pace", pace)
            record(self.connection, entries)
            number = sum(block(self.connection, self._claims.run, each) for each in blocked)
            if clocks_parted:
                self.connection.execute("age_doubts")
                self.connection.execute("end_backoffs", now=now_s)
            self.connection.execute("park_stale_doubts", now=now_s, cutoff=resend_after_s)
            calls = self._claims.claim(claim, wanted) if claim else []
            due_s = self._claims.next_due_s(wanted)
            full = 0 < claim == len(calls)
            more = due_s is not None or full or self._claims.has_fresh(wanted)
        return Turn(calls, due_s, more, number)

    def end_run(self, exit_code: int, reason: str, *, for_all: bool = True) -> None:
        """See ``Ledger.end_run``."""
        run, now = self._claims.run, time.time()
        with self.connection.transaction():
            self.connection.execute("end_run", run=run, now=now, exit_code=exit_code, reason=reason)

    def close(self) -> None:
        """Close it, so that the ledger is one file that can be copied, and seal it."""
        self.connection.close()


def recover(connection: Writer) -> None:
    """Settle what a kill left; from now on the ledger is in use."""
    with connection.transaction():
        connection.set_meta("open", "yes")
        recover_calls(connection)
        drop_unfinished(connection)
