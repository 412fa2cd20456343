"""Questions to a ledger in PostgreSQL, none of which changes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from bulk_unenroll.ledger import reader
from bulk_unenroll.ledger.facts import Arriving, AttemptRow, SenderFact
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import is_held
from bulk_unenroll.ledger.postgres.proof import conservation_faults, integrity_faults
from bulk_unenroll.ledger.results import chosen_by


class PostgresReader(reader.StatementReader[Connection]):
    """See ``LedgerReader``."""

    @contextmanager
    def at_one_moment(self) -> Iterator[LedgerReader]:
        """See ``LedgerReader.at_one_moment``."""
        here = self._connection
        connection = here.bridged(lambda: Connection.open(here.address, to_write=False))
        with closing(connection), connection.at_one_moment():
            yield PostgresReader(connection)

    def senders(self) -> list[SenderFact]:
        """See ``LedgerReader.senders``."""
        return [SenderFact(*row) for row in self._connection.fetch_all("senders")]

    def arriving(self) -> Arriving | None:
        """See ``LedgerReader.arriving``. What a killed planner left is not being loaded."""
        found = Arriving(*self._connection.fetch_one("arriving_so_far"))
        return found if found.parts and is_held(self._connection) else None

    def recent_starts(self, since_s: float) -> list[float]:
        """See ``LedgerReader.recent_starts``."""
        found = self._connection.fetch_all("recent_starts", since=since_s)
        return [sent_s for (sent_s,) in found]

    def attempt_pages(self, selection: Selection) -> Iterator[list[AttemptRow]]:
        """See ``LedgerReader.attempt_pages``.

        In the order of customers/targets: several may record at once, so there is no other one.
        """
        chosen = {**chosen_by(selection), "sources": self._sources_of(selection)}
        item, attempt, most = 0, 0, reader.PAGE_ROWS
        while found := self._connection.fetch_all(
            "attempt_rows", item=item, attempt=attempt, most=most, **chosen
        ):
            page = [AttemptRow._make(row[:-1]) for row in found]
            item, attempt = found[-1][-1], page[-1].attempt
            yield page
        if unanswered := self._connection.fetch_all("attempts_on_their_way", **chosen):
            yield [AttemptRow._make(row) for row in unanswered]

    def conservation_faults(self) -> list[str]:
        """See ``LedgerReader.conservation_faults``."""
        return conservation_faults(self._connection)

    def integrity_faults(self) -> list[str]:
        """See ``LedgerReader.integrity_faults``."""
        return integrity_faults(self._connection)
