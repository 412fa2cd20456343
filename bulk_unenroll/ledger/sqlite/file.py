"""The file of a ledger: made whole or not at all; opened only if it lost nothing.

It is a SQLite database in WAL mode with ``synchronous=FULL``: what is committed survives power loss
(sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import LedgerFailed, Misconfigured, Moved, Next, OptionValue
from bulk_unenroll.files import replacing, sync_directory
from bulk_unenroll.ledger.sqlite.connection import Connection, Writer, checkpoint, connect
from bulk_unenroll.ledger.sqlite.failures import (
    REMEDY,
    LedgerHeld,
    damaged,
    primary_code,
    translated,
)
from bulk_unenroll.ledger.sqlite.mark import (
    ClosedMark,
    Mark,
    OpenMark,
    mark_path,
    read_mark,
)
from bulk_unenroll.ledger.sqlite.seal import Found
from bulk_unenroll.ledger.sqlite.statements import SQL
from bulk_unenroll.ledger.sqlite.temporary_files import keep_temporary_files, sweep
from bulk_unenroll.ledger.sqlite.written_here import (
    OPENING,
    begin_writing,
    is_written_here,
    writes_none,
)

APPLICATION_ID: Final = 0x62756E72
SCHEMA_VERSION: Final = 4
OLDEST_VERSION: Final = 3
MOVED_VERSION: Final = 1_000_000
MOVED: Final = "moved"
"""A ledger that was closed for good has this version; under this name it notes where its job is."""
CHECK_BELOW_BYTES: Final = 256 << 20
SYNCHRONOUS_FULL: Final = 2
OLDEST_SQLITE: Final = (3, 37, 0)
"""The first with STRICT tables (sqlite.org/stricttables.html)."""
OLDEST_SQLITE_NAME: Final = "3.37"
CHANGED: Final = "it changed since it was closed"


def check_version() -> None:
    """Raise ``Misconfigured`` (78) where SQLite is too old to read a ledger."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Misconfigured(
            f"the SQLite of this Python is {sqlite3.sqlite_version}; {OLDEST_SQLITE_NAME} or newer"
            " is needed",
            "use a newer Python or system",
        )


def log_path(path: Path) -> Path:
    """SQLite's write-ahead log of the ledger at ``path``."""
    return path.with_name(f"{path.name}-wal")


# ── to write ─────────────────────────────────────────────────────────────────────────────────────


def open_writer(path: Path) -> Writer:
    """Open the ledger at ``path`` to write, making it if there is none."""
    check_version()
    with translated(path), OPENING:
        sweep(path.parent)
        if not path.exists() and not path.is_symlink():
            _create(path)
        with closing(open_read_only(path)) as reader:
            commits = _commits(reader)
        mark = Mark.begin(path, commits)
        is_alone = writes_none()
        with begin_writing(path):
            raw = connect(path)
            writer = Writer(raw, path, mark, commits)
            try:
                with translated(path):
                    keep_temporary_files(raw, path.parent, alone=is_alone)
                    prepare(raw)
                    if _upgrade(raw):
                        mark.keep()
                writer.tune()
            except BaseException as error:
                writer.abandon(unchanged=isinstance(error, LedgerHeld))
                raise
    return writer


def _create(path: Path) -> None:
    """Make the ledger whole or not at all: a kill in here leaves no half-made ledger."""
    for left in (log_path(path), mark_path(path)):
        if left.exists() or left.is_symlink():
            raise damaged(f"{left.name} is there without {path.name}")
    with replacing(path) as part, closing(sqlite3.connect(part)) as raw:
        raw.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            f"BEGIN; {SQL['schema']} {SQL['schema_4']} {SQL['views']} {SQL['make_indexes']}"
            f" {SQL['new_id']} COMMIT;"
        )
        # switched in its folder, a power cut could leave a journal that no reader can roll back
        raw.execute("PRAGMA journal_mode = WAL")
    sync_directory(path.parent)


