"""Notices, while the records of a text pass by, whether the last one was probably cut off.

A text that was cut has no end of its last line, and its last record, or the id at the end of that
record, is shorter than all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table


class Ending:
    """Compares the last record with the others. Add all of them, in the order of the file."""

    def __init__(self, mapper: Mapper) -> None:
        self._width = len(mapper.header) - mapper.path_width
        self._ends_in_id = self._width - 1 in mapper.file_places.values()
        self.line: int | None = None
        """The line in which the last record begins."""
        self._records = _Shortest()
        self._last_cells = _Shortest()

    @property
    def is_short(self) -> bool:
        """Whether the last record is shorter than all others, or the id at its end is."""
        return self._records.is_last or self._last_cells.is_last

    def add_records(self, records: Sequence[Record]) -> None:
        """Add records that were read one by one."""
        self.line = records[-1].line
        self._records.add([_length(record.cells) for record in records])
        if self._ends_in_id:
            self._last_cells.add([self._last_cell(record.cells) for record in records])

    def add_table(self, table: Table, text: str) -> None:
        """Add a table whose records are the lines of ``text``."""
        from bulk_unenroll.inputs.formats.csv_columns import line_lengths, text_lengths

        (self.line,) = table.lines_of(np.array([table.last_row]))
        self._records.add(line_lengths(text))
        if self._ends_in_id:
            lengths = text_lengths(table.columns[-1])
            ends_ragged = table.ragged and table.ragged[-1].row == table.last_row
            self._last_cells.add(np.append(lengths, inf) if ends_ragged else lengths)

    def _last_cell(self, cells: Sequence[Any]) -> float:
        return len(cells[-1]) if len(cells) == self._width else inf


class _Shortest:
    """The least length so far, without the last one, and the last one."""

    def __init__(self) -> None:
        self._least = self._last = inf

    def add(self, lengths: ArrayLike) -> None:
        found: NDArray[Any] = np.asarray(lengths)
        if len(found):
            others = [found[:-1].min()] if len(found) > 1 else []
            self._least = min(self._least, self._last, *map(float, others))
            self._last = float(found[-1])

    @property
    def is_last(self) -> bool:
        """Whether the last length is less than all others, and there are others."""
        return bool(self._last < self._least < inf)


def _length(cells: Sequence[Any]) -> int:
    """With the delimiters between them."""
    return sum(map(len, cells)) + len(cells) - 1
