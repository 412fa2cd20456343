"""Result rows as Arrow tables: typed columns, and the cells of the input as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
import pandas as pd
import pyarrow as pa

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
        ("request_id", pa.string()),
        ("input", pa.string()),
    ]
)


def batch_of(
    page: ResultPage, named: Callable[[ResultPage], Iterable[Mapping[str, Any]]]
) -> pa.RecordBatch:
    """Rows as a batch; ``named`` gives the cells of the input's own columns."""
    frame = pd.DataFrame(page.columns, dtype=object)
    frame["input"] = [orjson.dumps(cells).decode() for cells in named(page)]
    return pa.RecordBatch.from_pandas(frame[SCHEMA.names], schema=SCHEMA, preserve_index=False)
