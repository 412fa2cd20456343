"""A source on its way into the ledger: beside what is there, or in bulk where nothing is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.places import place_of
from bulk_unenroll.ledger.sqlite.connection import Writer
from bulk_unenroll.ledger.sqlite.keys import Keys, keys_of
from bulk_unenroll.ledger.sqlite.sources import add_source, drop_source, find_source
from bulk_unenroll.model import Target
from bulk_unenroll.worker import ahead

if TYPE_CHECKING:
    from bulk_unenroll.ledger.sqlite.repeats import RepeatFinder

COMMIT_ROWS: Final = 200_000
BULK_FROM_ROWS: Final = 50_000
BULK_FROM_BYTES: Final = 1 << 25
"""As much is kept in memory to see whether it is worth a bulk."""
BULK_CACHE_KB: Final = 2_000
"""Sorting and appending go faster where they stay within the processor's cache."""
BULK_THREADS: Final = 2
"""Sorting an index may use a second core: a fifth of its time. Later sorts would take memory."""

Prepared = tuple[Batch, Keys | None]
"""A batch, and what will probably be its keys."""


def load(
    connection: Writer,
    info: SourceInfo,
    batches: Iterator[Batch],
    noticed: Callable[[], Mapping[str, object]],
) -> int:
    """The id of a source; see ``Ledger.load``."""
    known = find_source(connection, info)
    if known is not None:
        return known
    source = add_source(connection, info)
    try:
        Loading(connection, source, noticed).load(batches)
    except BaseException:
        drop_source(connection, source)
        raise
    return source


class Loading:
    """The load of one source."""

    def __init__(
        self, connection: Writer, source: int, noticed: Callable[[], Mapping[str, object]]
    ) -> None:
        self._connection = connection
        self._source = source
        self._noticed = noticed
        self._row_count = 0
        self._targets: dict[Target, int] = {}

    def load(self, batches: Iterator[Batch]) -> None:
        """Add all batches, the first ones at once, to see whether it is worth a bulk."""
        first: list[Batch] = []
        if not self._connection.fetch_one("has_items")[0]:
            while not _is_large(first) and (batch := next(batches, None)) is not None:
                first.append(batch)
        add = self._add_in_bulk if _is_large(first) else self._add
        add(chain(first, batches))
        self._connection.tune()

    # ── beside what is there: the UNIQUE key of ``item`` finds the repeats ───────────────────────

    def _add(self, batches: Iterator[Batch]) -> None:
        with closing(ahead((batch, None) for batch in batches)) as coming:
            for group in _groups(coming):
                with self._connection.transaction():
                    for batch, _ in group:
                        self._add_batch("add_new_items", batch)
        self._finish(None)

    # ── in bulk: repeats are found beside the ledger, and a UNIQUE index proves that none is left ─

    def _add_in_bulk(self, batches: Iterator[Batch]) -> None:
        from bulk_unenroll.ledger.sqlite.repeats import RepeatFinder  # numpy is slow to import

        self._begin_bulk()
        repeats = RepeatFinder()
        with closing(ahead(_with_keys(batches))) as coming:
            for group in _groups(coming):
                with self._connection.transaction():
                    for batch, keys in group:
                        repeats.add(batch, self._add_batch("add_items", batch, keys))
        self._finish(repeats)

    def _begin_bulk(self) -> None:
        self._connection.tune(BULK_CACHE_KB, BULK_THREADS)
        with self._connection.transaction():
            self._connection.execute_each("drop_indexes")

    def _end_bulk(self, found: RepeatFinder) -> None:
        source, connection = self._source, self._connection
        connection.execute_many(
            "add_repeat",
            (
                {"source": source, "row": row, "item": place_of(source, first), "repeats": first}
                for row, first in found.repeats()
            ),
        )
        connection.execute("drop_repeated_items", source=source)
        connection.execute_each("make_indexes")
        connection.execute_many(
            "add_share",
            (
                (source, of.target, of.items, place_of(source, of.first_row))
                for of in found.target_counts()
            ),
        )

    # ── both ─────────────────────────────────────────────────────────────────────────────────────

    def _add_batch(self, statement: str, batch: Batch, keys: Keys | None = None) -> list[int]:
        """Add a batch; return the ledger's numbers of its targets."""
        connection, source = self._connection, self._source
        place = place_of(source, batch.first_row)
        targets = [self._target(target) for target in batch.targets]
        if keys is None or keys.target_ids != targets:
            keys = keys_of(batch, targets)
        sent = {"place": place, "width": keys.width, "keys": keys.text}
        kept = batch.row_count - len(batch.ragged)
        connection.execute("add_chunk", place=place, row_count=kept, cells=batch.cells)
        connection.execute_many(
            "add_invalid", ((source, *row, batch.ragged.get(row.row)) for row in batch.invalid)
        )
        connection.execute_many(
            "add_line", ((source, row, line) for row, line in batch.lines.items())
        )
        added = connection.execute(statement, **sent).rowcount
        if added < len(batch.rows):
            connection.execute("add_known_rows", source=source, **sent)
            last = batch.first_row + batch.row_count - 1
            connection.execute("mark_repeats", source=source, first=batch.first_row, last=last)
        self._row_count += batch.row_count
        return targets

    def _target(self, target: Target) -> int:
        found = self._targets.get(target)
        if found is None:
            (found,) = self._connection.fetch_one(
                "add_target", org=target.org or 0, group=target.group, target=target.rule
            )
            self._targets[target] = int(found)
        return int(found)

    def _finish(self, bulk: RepeatFinder | None) -> None:
        """The source was read to its end. It is planned now."""
        now, connection = time.time(), self._connection
        with connection.transaction():
            if bulk is None:
                connection.execute("add_shares", source=self._source)
            else:
                self._end_bulk(bulk)
            connection.execute(
                "source_loaded", source=self._source, row_count=self._row_count, now=now
            )
            facts = json.dumps(self._noticed(), ensure_ascii=False)
            connection.execute("add_noticed", source=self._source, facts=facts)
            connection.execute("unwithdraw", source=self._source, now=now)


def _is_large(batches: Sequence[Batch]) -> bool:
    return (
        sum(batch.row_count for batch in batches) >= BULK_FROM_ROWS
        or sum(len(batch.cells) for batch in batches) >= BULK_FROM_BYTES
    )


def _with_keys(batches: Iterator[Batch]) -> Iterator[Prepared]:
    """The batches with their keys, if targets get the numbers that an empty ledger gives."""
    numbers: dict[Target, int] = {}
    for batch in batches:
        ids = [numbers.setdefault(target, len(numbers) + 1) for target in batch.targets]
        yield batch, keys_of(batch, ids)


def _groups(batches: Iterator[Prepared]) -> Iterator[Iterator[Prepared]]:
    """The batches in groups that are worth a commit each; each must be taken whole."""
    for first in batches:
        most = COMMIT_ROWS // first[0].row_count
        yield chain((first,), islice(batches, most))
