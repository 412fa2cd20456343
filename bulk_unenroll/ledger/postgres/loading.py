"""A source on its way into the ledger: staged by COPY, then sorted out, in one transaction.

So nothing of it is seen, or stays, unless all of it was read. The staged rows are in a temporary
table, and the ledger's tables are locked for nobody while an input is read. Where several processes
load the parts of an order, ``arrivals`` does the same steps in transactions of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.places import place_of
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.failures import translated
from bulk_unenroll.ledger.postgres.sources import add_source, find_source
from bulk_unenroll.ledger.postgres.staging import as_copy
from bulk_unenroll.ledger.postgres.statements import SQL
from bulk_unenroll.model import Target
from bulk_unenroll.worker import ahead


def load(
    connection: Connection,
    info: SourceInfo,
    batches: Iterator[Batch],
    noticed: Callable[[], Mapping[str, object]],
) -> int:
    """The id of a source; see ``Ledger.load``."""
    with connection.transaction():
        known = find_source(connection, info)
        if known is not None:
            return known
        source = add_source(connection, info)
        stager = Stager(connection, source)
        work_in_memory(connection)
        connection.send("make_staged")
        stager.stage(batches)
        connection.send("count_staged")
        has_known = has_indexes(connection)
        sort_out(connection, [source], 0, has_known=has_known)
        if not has_known:  # they come after many rows
            connection.run_script("make_indexes")
        connection.send("count_items")
        finish(connection, source, stager.row_count, as_text(noticed))
    return source


class Stager:
    """Stages the rows of one source, and keeps each as it was.

    ``beside`` is a connection outside of the transaction. Others need the targets that it adds, and
    would wait for its end; without it nobody else loads.
    """

    def __init__(
        self, connection: Connection, source: int, beside: Connection | None = None
    ) -> None:
        self._connection = connection
        self._beside = beside
        self._source = source
        self._targets: dict[Target, int] = {}
        self.row_count = 0

    def stage(self, batches: Iterator[Batch]) -> None:
        """Stage all batches; each is made while the one before is sent."""
        with closing(ahead(batches)) as coming:
            for batch in coming:
                self._stage(batch)

    def _stage(self, batch: Batch) -> None:
        place = place_of(self._source, batch.first_row)
        self._add_targets(batch, place)
        targets = [self._targets[target] for target in batch.targets]
        with (
            translated(),
            self._connection.raw.cursor() as cursor,
            cursor.copy(SQL["stage"]) as copy,
        ):
            copy.write(as_copy(batch, place, targets, divided=self._beside is not None))
        self._add_rows_as_they_were(batch, place)
        self.row_count += batch.row_count

    def _add_rows_as_they_were(self, batch: Batch, place: int) -> None:
        connection, source = self._connection, self._source
        kept = batch.row_count - len(batch.ragged)
        connection.execute("add_chunk", place=place, row_count=kept, cells=batch.cells)
        if batch.invalid:
            connection.execute(
                "add_invalid",
                source=source,
                rows=[row.row for row in batch.invalid],
                codes=[row.code for row in batch.invalid],
                messages=[row.message for row in batch.invalid],
                cells=[batch.ragged.get(row.row) for row in batch.invalid],
            )
        if batch.lines:
            rows, lines = list(batch.lines), list(batch.lines.values())
            connection.execute("add_lines", source=source, rows=rows, lines=lines)

    def _add_targets(self, batch: Batch, place: int) -> None:
        """Get the ledger's numbers of those targets of a batch that are new."""
        new = [target for target in batch.targets if target not in self._targets]
        if not new:
            return
        named = {
            "orgs": [target.org or 0 for target in new],
            "groups": [target.group for target in new],
            "targets": [target.rule for target in new],
        }
        connection = self._beside or self._connection
        connection.execute("add_targets", place=place, **named)
        found = connection.fetch_all("find_targets", **named)
        self._targets |= zip(new, (number for (number,) in found), strict=True)


def work_in_memory(connection: Connection, at_most: str = "0") -> None:
    """Let a transaction sort in memory, and wait for an input; the server ends one that stands
    still, or takes for a statement, longer than ``at_most``.
    """
    connection.send("work_in_memory", at_most=at_most)


def has_indexes(connection: Connection) -> bool:
    """Whether the ledger has its indexes: it has them once there is an input in it."""
    return bool(connection.fetch_one("has_indexes")[0])


def sort_out(
    connection: Connection, sources: Sequence[int], division: int, *, has_known: bool
) -> None:
    """Find the repeats and what is known among staged rows of ``sources``, and keep the rest."""
    ids = list(sources)
    connection.execute("add_repeats", division=division, has_known=has_known)
    if has_known:
        connection.execute("add_known", division=division, sources=ids)
    connection.execute("add_items", division=division, sources=ids)


def finish(connection: Connection, source: int, row_count: int, noticed: str) -> None:
    """A source was read to its end, and sorted out. It is planned now."""
    now = time.time()
    connection.execute("add_shares", source=source)
    connection.execute(
        "source_loaded", source=source, row_count=row_count, now=now, noticed=noticed
    )
    connection.execute("unwithdraw", source=source, now=now)


def as_text(noticed: Callable[[], Mapping[str, object]]) -> str:
    """What was noticed while a source was read, as JSON."""
    return json.dumps(noticed(), ensure_ascii=False)
