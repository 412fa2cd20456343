"""A first look at an input: what it is, which columns hold ids, its first rows as they are read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.errors import InputRefused, option_words
from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.formats.records import Records
from bulk_unenroll.inputs.mapping import NAMES, ReadSettings, columns_of
from bulk_unenroll.inputs.opening import (
    format_of,
    header_below,
    naming,
    opened,
    path_columns,
    read_content,
    sheets_of,
)
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.model import Invalid, Record

SHOWN_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class PeekedRow:
    """A row as it is read: its number, its line, its cells as text; its ids, or what is wrong."""

    row: int
    line: int | None
    cells: Sequence[str]
    ids: Mapping[str, int | None] = field(default_factory=dict)
    invalid: Invalid | None = None

    def as_json(self) -> dict[str, Any]:
        """One of ``rows`` of ``peek --json``."""
        invalid = self.invalid
        return {
            "row": self.row,
            "line": self.line,
            "cells": list(self.cells),
            "ids": dict(self.ids),
            "invalid": invalid and {"code": invalid.code, "message": invalid.message},
        }


@dataclass(frozen=True, slots=True)
class Peek:
    """What an input looks like.

    ``format`` is ``csv``, ``xlsx`` or ``parquet``; ``sheets`` are the visible ones of a workbook,
    ``sheet_rows`` the number of the last row of each, None where the file does not say, and
    ``sheet`` the one that is read. ``columns`` has the header of the column of each id that has
    one, and ``constants`` the ids that are the same for every row. ``problem`` is why the input
    would be refused so far, with the options that are missing; the rows then lack their ids.
    """

    name: str
    size_bytes: int
    format: str
    sheets: Sequence[str] = ()
    sheet_rows: Mapping[str, int | None] = field(default_factory=dict)
    sheet: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)
    rows: Sequence[PeekedRow] = ()
    problem: InputRefused | None = None

    @property
    def traits(self) -> list[tuple[str, str]]:
        """How it is read, where its format has a choice."""
        names = ("sheet", "delimiter", "encoding")
        return [(name, value) for name in names if (value := getattr(self, name)) is not None]

    def as_json(self) -> dict[str, Any]:
        """The object of ``peek --json``."""
        problem = self.problem
        return {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "format": self.format,
            "sheets": list(self.sheets),
            "sheet_rows": dict(self.sheet_rows),
            "sheet": self.sheet,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "header": list(self.header),
            "columns": {name: self.columns.get(name) for name in NAMES},
            "constants": dict(self.constants),
            "rows": [row.as_json() for row in self.rows],
            "problem": problem
            and {
                "reason": problem.reason,
                "remedy": problem.remedy,
                "options": list(option_words(problem.lacking)),
            },
        }


def peek(file: InputFile, reading: ReadSettings, spool: Path) -> Peek:
    """Look at an input; what cannot be read twice is copied into the folder ``spool``.

    Raises ``InputMissing`` (66), and ``InputRefused`` (65) for what is no input at all.
    """
    with opened(file, spool) as handle, naming(file):
        kind = format_of(file, handle)
        sheets = sheets_of(handle) if kind == "xlsx" else {}
        size_bytes = os.fstat(handle.fileno()).st_size
        begun = Peek(file.display, size_bytes, kind, list(sheets), sheets)
        try:
            content = read_content(file, handle, reading)
        except InputRefused as refused:
            if sheets:  # it is readable, once a sheet is chosen
                return replace(begun, problem=refused)
            raise
        return _look(file, reading, content, begun)


def _look(file: InputFile, reading: ReadSettings, content: Records, begun: Peek) -> Peek:
    path = path_columns(file, content.header)
    header = (*path.header, *content.header)
    mapper: Mapper | None = None
    problem: InputRefused | None = None
    places: dict[str, int] = {}
    try:
        places = columns_of(header, reading)
        mapper = Mapper(content.header, reading, path, file.display)
        content.check(mapper)
    except InputRefused as refused:
        mapper, problem = None, header_below(content, file, refused, reading)
    return replace(
        begun,
        sheet=content.traits.get("sheet"),
        delimiter=content.traits.get("delimiter"),
        encoding=content.traits.get("encoding"),
        header=header,
        columns={name: header[place] for name, place in places.items()},
        constants=reading.constants(),
        rows=[_row(path.record(one), mapper) for one in islice(content.records(), SHOWN_ROWS)],
        problem=problem,
    )


def _row(record: Record, mapper: Mapper | None) -> PeekedRow:
    cells = ["" if cell is None else str(cell) for cell in record.cells]
    if mapper is None:
        return PeekedRow(record.row, record.line, cells, invalid=record.flaw)
    found = record.flaw or mapper.enrollment(record)
    if isinstance(found, Invalid):
        return PeekedRow(record.row, record.line, cells, invalid=found)
    target = found.target
    ids = (found.customer, target.group, target.rule, target.org)
    return PeekedRow(record.row, record.line, cells, dict(zip(NAMES, ids, strict=True)))
