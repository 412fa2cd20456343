"""The durable record of a run folder, and its queue. One method, one transaction.

The ledger is a SQLite database in WAL mode with ``synchronous=FULL``: what is committed survives
power loss (sqlite.org/pragma.html#pragma_synchronous). One connection writes, used by one thread at
a time; the folder's lock sees to it that there is only one such process. Readers open ``mode=ro``.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.files import replacing, sync_directory
from bulk_unenroll.ledger.batch import Batch, StagedRow, TargetCount, staged_batch
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite.mark import (
    ClosedMark,
    Mark,
    OpenMark,
    checksum,
    mark_path,
    read_mark,
    seal,
)
from bulk_unenroll.ledger.sqlite.statements import SQL
from bulk_unenroll.model import Attempt, Blocked, Call, Enrollment, Entry, State, Target

APPLICATION_ID: Final = 0x62756E72
SCHEMA_VERSION: Final = 3
CHECK_BELOW_BYTES: Final = 256 << 20
DAMAGED: Final = "the ledger is damaged"
DAMAGED_REMEDY: Final = "keep the folder as it is and restore a copy of it"

PLACE_BITS: Final = 40
LAST_ROW: Final = (1 << PLACE_BITS) - 1
CACHE: Final = "PRAGMA cache_size = -65536"
BULK_CACHE: Final = "PRAGMA cache_size = -2000"
THREADS: Final = "PRAGMA threads = 0"
BULK_THREADS: Final = "PRAGMA threads = 2"
"""Sorting an index may use a second core: a fifth of its time. Later sorts would take memory."""
SENDING_CACHE: Final = "PRAGMA cache_size = -16384"
SPREAD_ROWS: Final = 10_000
"""How far a target's next call is looked for, so that a target without any costs little."""

Row = tuple[Any, ...]

