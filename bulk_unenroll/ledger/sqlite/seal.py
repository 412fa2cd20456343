"""Detects whether a ledger was changed after it was closed.

Other programs may add what is theirs, an index, a view, a table of statistics: that changes the
list of tables, the free pages, and what they added before. The pages of our tables and indexes stay
as they are, byte for byte; where one does not, rows may have changed. See decision 17.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final, Self

from bulk_unenroll.ledger.sqlite.pages import PageFile, as_text, from_text, pages_in_log
from bulk_unenroll.ledger.sqlite.statements import SQL

SOMETIMES_OURS: Final = "item_pending"
"""An index that not every ledger has."""


class Found(Enum):
    """What a look at a closed ledger found."""

    AS_IT_WAS = "as it was"
    ADDED_TO = "something was added; our rows are as they were"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Schema:
    """Our part of the list of tables, as a checksum, and the roots of what is not ours."""

    ours: int
    foreign_roots: tuple[int, ...]

    @classmethod
    def of(cls, raw: sqlite3.Connection) -> Self:
        """The schema of an open ledger."""
        rows = raw.execute(
            "SELECT name, tbl_name, type, rootpage, sql FROM sqlite_schema ORDER BY name"
        ).fetchall()
        (version,) = raw.execute("PRAGMA user_version").fetchone()
        ours = [row for row in rows if _is_ours(*row[:3])]
        foreign = (row[3] for row in rows if not _is_ours(*row[:3]))
        return cls(zlib.crc32(repr((version, ours)).encode()), tuple(filter(None, foreign)))


def _is_ours(name: str, table: str, kind: str) -> bool:
    # another program's trigger on a table of ours would change what is written
    is_inner = kind == "trigger" or name.startswith("sqlite_autoindex_")
    return name in _our_names() or (is_inner and table in _our_names())


@cache
def _our_names() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.executescript("".join(SQL[part] for part in ("schema", "schema_4", "views")))
        raw.executescript(SQL["make_indexes"])
        names = raw.execute("SELECT name FROM sqlite_schema").fetchall()
    return frozenset({SOMETIMES_OURS, *(name for (name,) in names)})


@dataclass(frozen=True, slots=True)
class Seal:
    """What a ledger was when it was closed.

    ``size`` of the file in bytes; checksums of the pages of our tables and indexes (``rows``), of
    ``structure``, the pages that hold the list of tables or nothing (``rest``), and of our part of
    that list (``schema``). ``changes`` counts transactions, see ``PageFile``. ``foreign`` are the
    pages of what other programs added.
    """

    size: int
    rows: int
    rest: int
    schema: int
    changes: str
    structure: frozenset[int]
    foreign: frozenset[int]

    @classmethod
    def of(cls, ledger: Path, schema: Schema) -> Self:
        """The seal of a ledger that nobody writes."""
        with PageFile.open(ledger) as file:
            structure = frozenset(file.tree(1) | file.free())
            foreign = {page for root in schema.foreign_roots for page in file.tree(root)}
            foreign -= structure
            rows, rest = _checksums(file, file.count, structure, foreign)
            changes = file.changes.hex()
            return cls(file.size, rows, rest, schema.ours, changes, structure, frozenset(foreign))

    def look_at(self, ledger: Path, log: Path) -> Found:
        """Whether a ledger is the one that was sealed; ``log`` is its write-ahead log.

        ``ADDED_TO``: its schema is still to be compared, by ``is_of``.
        """
        in_log = pages_in_log(log)  # first: what leaves it meanwhile is found in the ledger
        with PageFile.open(ledger) as file:
            if file.size < self.size:
                return Found.CHANGED
            last = -(-self.size // file.page_bytes)
            if {page for page in in_log if page <= last} - self.structure - self.foreign:
                return Found.CHANGED
            rows, rest = _checksums(file, last, self.structure, self.foreign)
            if rows != self.rows:
                return Found.CHANGED
            if rest == self.rest and file.size == self.size:
                return Found.ADDED_TO if in_log else Found.AS_IT_WAS
            # a transaction counts itself, at two places; damage does not
            is_counted = rest != self.rest and file.changes and file.changes.hex() != self.changes
            return Found.ADDED_TO if is_counted else Found.CHANGED

    def is_of(self, raw: sqlite3.Connection) -> bool:
        """Whether our part of the list of tables is as it was."""
        return Schema.of(raw).ours == self.schema

    def __str__(self) -> str:
        return (
            f"size={self.size} rows={self.rows:08x} rest={self.rest:08x} schema={self.schema:08x}"
            f" changes={self.changes} structure={as_text(self.structure)}"
            f" foreign={as_text(self.foreign)}"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The seal that ``str()`` wrote; raises ``ValueError`` and ``KeyError``."""
        facts = dict(fact.split("=") for fact in text.split(" "))
        return cls(
            int(facts["size"]),
            int(facts["rows"], 16),
            int(facts["rest"], 16),
            int(facts["schema"], 16),
            facts["changes"],
            frozenset(from_text(facts["structure"])),
            frozenset(from_text(facts["foreign"])),
        )


@dataclass(frozen=True, slots=True)
class OldSeal:
    """What was kept until version 4: the checksum and size of the whole file."""

    text: str

    def look_at(self, ledger: Path, log: Path) -> Found:
        """See ``Seal.look_at``; whatever was added is a change."""
        crc, size = 0, 0
        with PageFile.open(ledger) as file:
            for read in file.read(1, file.count + 1):
                crc, size = zlib.crc32(read, crc), size + len(read)
        whole = self.text == f"crc32={crc:08x} size={size}"
        return Found.AS_IT_WAS if whole and not pages_in_log(log) else Found.CHANGED

    def is_of(self, _: sqlite3.Connection) -> bool:
        """See ``Seal.is_of``."""
        return False

    def __str__(self) -> str:
        return self.text


class _Kind(Enum):
    ROWS = "pages of our tables and indexes"
    STRUCTURE = "pages of the list of tables, and free ones"
    FOREIGN = "pages of what is not ours"


def _checksums(
    file: PageFile, last: int, structure: Collection[int], foreign: Collection[int]
) -> tuple[int, int]:
    """CRC-32 of the pages of rows up to ``last``, and of those of the structure.

    CRC-32 finds damage at gigabytes a second; it is no signature.
    """
    crc = dict.fromkeys(_Kind, 0)
    for kind, first, end in _stretches(last, structure, foreign):
        if kind is not _Kind.FOREIGN:
            for read in file.read(first, end):
                crc[kind] = zlib.crc32(read, crc[kind])
    return crc[_Kind.ROWS], crc[_Kind.STRUCTURE]


def _stretches(
    last: int, structure: Collection[int], foreign: Collection[int]
) -> Iterator[tuple[_Kind, int, int]]:
    """Pages 1 to ``last`` in stretches of one kind: the first page, and the one after it."""
    apart = dict.fromkeys(structure, _Kind.STRUCTURE) | dict.fromkeys(foreign, _Kind.FOREIGN)
    pages = sorted(page for page in apart if page <= last)
    following = 1
    for (kind, _), run in groupby(enumerate(pages), lambda at: (apart[at[1]], at[1] - at[0])):
        found = [page for _, page in run]
        if following < found[0]:
            yield _Kind.ROWS, following, found[0]
        following = found[-1] + 1
        yield kind, found[0], following
    if following <= last:
        yield _Kind.ROWS, following, last + 1
