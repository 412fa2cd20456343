"""One input on its way into the ledger: pieces → batches, each of limited size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.never import Never
from bulk_unenroll.inputs.own_files import is_own
from bulk_unenroll.inputs.own_status import OwnStatus
from bulk_unenroll.inputs.source import Source
from bulk_unenroll.inputs.staging import batch_of
from bulk_unenroll.inputs.tally import Tally
from bulk_unenroll.ledger.batch import Batch
from bulk_unenroll.ledger.loading import Into, SourceInfo

OnRead = Callable[[int, int], object]
"""Is called with how many rows and bytes were read so far."""


class Progress:
    """Tells ``on_read`` how much of all inputs was read."""

    def __init__(self, on_read: OnRead) -> None:
        self._on_read = on_read
        self._rows = self._bytes = self._rows_here = 0

    def read(self, rows: int, position_bytes: int) -> None:
        """So much of one input was read."""
        self._rows_here = rows
        self._on_read(self._rows + rows, self._bytes + position_bytes)

    def ended(self, size_bytes: int) -> None:
        """All of that input was read."""
        self.set(self._rows + self._rows_here, self._bytes + size_bytes)

    def set(self, rows: int, read_bytes: int) -> None:
        """So much was read of the inputs that are read to their ends."""
        self._rows, self._bytes, self._rows_here = rows, read_bytes, 0
        self._on_read(rows, read_bytes)


@dataclass(frozen=True, slots=True)
class Loader:
    """How the inputs of an order are read, by whichever process reads one.

    The rows that ``never`` protects are invalid. ``at_home`` as in ``OwnStatus``.
    """

    reading: ReadSettings
    never: Never
    at_home: bool

    @property
    def signature(self) -> str:
        """See ``ReadSettings.signature``."""
        return self.reading.signature(self.never.sha256)

    def load(self, into: Into, source: Source, on_read: OnRead) -> int:
        """Load an open input; return its source's id. ``on_read`` is told of this input alone."""
        file = source.file
        info = SourceInfo(
            path=file.path,
            name=file.display,
            sha256=source.sha256,
            reading=self.signature,
            header=source.mapper.kept,
            part_of=file.part_of,
        )
        tally, status = Tally(), OwnStatus(source.mapper.header, at_home=self.at_home)

        def noticed() -> dict[str, object]:
            own = is_own(source.header)
            return {**tally.noticed(), "own": own, "done": status.done, **source.noticed}

        batches = self._limited(self._batches(source, tally, status, on_read), file)
        return into.load(info, batches, noticed)

    def _batches(
        self, source: Source, tally: Tally, status: OwnStatus, on_read: OnRead
    ) -> Iterator[Batch]:
        rows = 0
        for piece in source.pieces():
            with source.naming():
                batch = self.never.keep_out(batch_of(piece, source.mapper))
            batch = status.decide(piece, batch)
            tally.add(batch.customers, batch.rows, batch.first_row)
            rows += batch.row_count
            on_read(rows, source.position_bytes)
            yield batch

    def _limited(self, batches: Iterator[Batch], file: InputFile) -> Iterator[Batch]:
        max_rows = self.reading.max_rows
        for batch in batches:
            if batch.first_row + batch.row_count - 1 > max_rows:
                raise InputRefused(
                    f"{file.display}: there are more than {max_rows:,} rows",
                    "check the file; if it is right, give a larger --max-rows",
                )
            yield batch