__all__ = ["Ledger", "SourceInfo", "StagedRow", "Turn"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What identifies a source, and the columns it brought. ``reading``: how it was read."""

    path: str
    name: str
    sha256: str
    reading: str
    header: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bulk:
    """What was found out about a large source beside the ledger, once all of it was read.

    ``repeats``: rows with the first row that each repeats.
    """

    repeats: Iterable[tuple[int, int]]
    shares: Iterable[TargetCount]


@dataclass(slots=True)
class _Line:
    """Calls of a source that were never tried: after which place to look for the next."""

    statement: str
    after: int
    last: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn gave.

    Calls to send; when the next one is due (Unix seconds); whether any is left beyond these; how
    many were blocked unsent.
    """

    calls: list[Call]
    next_due_s: float | None
    more: bool
    blocked: int


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLite and the system say into one line, as ``LedgerFailed`` (74)."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from what is no text any more
        raise failure(error) from error
    except OSError as error:
        raise LedgerFailed(f"the ledger failed: {error.strerror}", "check the disk") from error


def failure(error: Exception) -> LedgerFailed:
    """What an error of SQLite means to a person."""
    text = str(error)
    if "full" in text:
        return LedgerFailed(f"the ledger cannot be written: {text}", "free some room")
    if "malformed" in text or "not a database" in text or "no such table" in text:
        return LedgerFailed(f"{DAMAGED}: {text}", DAMAGED_REMEDY)
    return LedgerFailed(f"the ledger failed: {text}", DAMAGED_REMEDY)


class Ledger:
    """The one writing connection. Made by ``Ledger.open``, within the folder's lock.

    Every method raises ``LedgerFailed`` (74) where SQLite or the disk fails; nothing may be sent
    after that.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, mark: Mark, commits: int
    ) -> None:
        self.connection = connection
        self._path = path
        self._mark = mark
        self._commits = commits
        self._failed = False
        self._targets: dict[Target, int] = {}
        self._lines: deque[_Line] = deque()
        self._spread: deque[tuple[int, int]] | None = None
        self._run = 0

    # ── opening and closing ──────────────────────────────────────────────────────────────────────

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the folder's ledger, making it if there is none, and settle what a kill left."""
        path = ledger_path(folder)
        with translated():
            if not path.exists() and not path.is_symlink():
                _create(path)
            with closing(open_reader(path)) as reader:
                commits = _commits(reader)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                ledger = cls(connection, path, Mark.begin(path, commits), commits)
                _prepare(connection)
                ledger._recover()
            except BaseException:
                connection.close()
                raise
        return ledger

    def close(self) -> None:
        """Close it, so that the ledger is one file that can be copied, and seal it.

        One that failed is left as it is: the next opening finds out what it holds.
        """
        with translated(), closing(self._mark), closing(self.connection):
            if self._failed:
                return
            with self._transaction():
                self._set_meta("open", "")
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:  # somebody reads it, so part of it stays in the log
                return
            self.connection.close()
            seal(self._path)

    def _recover(self) -> None:
        with self._transaction():
            self._set_meta("open", "yes")
            self._do("recover_attempts")
            self._do("recover_items", now=time.time())
            for (source,) in self._all("unfinished_sources"):
                self._drop(source)
            self._do_each("make_indexes")

    # ── sources ──────────────────────────────────────────────────────────────────────────────────

    def find_source(self, info: SourceInfo) -> int | None:
        """The source with this path, content and reading, if it was read before."""
        with self._transaction():
            found = self._all(
                "find_source", path=info.path, sha256=info.sha256, reading=info.reading
            )
            if not found:
                return None
            source: int = found[0][0]
            if self._do("plan_again", source=source).rowcount:
                self._do("unwithdraw", source=source, now=time.time())
            return source

    def add_source(self, info: SourceInfo) -> int:
        """Begin a source; it counts only once ``source_loaded``."""
        with self._transaction():
            source: int = self._all(
                "add_source",
                path=info.path,
                name=info.name,
                sha256=info.sha256,
                reading=info.reading,
                header=json.dumps(info.header, ensure_ascii=False),
            )[0][0]
            return source

    def is_empty(self) -> bool:
        """Whether it holds no customer/target yet: then a large source is loaded in bulk."""
        with translated():
            return not self._all("has_items")[0][0]

    def begin_bulk(self) -> None:
        """Load the next source without indexes; ``source_loaded`` makes them again."""
        # sorting and appending go faster where they stay within the processor's cache
        self.connection.execute(BULK_CACHE)
        self.connection.execute(BULK_THREADS)
        with self._transaction():
            self._do_each("drop_indexes")

    def add_rows(self, source: int, rows: Sequence[StagedRow]) -> None:
        """Add the next rows of a source; the UNIQUE key of ``item`` finds the duplicates."""
        with self._transaction():
            self._add_batch(source, staged_batch(rows), "add_new_items")

    def add_batches(
        self, source: int, batches: Iterable[Batch], *, bulk: bool = False
    ) -> Iterator[tuple[Batch, list[int]]]:
        """Add the next batches of a source; each, with the numbers of its targets.

        In ``bulk`` the indexes are gone, and every row becomes an item at first.
        """
        with self._transaction():
            for batch in batches:
                statement = "add_items" if bulk else "add_new_items"
                yield batch, self._add_batch(source, batch, statement)

    def _add_batch(self, source: int, batch: Batch, statement: str) -> list[int]:
        place = source << PLACE_BITS | batch.first_row
        targets = [self._target(target) for target in batch.targets]
        keys = batch.keys(targets)
        sent = {"place": place, "width": keys.width, "keys": keys.text}
        kept = batch.row_count - len(batch.ragged)
        self._do("add_chunk", place=place, row_count=kept, cells=batch.cells)
        self.connection.executemany(
            SQL["add_invalid"], ((source, *row, batch.ragged.get(row.row)) for row in batch.invalid)
        )
        added = self._do(statement, **sent).rowcount
        if added < len(batch.rows):
            self._do("add_known_rows", source=source, **sent)
            last = batch.first_row + batch.row_count - 1
            self._do("mark_repeats", source=source, first=batch.first_row, last=last)
        return targets

    def _target(self, target: Target) -> int:
        found = self._targets.get(target)
        if found is None:
            found = self._all(
                "add_target", org=target.org or 0, group=target.group, target=target.rule
            )[0][0]
            self._targets[target] = found
        return found

    def source_loaded(self, source: int, row_count: int, bulk: Bulk | None = None) -> None:
        """The source was read to its end. It is planned now."""
        now = time.time()
        with self._transaction():
            if bulk is None:
                self._do("add_shares", source=source)
            else:
                self._end_bulk(source, bulk)
            self._do("source_loaded", source=source, row_count=row_count, now=now)
            self._do("unwithdraw", source=source, now=now)
        self._end_loading()

    def _end_loading(self) -> None:
        self.connection.execute(CACHE)
        self.connection.execute(THREADS)

    def _end_bulk(self, source: int, bulk: Bulk) -> None:
        base = source << PLACE_BITS
        self.connection.executemany(
            SQL["add_repeat"],
            (
                {"source": source, "row": row, "item": base | first, "repeats": first}
                for row, first in bulk.repeats
            ),
        )
        self._do("drop_repeated_items", source=source)
        self._do_each("make_indexes")
        self.connection.executemany(
            SQL["add_share"],
            (
                (source, share.target, share.items, share.phone_like, base | share.first_row)
                for share in bulk.shares
            ),
        )

    def drop_source(self, source: int) -> None:
        """Forget a source whose input was refused half way."""
        self._targets.clear()
        with self._transaction():
            self._drop(source)
            self._do_each("make_indexes")
        self._end_loading()

    def _drop(self, source: int) -> None:
        for statement in ("drop_items", "drop_chunks", "drop_rows", "drop_shares", "drop_source"):
            self._do(statement, source=source)

    def confirm(self, sources: Sequence[int], base_url: str) -> None:
        """Confirm ``sources`` for ``base_url``; older contents of their paths are superseded."""
        now = time.time()
        with self._transaction():
            self._set_meta("base_url", base_url)
            superseded = 0
            for source in sources:
                self._do("confirm_source", source=source, now=now)
                superseded += self._do(
                    "supersede", source=source, sources=json.dumps(list(sources)), now=now
                ).rowcount
            if superseded:
                self._do("withdraw", now=now)

    def confirmed_sources(self) -> list[int]:
        """The sources that ``resume`` and ``retry`` may send."""
        with translated():
            return [source for (source,) in self._all("confirmed_sources")]

    def base_url(self) -> str | None:
        """The base URL that the folder's sources were confirmed for."""
        with translated():
            found = self._all("get_meta", name="base_url")
            return found[0][0] if found else None

    # ── a run ────────────────────────────────────────────────────────────────────────────────────

    def begin_run(
        self,
        run_id: str,
        command: str,
        sources: Sequence[int],
        *,
        now_s: float,
        resend_after_s: float,
        started_by: str | None = None,
    ) -> None:
        """Begin a run over ``sources``, started by ``user@host``.

        Calls in doubt are scheduled again if their unanswered attempt was sent after
        ``resend_after_s`` (Unix seconds; infinity: none), or if a person reopened them.
        """
        with self._transaction():
            # calls go by the order of rows: what was is needed no more
            self.connection.execute(SENDING_CACHE)
            self._run = self._all(
                "add_run", run_id=run_id, command=command, now=now_s, started_by=started_by
            )[0][0]
            self._set_meta("pace", "")
            for source in sources:
                self._do("add_run_source", run=self._run, source=source)
            self._do("expired_backoffs", now=now_s)
            self._do(
                "schedule_doubts",
                run=self._run,
                now=now_s,
                resend=resend_after_s != float("inf"),
                cutoff=resend_after_s,
            )
            self._spread = None
            self._lines = deque(
                _Line(statement, source << PLACE_BITS, source << PLACE_BITS | LAST_ROW)
                for source in sources
                for statement in ("fresh", "fresh_known")
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
    ) -> Turn:
        """Record ``entries``, block what is blocked, claim up to ``claim`` calls: one commit.

        When this returns, the intent of every claimed call is durable. ``only`` claims again from
        among these items alone; ``spread`` takes the calls from as many targets as there are.
        ``pace`` is how an adaptive pace stands, for ``status``.
        """
        halted = json.dumps(list(halted_orgs))
        with self._transaction():
            if pace is not None:
                self._set_meta("pace", pace)
            self._record(entries)
            number = sum(self._block(block) for block in blocked)
            self._do("park_stale_doubts", now=now_s, cutoff=resend_after_s)
            among = None if only is None else json.dumps(list(only))
            calls = self._claim(claim, now_s, halted, among, spread) if claim else []
            due = self._all("next_due", run=self._run, halted=halted, only=among)
            more = bool(due) or 0 < claim == len(calls) or self._has_fresh(halted)
        return Turn(calls, due[0][0] if due else None, more, number)

    def _claim(
        self, most: int, now_s: float, halted: str, among: str | None, spread: bool
    ) -> list[Call]:
        found = self._all("due", run=self._run, now=now_s, halted=halted, only=among, most=most)
        self._claim_all(found, now_s)
        while among is None and len(found) < most and self._has_fresh(halted):
            fresh = (spread and self._spread_call(halted)) or self._next_calls(
                most - len(found), halted
            )
            self._claim_all(fresh, now_s)
            found += fresh
        return [_call(row) for row in found]

    def _claim_all(self, found: list[Row], now_s: float) -> None:
        rows = ({"item": row[0], "run": self._run, "now": now_s} for row in found)
        self.connection.executemany(SQL["claim"], rows)

    def _has_fresh(self, halted: str) -> bool:
        """Whether a call is left that was never tried; the first line has one then."""
        while self._lines:
            found = self._look(1, halted)
            if found:
                self._lines[0].after = found[0][-1] - 1
                return True
            self._lines.popleft()
        return False

    def _look(self, most: int, halted: str) -> list[Row]:
        line = self._lines[0]
        return self._all(line.statement, after=line.after, last=line.last, halted=halted, most=most)

    def _next_calls(self, most: int, halted: str) -> list[Row]:
        """Up to ``most`` calls in the order of their rows, from the first line."""
        found = self._look(most, halted)
        self._lines[0].after = found[-1][-1]
        return found

    def _spread_call(self, halted: str) -> list[Row]:
        """A call of the target whose turn it is, if any has one near where it was last found."""
        if self._spread is None:
            self._spread = self._begin_spread(halted)
        while self._spread:
            target, after = self._spread.popleft()
            found = self._all(
                "fresh_of_target",
                run=self._run,
                target=target,
                after=after,
                last=after + SPREAD_ROWS,
                halted=halted,
            )
            if found:
                self._spread.append((target, found[0][0]))
                return found
        return []

    def _begin_spread(self, halted: str) -> deque[tuple[int, int]]:
        line = self._lines[0]
        # what stands before the first call in line was tried
        least = self._look(1, halted)[0][-1] - 1 if line.statement == "fresh" else 0
        return deque(
            (target, max(first - 1, least)) for target, first in self._all("targets_of_ledger")
        )

    def _record(self, entries: Sequence[Entry]) -> None:
        unsent = [entry for entry in entries if entry.attempt is None]
        self.connection.executemany(SQL["release"], map(_released, unsent))
        left = [_recorded(entry, entry.attempt) for entry in entries if entry.attempt]
        self.connection.executemany(SQL["add_attempt"], left)
        self.connection.executemany(SQL["record"], left)

    def _block(self, block: Blocked) -> int:
        self._do("index_pending")  # at the first block only: most runs never need it
        return self._do(
            "block",
            run=self._run,
            org=block.org or 0,
            group=block.group,
            target=block.rule,
            code=block.code,
            message=block.message,
            now=time.time(),
        ).rowcount

    def end_run(self, exit_code: int, reason: str) -> None:
        """The run ended; how."""
        with self._transaction():
            self._do("end_run", run=self._run, now=time.time(), exit_code=exit_code, reason=reason)

    def recent_starts(self, since_s: float) -> list[float]:
        """When calls of earlier runs were sent after ``since_s``, newest first (Unix seconds)."""
        starts: list[float] = []
        with translated():
            for sent_at, answered_at in self.connection.execute(SQL["recent_starts"]):
                if answered_at is not None and answered_at < since_s:
                    break  # what was recorded before it was sent before; one unanswered tells not
                starts.append(sent_at)
        return sorted((start for start in starts if start > since_s), reverse=True)

    def reopen(
        self,
        states: Sequence[State],
        codes: Sequence[str],
        targets: Sequence[str],
        *,
        now_s: float,
        check: Callable[[], None] | None = None,
    ) -> int:
        """Reopen settled calls of confirmed sources for ``retry``; how many.

        ``targets`` are ``group/target``. Empty ``codes`` or ``targets`` mean any. ``check`` sees
        what was reopened; if it raises, nothing was.
        """
        with self._transaction():
            number = self._do(
                "reopen",
                states=json.dumps([state.value for state in states]),
                codes=json.dumps(list(codes)) if codes else None,
                targets=json.dumps(list(targets)) if targets else None,
                now=now_s,
            ).rowcount
            if check:
                check()
        return number

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(), self._marking_failure():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._set_meta("commits", str(self._commits + 1))
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            self._commits += 1
            self._mark.note(self._commits)

    @contextmanager
    def _marking_failure(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError):
            self._failed = True
            raise

    def _do(self, statement: str, /, **values: object) -> sqlite3.Cursor:
        return self.connection.execute(SQL[statement], values)

    def _do_each(self, statements: str) -> None:
        for statement in SQL[statements].split(";"):
            self.connection.execute(statement)

    def _all(self, statement: str, /, **values: object) -> list[Row]:
        return self.connection.execute(SQL[statement], values).fetchall()

    def _set_meta(self, name: str, value: str) -> None:
        self._do("set_meta", name=name, value=value)


def _call(row: Row) -> Call:
    item, org, group, rule, customer, tries, doubtful, *_ = row
    return Call(item, Enrollment(customer, Target(org or None, group, rule)), tries, bool(doubtful))


def _released(entry: Entry) -> dict[str, object]:
    return {
        "item": entry.call.id,
        "state": entry.state.value,
        "not_before": entry.not_before_s,
    }


def _recorded(entry: Entry, attempt: Attempt) -> dict[str, object]:
    return {
        "item": entry.call.id,
        "state": entry.state.value,
        "not_before": entry.not_before_s,
        "charged": entry.charged,
        "mismatch": entry.mismatch,
        "sent_at": attempt.sent_at_s,
        "answered_at": attempt.answered_at_s,
        "now": attempt.answered_at_s or attempt.sent_at_s,
        "outcome": attempt.outcome,
        "code": attempt.code,
        "message": attempt.message,
        "http_status": attempt.http_status,
        "request_id": attempt.request_id,
    }


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


def _create(path: Path) -> None:
    """Make the ledger whole or not at all: a kill in here leaves no half-made ledger."""
    for left in (log_path(path), mark_path(path)):
        if left.exists() or left.is_symlink():
            what = f"{left.name} is there without {path.name}"
            raise LedgerFailed(f"{DAMAGED}: {what}", DAMAGED_REMEDY)
    with replacing(path) as part, closing(sqlite3.connect(part)) as connection:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            f"BEGIN; {SQL['schema']} {SQL['make_indexes']} COMMIT;"
        )
        # switched in its folder, a power cut could leave a journal that no reader can roll back
        connection.execute("PRAGMA journal_mode = WAL")
    sync_directory(path.parent)


