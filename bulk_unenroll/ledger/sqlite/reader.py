"""Questions to a ledger in SQLite, none of which changes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from bulk_unenroll.ledger import reader
from bulk_unenroll.ledger.facts import AttemptRow
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.ledger.results import chosen_by
from bulk_unenroll.ledger.sqlite.connection import Connection
from bulk_unenroll.ledger.sqlite.failures import translated
from bulk_unenroll.ledger.sqlite.file import connect_read_only
from bulk_unenroll.ledger.sqlite.proof import conservation_faults, integrity_faults


class SqliteReader(reader.StatementReader[Connection]):
    """See ``LedgerReader``."""

    @contextmanager
    def at_one_moment(self) -> Iterator[LedgerReader]:
        """See ``LedgerReader.at_one_moment``."""
        with translated(self._connection.path):
            connection = connect_read_only(self._connection.path)
        with closing(connection):
            connection.raw.execute("BEGIN")
            yield SqliteReader(connection)

    def senders(self) -> None:
        """See ``LedgerReader.senders``."""
        return

    def arriving(self) -> None:
        """See ``LedgerReader.arriving``."""
        return

    def recent_starts(self, since_s: float) -> list[float]:
        """See ``LedgerReader.recent_starts``."""
        starts: list[float] = []
        with (
            translated(self._connection.path),
            closing(self._connection.execute("recent_starts")) as attempts,
        ):
            for sent_s, answered_s in attempts:
                if answered_s is not None and answered_s < since_s:
                    break  # what was recorded before was sent before; one unanswered says nothing
                starts.append(sent_s)
        return sorted((start for start in starts if start > since_s), reverse=True)

    def attempt_pages(self, selection: Selection) -> Iterator[list[AttemptRow]]:
        """See ``LedgerReader.attempt_pages``."""
        chosen = {**chosen_by(selection), "sources": self._sources_of(selection)}
        after = 0
        while found := self._connection.fetch_all(
            "attempt_rows", after=after, most=reader.PAGE_ROWS, **chosen
        ):
            after = found[-1][-1]
            yield [AttemptRow._make(row[:-1]) for row in found]
        if unanswered := self._connection.fetch_all("attempts_on_their_way", **chosen):
            yield [AttemptRow._make(row) for row in unanswered]

    def conservation_faults(self) -> list[str]:
        """See ``LedgerReader.conservation_faults``."""
        return conservation_faults(self._connection)

    def integrity_faults(self) -> list[str]:
        """See ``LedgerReader.integrity_faults``."""
        return integrity_faults(self._connection)
