"""Questions to a ledger, none of which changes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bulk_unenroll.ledger.counts import Counts, known_state
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.sqlite.ledger import open_reader, translated
from bulk_unenroll.ledger.sqlite.statements import SQL
from bulk_unenroll.model import State

Row = tuple[Any, ...]


@contextmanager
def reader(folder: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection; works while a run is going, and on a read-only disk.

    Raises ``LedgerFailed`` (74), also for what SQLite says inside the block.
    """
    with translated(), closing(open_reader(ledger_path(folder))) as connection:
        yield connection


def ask(connection: sqlite3.Connection, statement: str, /, **values: object) -> list[Row]:
    """All rows of a named statement; lists are passed as JSON."""
    sent = {name: _json(value) for name, value in values.items()}
    return connection.execute(SQL[statement], sent).fetchall()


def _json(value: object) -> object:
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


def sources_in_force(connection: sqlite3.Connection) -> list[int]:
    """What a folder is about: its confirmed sources, or as long as there are none the planned."""
    confirmed = ask(connection, "confirmed_sources")
    return [source for (source,) in confirmed or ask(connection, "planned_sources")]


def tally(connection: sqlite3.Connection, sources: Sequence[int]) -> list[Row]:
    """The customers/targets of ``sources``, each once, by target, state and code: one pass.

    Org, group, target, state, code, number, a customer, attempts, mismatches; in order of targets.
    Of ``pending`` ones no customer is told.
    """
    return ask(connection, "target_counts", sources=list(sources))


def count(
    connection: sqlite3.Connection, sources: Sequence[int], tallied: list[Row] | None = None
) -> Counts:
    """Count the rows and states of ``sources``, each customer/target once."""
    tallied = tally(connection, sources) if tallied is None else tallied
    counts = Counts()
    ((counts.read, counts.invalid),) = ask(connection, "row_counts", sources=list(sources))
    for _, _, _, state, code, number, _, attempts, mismatches in tallied:
        counts.states[known_state(state)] += number
        counts.unique += number
        counts.attempts += attempts
        counts.mismatches += mismatches
        if code and state != State.SUCCEEDED:
            counts.codes[code] = counts.codes.get(code, 0) + number
    ((counts.withdrawn,),) = ask(connection, "withdrawn_count")
    return counts


def callable_count(
    connection: sqlite3.Connection,
    sources: Sequence[int],
    resend_after_s: float,
    counts: Counts | None = None,
) -> int:
    """How many customers/targets a run of ``sources``, with these ``counts``, would call now."""
    counts = counts or count(connection, sources)
    resend = resend_after_s != float("inf")
    ((doubts,),) = ask(
        connection, "callable_doubts", sources=list(sources), resend=resend, cutoff=resend_after_s
    )
    return counts.states[State.PENDING] + int(doubts)


def conservation_faults(connection: sqlite3.Connection) -> list[str]:
    """What does not add up in the ledger as a whole; empty when the accounting closes."""
    known = [state.value for state in State]
    faults = _row_faults(connection, known)
    for statement, what in (
        ("rows_read_twice", "rows stand there twice"),
        ("rows_without_item", "rows name no customer/target"),
        ("rows_first_twice", "rows repeat one and do not say so"),
        ("repeats_without_row", "duplicates repeat no row"),
    ):
        ((number,),) = ask(connection, statement)
        if number:
            faults.append(f"{number} {what}")
    if faults:  # these do not count as kept
        ((number,),) = ask(connection, "unknown_states", states=known)
        if number:
            faults.insert(0, f"{number} customers/targets have no known state")
    return faults


def _row_faults(connection: sqlite3.Connection, known_states: list[str]) -> list[str]:
    """Where the rows that were read are not the rows that are kept."""
    faults = []
    ((items_left, rows_left),) = ask(connection, "numbers_of_rows")
    found = ask(connection, "rows_of_sources", states=known_states)
    for name, stated, items, rows, apart, in_chunks, shared in found:
        for kept in (items + rows, in_chunks + apart, shared + rows):
            if kept != stated:
                faults.append(f"{name}: {stated} rows were read, {kept} are kept")
        items_left, rows_left = items_left - items, rows_left - rows
    if items_left or rows_left:
        faults.append(f"{items_left + rows_left} customers/targets stand in no row of an input")
    return faults


def integrity_faults(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the file or with the fold of attempts; empty when proven."""
    faults = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    if faults:
        return faults
    for view in ("results", "attempt_history"):  # promised to others, so proven to work
        connection.execute(f"SELECT * FROM {view} LIMIT 1").fetchone()  # noqa: S608
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    if orphans:
        faults.append(f"{len(orphans)} references lead nowhere")
    broken = ask(connection, "unfolded")
    if broken:
        faults.append(f"item {broken[0][0]}: its state does not follow from its attempts")
    return faults + conservation_faults(connection)
