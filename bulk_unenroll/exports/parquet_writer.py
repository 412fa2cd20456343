"""Rows as a Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pyarrow import parquet as pq

from bulk_unenroll.exports.arrow import SCHEMA, batch_of
from bulk_unenroll.ledger.facts import ResultPage


class ParquetWriter:
    """Writes rows; ``named`` returns the input's own cells of a row, by column."""

    def __init__(
        self, path: Path, named: Callable[[ResultPage], Iterable[Mapping[str, Any]]]
    ) -> None:
        self._named = named
        self._file = pq.ParquetWriter(path, SCHEMA)

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, page: ResultPage) -> None:
        """Add rows."""
        self._file.write_batch(batch_of(page, self._named))
