"""Columns that stand in the path of a file: ``targetId=7/part-0.parquet``, as Hive and Spark write.

Each record of the file gets the values of its folders, as its first cells. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.mapping import FLAGS, name_of, normalized
from bulk_unenroll.model import Record

if TYPE_CHECKING:
    from bulk_unenroll.inputs.columns import Table
    from bulk_unenroll.inputs.formats.records import Piece

NULL: Final = "__HIVE_DEFAULT_PARTITION__"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PathColumns:
    """The headers and values in a path, in its order; of them, ``added`` are not in the file."""

    pairs: Pairs = ()
    added: Pairs = ()

    @classmethod
    def of(
        cls, path: str, header: Sequence[str], *, is_address: bool = False, leads_to: str = ""
    ) -> Self:
        """Those of a file with this ``header``. More may be percent-encoded in an address.

        ``leads_to`` is where the path leads by links: of that only ids count, for a link such as
        ``latest`` may change day by day. Raises ``InputRefused`` (65) where the two contradict.
        """
        pairs = (*_pairs(path, is_address), *_ids_behind(path, leads_to))
        in_file = {normalized(text) for text in header} | set(filter(None, map(name_of, header)))
        return cls(
            pairs,
            tuple(
                (name, value)
                for name, value in pairs
                if normalized(name) not in in_file and name_of(name) not in in_file
            ),
        )

    @property
    def header(self) -> tuple[str, ...]:
        """The headers that come before those of the file."""
        return tuple(name for name, _ in self.added)

    def promised(self, header: Sequence[str], places: Mapping[str, int]) -> dict[str, str]:
        """By the name of an id its value in the path, where the file has a column of it as well.

        ``header`` and ``places`` as in ``Mapper``. Raises ``InputRefused`` (65) where the path says
        which customer is meant: that would be the same one for every row.
        """
        promised = {}
        for folder, value in self.pairs:
            for name, place in places.items():
                if name_of(folder) == name or normalized(header[place]) == normalized(folder):
                    if name == "customerId":
                        raise InputRefused(
                            f"the folder {shown(f'{folder}={value}')} names a customer",
                            "move the file to another folder",
                        )
                    if place >= len(self.added):
                        promised[name] = value
        return promised

    def check(self, constants: Iterable[str]) -> None:
        """Raise ``InputRefused`` (65) if an option gives an id that a folder gives."""
        for folder, value in self.added:
            name = name_of(folder) or ""
            if name in constants:
                raise InputRefused(
                    f"both {FLAGS[name]} and the folder {shown(f'{folder}={value}')} give {name}",
                    f"remove {FLAGS[name]}",
                )

    def record(self, record: Record) -> Record:
        """``record`` with the cells of ``added``."""
        return replace(record, cells=(*self._cells(), *record.cells)) if self.added else record

    def piece(self, piece: Piece) -> Piece:
        """``piece`` with them."""
        if not self.added:
            return piece
        return list(map(self.record, piece)) if isinstance(piece, list) else self.table(piece)

    def table(self, table: Table) -> Table:
        """``table`` with the columns of ``added``."""
        import pyarrow as pa  # slow to import

        size = len(table.columns[0])
        first = pa.repeat(pa.scalar(0, pa.int32()), size)
        columns = [
            pa.DictionaryArray.from_arrays(first, pa.array([cell], pa.string()))
            for cell in self._cells()
        ]
        ragged = [self.record(record) for record in table.ragged]
        return replace(table, columns=[*columns, *table.columns], ragged=ragged)

    def _cells(self) -> tuple[str | None, ...]:
        return tuple(None if value == NULL else value for _, value in self.added)


def _ids_behind(path: str, leads_to: str) -> Iterator[tuple[str, str]]:
    """The ids in the path that links lead to, but for those that ``path`` has itself."""
    given = {name_of(name): (name, value) for name, value in _pairs(path, is_address=False)}
    for name, value in _pairs(leads_to, is_address=False):
        if (meaning := name_of(name)) is None:
            continue
        own_name, own = given.get(meaning, (name, value))
        if own != value:
            raise InputRefused(
                f"the folder {shown(f'{own_name}={own}')} leads by a link to"
                f" {shown(f'{name}={value}')}",
                "give the file by its own path",
            )
        if meaning not in given:
            yield name, value


def _pairs(path: str, is_address: bool) -> Iterator[tuple[str, str]]:
    for folder in path.split("/")[:-1]:
        name, equals, value = (unquote(folder) if is_address else folder).partition("=")
        if name and equals:
            yield unquote(name), unquote(value)
