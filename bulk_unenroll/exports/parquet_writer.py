"""Rows as a Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import parquet as pq

from bulk_unenroll.exports.arrow import SCHEMA, batch_of
from bulk_unenroll.ledger.facts import ResultRow


class ParquetWriter:
    """Writes rows; ``named`` returns the input's own cells of a row, by column."""

    def __init__(self, path: Path, named: Callable[[ResultRow], Mapping[str, Any]]) -> None:
        self._named = named
        self._file = pq.ParquetWriter(path, SCHEMA)

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: Sequence[ResultRow]) -> None:
        """Add rows."""
        self._file.write_batch(batch_of(rows, self._named))
