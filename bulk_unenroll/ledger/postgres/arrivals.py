"""Loads one order by several processes, each some of its parts.

Each part is staged in a transaction of its own. Once all are in, repeats are found in divisions of
the customers, each again in a transaction. Then the process that plans accounts for all rows: only
now the sources exist. What an unfinished order leaves is in no source; the next plan drops it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any, Final

from bulk_unenroll.errors import Stop
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.loading import ArrivingPart, SourceInfo
from bulk_unenroll.ledger.postgres.connection import Connection
from bulk_unenroll.ledger.postgres.job import is_held
from bulk_unenroll.ledger.postgres.loading import (
    Stager,
    as_text,
    finish,
    has_indexes,
    sort_out,
    work_in_memory,
)
from bulk_unenroll.ledger.postgres.sources import add_source, find_source

ORDER: Final = "arriving"
"""Under this name the ledger notes how the order is read; without it nobody takes a part."""
PATIENCE: Final = "10min"
"""How long a loader may wait for its input, or stand still, until another one takes its part."""
LAST: Final = (1 << 31) - 1
LOOK_S: Final = 0.1


class Arrivals:
    """See ``SharedLoading``."""

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connect = connection
        self._order = ""
        self._plans = False

    # ── the process that plans ───────────────────────────────────────────────────────────────────

    def begin(self, order: Mapping[str, object], parts: Sequence[ArrivingPart]) -> None:
        """See ``SharedLoading.begin``."""
        connection = self._connect()
        self._order = json.dumps({"id": uuid.uuid4().hex, **order}, ensure_ascii=False)
        self._plans = True
        with connection.transaction():
            connection.run_script("make_divisions")
            connection.execute(
                "add_arriving",
                files=[part.file and json.dumps(dict(part.file)) for part in parts],
                contents=[part.content for part in parts],
            )
            connection.set_meta(ORDER, self._order)

    def finish(self) -> list[int]:
        """See ``SharedLoading.finish``."""
        connection = self._connect()
        with connection.transaction():
            connection.send("count_staged")
            connection.execute("add_divisions")
        while connection.fetch_one("divisions_left")[0]:
            if not self.sort_out():  # others have the last ones
                time.sleep(LOOK_S)
        with connection.transaction():
            return self._close_account(connection)

    def _close_account(self, connection: Connection) -> list[int]:
        work_in_memory(connection)
        if not has_indexes(connection):
            connection.run_script("make_indexes")
        arrived = connection.fetch_all("arrivals")
        read = sum(row_count for _, _, row_count, _ in arrived)
        (kept,) = connection.fetch_one("rows_arrived")
        if kept != read:
            raise Stop(f"{read} rows were read, {kept} are kept", "plan it again")
        sources = []
        for source, told, row_count, noticed in arrived:
            info = _info(told)
            known = find_source(connection, info)
            if known is None:
                finish(connection, add_source(connection, info, source), row_count, noticed)
            sources.append(source if known is None else known)
        connection.run_script("end_arrivals")
        connection.send("count_items")
        return sources

    def loaded(self) -> dict[int, int]:
        """See ``SharedLoading.loaded``."""
        return dict(self._connect().fetch_all("parts_loaded"))

    def give_up(self) -> None:
        """Drop an order that was not loaded to its end, and disconnect its loaders."""
        connection = self._connect()
        if not connection.fetch_one("has_arrivals")[0]:
            return
        connection.execute("close_arrivals")
        connection.send("end_loaders")
        with connection.transaction():
            connection.execute("forget_arrivals")
            connection.run_script("end_arrivals")

    # ── the loaders ──────────────────────────────────────────────────────────────────────────────

    def order(self) -> Mapping[str, Any] | None:
        """See ``SharedLoading.order``."""
        connection = self._connect()
        self._order = (is_held(connection) and connection.meta(ORDER)) or ""
        return json.loads(self._order) if self._order else None

    @contextmanager
    def lease(self, before: int = LAST, but: Collection[int] = ()) -> Iterator[LeasedPart | None]:
        """See ``SharedLoading.lease``."""
        connection = self._connect()
        with connection.transaction():
            work_in_memory(connection, self._patience)
            found = connection.fetch_all(
                "lease_part", order=self._order, plans=self._plans, before=before, but=list(but)
            )
            yield LeasedPart(connection, *found[0]) if found else None

    def sort_out(self) -> bool:
        """See ``SharedLoading.sort_out``."""
        connection = self._connect()
        with connection.transaction():
            work_in_memory(connection, self._patience)
            found = connection.fetch_all("lease_division", order=self._order)
            for (division,) in found:
                sources = [source for (source,) in connection.fetch_all("arriving_sources")]
                sort_out(connection, sources, division, has_known=has_indexes(connection))
                connection.execute("division_sorted", number=division)
        return bool(found)

    @property
    def _patience(self) -> str:
        """Without end for who plans: there is nobody who would do better."""
        return "0" if self._plans else PATIENCE


class LeasedPart:
    """See ``ledger.loading.LeasedPart``."""

    def __init__(
        self, connection: Connection, number: int, source: int, file: str | None, content: str
    ) -> None:
        self._connection = connection
        self._source = source
        self.number = number
        self.part = ArrivingPart(json.loads(file) if file else None, content)

    def load(
        self,
        info: SourceInfo,
        batches: Iterator[Batch],
        noticed: Callable[[], Mapping[str, object]] = dict,
    ) -> int:
        """See ``Ledger.load``."""
        connection = self._connection
        (is_known,) = connection.fetch_one(
            "is_known", path=info.path, sha256=info.sha256, reading=info.reading
        )
        row_count = 0
        if not is_known:
            with closing(Connection.open(connection.address, to_write=True)) as beside:
                stager = Stager(connection, self._source, beside)
                stager.stage(batches)
            row_count = stager.row_count
        connection.execute(
            "part_loaded",
            number=self.number,
            info=json.dumps(asdict(info), ensure_ascii=False),
            row_count=row_count,
            noticed=as_text(noticed),
        )
        return self._source


def _info(told: str) -> SourceInfo:
    values = json.loads(told)
    return SourceInfo(**{**values, "header": tuple(values["header"])})
