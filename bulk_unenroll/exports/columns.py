"""The columns of result files: those of the input, and those that are added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from bulk_unenroll.ledger.facts import ResultPage, ResultRow, Source

RAGGED: Final = frozenset({"missing_fields", "extra_fields"})
ADDED: Final = (
    "unenroll_source",
    "unenroll_row",
    "unenroll_status",
    "unenroll_code",
    "unenroll_message",
    "unenroll_http_status",
    "unenroll_attempts",
    "unenroll_at",
    "unenroll_request_id",
)


ADDED_FIELDS: Final = (
    "source",
    "row",
    "status",
    "code",
    "message",
    "http_status",
    "attempts",
    "updated_at",
    "request_id",
)
"""The columns of a page that are added, in the order of ``ADDED``."""

SHOWN: Final = ResultRow._fields[: ResultRow._fields.index("cells")]
"""The columns of the view ``results``, with which a row begins."""


class Columns:
    """The columns of the input; for several inputs, their union in order of appearance."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.names: list[str] = []
        self._places: dict[int, list[int]] = {}
        self._headers: dict[int, list[str]] = {}
        known: dict[tuple[str, int], int] = {}
        for source in sources:
            self._add(source, known)
        self._all = list(range(len(self.names)))

    def _add(self, source: Source, known: dict[tuple[str, int], int]) -> None:
        seen: dict[str, int] = {}
        places = []
        for name in source.header:
            seen[name] = seen.get(name, 0) + 1  # a header may repeat a name
            key = (name, seen[name])
            if key not in known:
                known[key] = len(self.names)
                self.names.append(name)
            places.append(known[key])
        self._places[source.id] = places
        self._headers[source.id] = _distinct(source.header)

    def cells(self, page: ResultPage) -> list[Sequence[object]]:
        """Each row's own cells under ``names``."""
        places = self._places[page.source_id]
        width, as_they_are = len(places), places == self._all
        columns = page.columns
        return [
            cells
            if as_they_are and len(cells) == width and code not in RAGGED
            else self._spread(cells, status, code, places)
            for cells, status, code in zip(
                columns["cells"], columns["status"], columns["code"], strict=True
            )
        ]

    def _spread(
        self, cells: Sequence[object], status: str, code: str | None, places: Sequence[int]
    ) -> Sequence[object]:
        """A row's cells, each in its column.

        A ragged row is written whole into the first column: spread over the columns it might pass
        for a good row when the file is read again.
        """
        if len(cells) != len(places) or (status == "invalid" and code in RAGGED):
            cells = [f"{','.join(map(as_text, cells))} ({code})"]
        out: list[object] = [""] * len(self.names)
        for place, cell in zip(places, cells, strict=False):
            out[place] = cell
        return out

    def named(self, page: ResultPage) -> Iterator[dict[str, Any]]:
        """Each row as it was, by column name; cells beyond the header count from ``extra_1``."""
        header = self._headers[page.source_id]
        for cells in page.columns["cells"]:
            names = header if len(cells) <= len(header) else _extended(header, cells)
            yield dict(zip(names, cells, strict=False))


def _extended(header: Sequence[str], cells: Sequence[object]) -> list[str]:
    beyond = range(1, len(cells) - len(header) + 1)
    return _distinct([*header, *(f"extra_{number}" for number in beyond)])


def _distinct(names: Sequence[str]) -> list[str]:
    """``names``, with a number added to each repeated one: ``note``, ``note_2``."""
    distinct: list[str] = []
    for name in names:
        again = 1
        shown = name
        while shown in distinct:
            again += 1
            shown = f"{name}_{again}"
        distinct.append(shown)
    return distinct


def as_text(cell: object) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else str(cell)
