"""Readers with a law broken on purpose, for the control arms of the attacks with files."""

from __future__ import annotations

import atexit
import codecs
import csv
import lzma
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs import staging
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.inputs.source import Source
from bulk_unenroll.ledger.batch import Batch, StagedRow, staged_batch
from bulk_unenroll.ledger.sqlite import loading
from bulk_unenroll.model import Enrollment, Invalid, Record

strict_reader, strict_decoder, stage = csv.reader, codecs.getincrementaldecoder, staging._stage


def lenient_id(cell: object) -> int | Invalid:
    """Whatever Python takes for a number: signs, underscores, zeros, other scripts' digits."""
    try:
        number = int(str(cell))
    except ValueError:
        return Invalid("not_digits", "is no number")
    return number if 0 < number < 2**63 else Invalid("too_large", "is out of range")


def forgiving_reader(*given: Any, **options: Any) -> Any:
    """Quotes as ``csv`` reads them when it is not strict."""
    return strict_reader(*given, **{**options, "strict": False})


def forgiving_decoder(encoding: str) -> Any:
    """Bytes that are not text become question marks."""
    return partial(strict_decoder(encoding), errors="replace")


def keep_what_was_read(_: object, source: Source, *__: object) -> Iterator[Batch]:
    """A refusal half way leaves the rows before it for calling."""
    rows: list[StagedRow] = []
    try:
        for record in source.records():
            rows.append(stage(record, source.mapper))
    except InputRefused:
        pass
    yield staged_batch(rows)


def by_position() -> Callable[[Record, Mapper], StagedRow]:
    """A customer is identified by the row's number, not by the id."""
    seen: dict[int, Enrollment] = {}

    def staged(record: Record, mapper: Mapper) -> StagedRow:
        row = stage(record, mapper)
        if row.enrollment is None:
            return row
        key = seen.setdefault(row.row, row.enrollment)
        return StagedRow(row.row, key, None, None, row.cells)

    return staged


def quotes_are_plain(stretch: str) -> str | None:
    """Quotes are characters like any others to a reader by columns."""
    return stretch.replace("\r\n", "\n")


def no_repeats(part: Any) -> tuple[Any, Any]:
    """A large file is taken to have no duplicates."""
    return part.pick(slice(0)), part.rows[:0]


def forgiving_xz(handle: BinaryIO, _: object) -> Any:
    """What follows the first part is the end, unless it is whole."""
    return lzma.LZMAFile(handle)


def no_check(*_: object) -> None:
    """Nothing."""


# ── for a separate process ───────────────────────────────────────────────────────────────────────

PEAK_KB: Final = "peak_kb"
ADDRESS_SPACE_BYTES: Final = 4 << 30


def measure_memory() -> None:
    """No sabotage: at its end the program writes down the most memory that it took.

    The peak that the system reports to its parent includes the parent's own memory before ``exec``.
    """
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    atexit.register(_write_peak)


def _write_peak() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    Path(PEAK_KB).write_text(peak)


def rows_without_limit() -> None:
    """Read a fixed number of rows at once, however long they are."""
    loading.BULK_FROM_BYTES = 1 << 40  # type: ignore[misc]


def workbooks_without_limit() -> None:
    """Open every workbook."""
    from bulk_unenroll.inputs.formats import workbook_limits

    workbook_limits.MEMORY_BYTES = 1 << 60  # type: ignore[misc]