def _upgrade(raw: sqlite3.Connection) -> bool:
    if _version(raw) >= SCHEMA_VERSION:
        return False
    raw.executescript(
        f"BEGIN IMMEDIATE; {SQL['schema_4']} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
    return True


def _version(raw: sqlite3.Connection) -> int:
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    return int(version)


def prepare(raw: sqlite3.Connection) -> None:
    """Make commits durable, and merge what a kill left in the log."""
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    if raw.execute("PRAGMA synchronous").fetchone()[0] != SYNCHRONOUS_FULL:
        raise LedgerFailed("SQLite does not keep synchronous=FULL", "use another SQLite")
    raw.execute("PRAGMA temp_store = FILE")  # an index of millions is sorted there
    checkpoint(raw)


# ── to read ──────────────────────────────────────────────────────────────────────────────────────


def open_read_only(path: Path) -> Connection:
    """Open the ledger at ``path`` to read; refuse one that lost something or is damaged.

    A refused one is left as it is, with its log: only a connection that may write merges that.
    """
    check_version()
    with translated(path), OPENING:
        if is_written_here(path):  # it was found whole when it was opened
            return connect_read_only(path)
        check_file(path)
        mark = _mark(path)
        is_added_to = isinstance(mark, ClosedMark) and check_seal(path, mark)
        connection = connect_read_only(path)
        try:
            if not isinstance(mark, ClosedMark):
                check_commits(connection, mark)
                _check_pages(connection)
            elif is_added_to:
                check_added(connection, mark)
                _check_pages(connection)
            check_not_moved(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def check_not_moved(connection: Connection) -> None:
    """Raise ``Moved`` (78) for a ledger whose job goes on elsewhere, and say where."""
    if noted := connection.meta(MOVED):
        to = json.loads(noted)
        where: dict[str, OptionValue] = {"job": to["job"]}
        where |= {"ledger": to["url"]} if to["url"] else {}
        raise Moved(
            f"{connection.path.parent} is closed: its job goes on as {to['job']} in {to['place']}",
            "give --job, and --ledger or its variable, in place of the folder",
            Next("status", (), where),
        )


def connect_read_only(path: Path) -> Connection:
    """Connect to a ledger that was found to be whole."""
    uri = path.absolute().as_uri()
    raw = connect(f"{uri}?mode=ro", uri=True)
    try:
        raw.execute("SELECT 1 FROM meta").fetchone()
    except sqlite3.DatabaseError as error:
        raw.close()
        # WAL needs a shared-memory file; where none can be made, nobody can be writing either
        refused = primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not refused or log_path(path).exists():
            raise
        raw = connect(f"{uri}?immutable=1", uri=True)
    if _version(raw) < SCHEMA_VERSION:  # what it does not have yet is empty
        raw.executescript(SQL["schema_4"].replace("CREATE TABLE", "CREATE TEMP TABLE"))
    keep_temporary_files(raw, path.parent, alone=False)
    return Connection(raw, path)


def check_file(path: Path) -> None:
    """Refuse what is not a ledger of ours before SQLite could take it for an empty one."""
    if path.is_symlink() or not path.is_file():
        raise LedgerFailed(f"{path} is not a regular file", REMEDY)
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise damaged(f"{path} is not a SQLite file")
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise LedgerFailed(f"{path} was not made by bulk-unenroll", REMEDY)
    version = int.from_bytes(head[60:64], "big")
    if SCHEMA_VERSION < version != MOVED_VERSION:
        raise LedgerFailed(f"{path} was made by a newer bulk-unenroll", "upgrade bulk-unenroll")
    if version < OLDEST_VERSION:
        raise LedgerFailed(f"{path} was made by an older bulk-unenroll", "go on with that one")


def check_seal(path: Path, mark: ClosedMark) -> bool:
    """Refuse a ledger whose rows are not, byte for byte, those that were closed.

    Whether something was added to it; then its schema is still to be compared.
    """
    found = mark.seal.look_at(path, log_path(path))
    if found is Found.AS_IT_WAS or read_mark(path) != mark:  # a run has begun meanwhile
        return False
    if found is Found.CHANGED:
        raise damaged(CHANGED)
    return True


def check_added(connection: Connection, mark: ClosedMark) -> None:
    """Refuse a ledger to which another program did more than to add something of its own."""
    if not mark.seal.is_of(connection.raw):
        raise damaged(CHANGED)


def check_commits(connection: Connection, mark: OpenMark | None) -> None:
    """Refuse a ledger that was not closed and has lost commits."""
    commits = _commits(connection)
    if mark is None and _meta(connection, "open"):
        raise damaged("its mark beside it is missing")
    if mark is not None and commits < mark.commits:
        raise damaged(f"its last {mark.commits - commits} changes are lost")


def is_left_open(path: Path) -> bool:
    """Whether a kill left the ledger at ``path``, and it is small enough to be proven soon."""
    return path.exists() and not isinstance(_mark(path), ClosedMark) and _is_small(path)


def _is_small(path: Path) -> bool:
    return path.stat().st_size < CHECK_BELOW_BYTES


def _check_pages(connection: Connection) -> None:
    """Run SQLite's integrity check, on a ledger that is small enough for that."""
    if _is_small(connection.path):
        found = connection.raw.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(found.splitlines()[0])


def _mark(path: Path) -> OpenMark | ClosedMark | None:
    try:
        return read_mark(path)
    except ValueError:
        raise LedgerFailed(f"{mark_path(path)} is damaged", REMEDY) from None


def _commits(connection: Connection) -> int:
    value = _meta(connection, "commits")
    if not value.isdecimal():
        raise damaged(f"{value!r} is not a number of commits")
    return int(value)


def _meta(connection: Connection, name: str) -> str:
    value = connection.meta(name)
    if value is None:
        raise damaged(f"it does not say {name!r}")
    return value


def read_note(path: Path, name: str) -> str | None:
    """One note of a ledger at ``path``, read past its log, locks and mark: it may be old.

    Raises ``OSError``, ``sqlite3.Error``. Of a ledger that this process writes there is none: to
    close another descriptor of it would drop SQLite's locks.
    """
    with OPENING:
        if is_written_here(path):
            return None
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as raw:
            found = raw.execute(SQL["get_meta"], {"name": name}).fetchone()
    return str(found[0]) if found else None