def check_file(path: Path) -> None:
    """Refuse what is no ledger of ours before SQLite could take it for an empty one."""
    if path.is_symlink() or not path.is_file():
        raise LedgerFailed(f"{path} is not a regular file", DAMAGED_REMEDY)
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise LedgerFailed(f"{DAMAGED}: {path} is no SQLite file", DAMAGED_REMEDY)
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise LedgerFailed(f"{path} was not made by bulk-unenroll", DAMAGED_REMEDY)
    version = int.from_bytes(head[60:64], "big")
    if version > SCHEMA_VERSION:
        raise LedgerFailed(f"{path} was made by a newer bulk-unenroll", "upgrade bulk-unenroll")
    if version < SCHEMA_VERSION:
        raise LedgerFailed(f"{path} was made by an older bulk-unenroll", "go on with that one")


def log_path(path: Path) -> Path:
    """SQLite's write-ahead log of the ledger at ``path``."""
    return path.with_name(f"{path.name}-wal")


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the ledger at ``path`` read-only; refuse one that lost something or is damaged.

    A refused one is left as it is, with its log: only a connection that may write merges that.
    """
    check_file(path)
    mark = _mark(path)
    if isinstance(mark, ClosedMark):
        _check_seal(path, mark)
    connection = _connect_read_only(path)
    try:
        if not isinstance(mark, ClosedMark):
            _check_commits(connection, mark)
            _check_pages(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM meta").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        # WAL needs a shared-memory file; where none can be made, nobody can be writing either
        refused = "unable to open" in str(error) or "readonly" in str(error)
        if not refused or log_path(path).exists():
            raise
        return sqlite3.connect(f"{uri}?immutable=1", uri=True)
    return connection


def _mark(path: Path) -> OpenMark | ClosedMark | None:
    try:
        return read_mark(path)
    except ValueError:
        raise LedgerFailed(f"{mark_path(path)} is damaged", DAMAGED_REMEDY) from None


def _check_seal(path: Path, mark: ClosedMark) -> None:
    """Refuse a ledger that is not, byte for byte, the one that was closed."""
    log = log_path(path)
    whole = checksum(path) == mark.checksum and not (log.exists() and log.stat().st_size)
    if not whole and read_mark(path) == mark:  # else a run has begun meanwhile
        raise LedgerFailed(f"{DAMAGED}: it changed since it was closed", DAMAGED_REMEDY)


def _check_commits(connection: sqlite3.Connection, mark: OpenMark | None) -> None:
    """Refuse a ledger that was not closed and has lost commits."""
    commits = _commits(connection)
    if mark is None and _meta(connection, "open"):
        raise LedgerFailed(f"{DAMAGED}: its mark beside it is missing", DAMAGED_REMEDY)
    if mark is not None and commits < mark.commits:
        lost = f"its last {mark.commits - commits} changes are lost"
        raise LedgerFailed(f"{DAMAGED}: {lost}", DAMAGED_REMEDY)


def is_left_open(path: Path) -> bool:
    """Whether a kill left the ledger at ``path``, and it is small enough to be proven soon."""
    return path.exists() and not isinstance(_mark(path), ClosedMark) and _is_small(path)


def _is_small(path: Path) -> bool:
    return path.stat().st_size < CHECK_BELOW_BYTES


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Let SQLite look over a ledger that is small enough for it to take no time."""
    if _is_small(path):
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise LedgerFailed(f"{DAMAGED}: {found.splitlines()[0]}", DAMAGED_REMEDY)


def _commits(connection: sqlite3.Connection) -> int:
    value = _meta(connection, "commits")
    if not value.isdecimal():
        raise LedgerFailed(f"{DAMAGED}: {value!r} is no number of commits", DAMAGED_REMEDY)
    return int(value)


def _meta(connection: sqlite3.Connection, name: str) -> str:
    found = connection.execute(SQL["get_meta"], {"name": name}).fetchone()
    if found is None:
        raise LedgerFailed(f"{DAMAGED}: it does not say {name!r}", DAMAGED_REMEDY)
    return str(found[0])


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise LedgerFailed("SQLite does not keep synchronous=FULL", "use another SQLite")
    connection.execute("PRAGMA temp_store = FILE")  # an index of millions is sorted there
    connection.execute(CACHE)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
