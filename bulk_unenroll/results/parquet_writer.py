"""Rows as a Parquet file, with typed columns; the input's own cells as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd
import pyarrow as pa
from pyarrow import parquet as pq

from bulk_unenroll.ledger.facts import ResultPage

SCHEMA: Final = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("org_id", pa.int64()),
        ("target_group_id", pa.int64()),
        ("target_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("status", pa.string()),
        ("code", pa.string()),
        ("message", pa.string()),
        ("http_status", pa.int64()),
        ("attempts", pa.int64()),
        ("updated_at", pa.string()),
        ("input", pa.string()),
    ]
)


class ParquetWriter:
    """Writes rows; ``named`` gives the cells of their own columns."""

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
        frame = pd.DataFrame(page.columns, dtype=object)
        frame["input"] = [orjson.dumps(cells).decode() for cells in self._named(page)]
        table = pa.Table.from_pandas(frame[SCHEMA.names], schema=SCHEMA, preserve_index=False)
        self._file.write_table(table)
