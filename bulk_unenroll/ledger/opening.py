"""Opens a ledger, of whatever kind it is: to work in it alone, or to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bulk_unenroll.errors import FolderBusy, Misconfigured, Next, Stop, UsageError
from bulk_unenroll.ledger.folder import ask_to_stop as ask_in_folder
from bulk_unenroll.ledger.folder import existing_folder as folder_with_ledger
from bulk_unenroll.ledger.folder import is_locked, ledger_path, locked, make_folder
from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Trust
from bulk_unenroll.ledger.job_address import NAME as POINTER
from bulk_unenroll.ledger.job_address import SharedJob, shared_job
from bulk_unenroll.ledger.loading import SharedLoading
from bulk_unenroll.ledger.moving import end_move, move
from bulk_unenroll.ledger.sqlite.copies import refuse_copy
from bulk_unenroll.ledger.sqlite.failures import damaged
from bulk_unenroll.ledger.sqlite.file import is_left_open, open_read_only, read_note
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.reader import SqliteReader


@contextmanager
def open_ledger(folder: Path, *, make: bool = True, trust: Trust = Trust.USUAL) -> Iterator[Ledger]:
    """The ledger of ``folder``, held alone; both are made if they are missing.

    Unless ``make``, a shared job must be there: ``InputMissing`` (66). ``trust``: ``LedgerBehind``
    (74) is raised for one that may not know who was called.

    One that a kill left is proven first, if it is small. Raises ``FolderUnusable`` (73),
    ``LedgerFailed`` (74), ``FolderBusy`` (75) while another process works in the folder, or
    ``Misconfigured`` (78) for a copy of a folder that is still there.
    """
    make_folder(folder)
    with locked(folder):
        if shared := shared_job(folder):
            if shared.move:
                with _needs_psycopg():
                    end_move(folder, shared)
            with open_job(shared.url, shared.job, folder, make=make, trust=trust) as job:
                yield job
            return
        if is_left_open(ledger_path(folder)):
            with open_reader(folder) as reader:
                prove(reader)
        with closing(SqliteLedger.open(folder)) as ledger:
            refuse_copy(ledger, folder)
            yield ledger


@contextmanager
def open_reader(folder: Path) -> Iterator[LedgerReader]:
    """The ledger of ``folder``, read-only: also while a run is going, and on a read-only disk.

    Raises ``LedgerFailed`` (74) for one that is damaged.
    """
    if shared := shared_job(folder):
        with open_job_reader(shared.url, shared.job) as reader:
            yield reader
        return
    with closing(open_read_only(ledger_path(folder))) as connection:
        yield SqliteReader(connection)


@contextmanager
def open_job(
    url: str,
    job: str,
    folder: Path | None = None,
    *,
    make: bool = True,
    trust: Trust = Trust.USUAL,
) -> Iterator[Ledger]:
    """The ledger of a job in PostgreSQL, held alone; it is made if it is missing.

    ``folder`` keeps the mark of what it has seen of the job. ``make`` and ``trust`` as in
    ``open_ledger``. Raises ``LedgerFailed`` (74), ``FolderBusy`` (75) while another process works
    on the job, or ``Misconfigured`` (78) for a server that could lose what it confirmed.
    """
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
        from bulk_unenroll.ledger.postgres.mark import Mark

    mark = Mark(folder) if folder else None
    with _naming(folder):
        opened = PostgresLedger.open(url, job, make=make, mark=mark, trust=trust)
    with closing(opened) as ledger:
        yield ledger


@contextmanager
def open_job_reader(url: str, job: str) -> Iterator[LedgerReader]:
    """The ledger of a job in PostgreSQL, read-only: also while a run is going.

    Raises ``InputMissing`` (66) if there is no such job.
    """
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.job import open_to_read
        from bulk_unenroll.ledger.postgres.reader import PostgresReader
        from bulk_unenroll.ledger.postgres.session import Address

    with closing(open_to_read(Address.of(url, job))) as connection:
        yield PostgresReader(connection)


@contextmanager
def join_run(folder: Path, started_by: str) -> Iterator[tuple[Ledger, str, list[int]] | None]:
    """Join the run of a shared job as a further sender: its ledger, the run's id and sources.

    None where no run goes on. Raises ``InputMissing`` (66) if there is no such job, and
    ``UsageError`` (2) for a folder whose ledger is its own.
    """
    shared = shared_job(folder)
    if shared is None:
        raise UsageError(
            f"{folder} has a ledger of its own, which one process alone works with",
            "give --ledger and --job, or resume the folder",
        )
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
        from bulk_unenroll.ledger.postgres.mark import Mark

    if shared.move:
        with locked(folder):
            end_move(folder, shared)
    with closing(PostgresLedger.beside_others(shared.url, shared.job, mark=Mark(folder))) as ledger:
        with _naming(folder):
            joined = ledger.join(started_by)
        yield None if joined is None else (ledger, *joined)


@contextmanager
def beside_planner(folder: Path) -> Iterator[SharedLoading | None]:
    """What others load of the job that a run folder names; None for a ledger of its own.

    Raises ``InputMissing`` (66) if there is no such job.
    """
    shared = shared_job(folder)
    if shared is None:
        yield None
        return
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.ledger import PostgresLedger

    with closing(PostgresLedger.beside_others(shared.url, shared.job)) as ledger:
        yield ledger.loading


def move_to(job: SharedJob, ledger: Ledger, folder: Path, starts_from_s: float) -> None:
    """Move a job to PostgreSQL for good, within its folder's lock; see ``moving``.

    No call starts before ``starts_from_s`` (Unix seconds). Raises ``UsageError`` (2) for a folder
    whose ledger is there already, or where there is such a job.
    """
    if not isinstance(ledger, SqliteLedger):
        raise UsageError(f"{folder} has no ledger of its own that could be moved")
    with _needs_psycopg():
        move(ledger, folder, job, starts_from_s)


def has_ledger(folder: Path) -> bool:
    """Whether a folder is a run folder: it has a ledger, or says where it is."""
    return ledger_path(folder).is_file() or (folder / POINTER).is_file()


def existing_folder(given: Path) -> Path:
    """The run folder that ``given`` names, itself or by its ledger; raises ``InputMissing``."""
    folder = given.parent if given.is_file() else given
    return folder if has_ledger(folder) else folder_with_ledger(given)


def works_now(folder: Path) -> bool:
    """Whether any process works in a folder, or anywhere on the job that it names."""
    if (shared := shared_job(folder)) is None:
        return is_locked(folder)
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.job import open_to_read
        from bulk_unenroll.ledger.postgres.session import Address
        from bulk_unenroll.ledger.postgres.stopping import is_sending

    with closing(open_to_read(Address.of(shared.url, shared.job))) as connection:
        return is_sending(connection)


def ask_to_stop(folder: Path) -> bool:
    """Ask the processes that work in a folder, or on the job that it names, to stop cleanly.

    Return whether there are any.
    """
    if (shared := shared_job(folder)) is None:
        if goes_on := is_locked(folder):
            ask_in_folder(folder)
        return goes_on
    with _needs_psycopg():
        from bulk_unenroll.ledger.postgres.session import Address
        from bulk_unenroll.ledger.postgres.stopping import ask_to_stop as ask_senders

    with _naming(folder):
        return ask_senders(Address.of(shared.url, shared.job))


@contextmanager
def _naming(folder: Path | None) -> Iterator[None]:
    """Let who finds a job busy look at it by its folder here: that says where its ledger is."""
    try:
        yield
    except FolderBusy as busy:
        if folder:
            busy.next = Next("status", (str(folder),))
        raise


@contextmanager
def _needs_psycopg() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise Misconfigured(
            "a ledger in PostgreSQL needs psycopg, which is not installed",
            "pip install 'bulk-unenroll[postgres]'",
        ) from None


def noted_history(folder: Path) -> str | None:
    """What a ledger notes for the history, without opening it in full. Raises ``OSError``."""
    return read_note(ledger_path(folder), "history")


def prove(reader: LedgerReader) -> None:
    """Raise ``LedgerFailed`` (74) that names the first thing wrong with a ledger."""
    faults = reader.integrity_faults()
    if faults:
        raise damaged(faults[0])


def check_conservation(reader: LedgerReader) -> None:
    """Raise ``Stop`` (70) that names the first thing that does not add up."""
    faults = reader.conservation_faults()
    if faults:
        raise Stop(f"the accounting does not close: {faults[0]}", "please report this")
