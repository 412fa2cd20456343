"""Never-lists: customers, or customer/target rows, that must not be called.

They are files as inputs are: ``customerId`` alone means a customer in any target; with
``targetGroupId`` and ``targetId`` it means one in this target, of whatever org.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bulk_unenroll.errors import InputMissing, InputRefused, Misconfigured
from bulk_unenroll.inputs.finding import InputFile, find_inputs
from bulk_unenroll.inputs.mapping import REQUIRED, ReadSettings, name_of
from bulk_unenroll.inputs.source import open_source, read_header
from bulk_unenroll.inputs.staging import batch_of
from bulk_unenroll.ledger.batch import Batch, InvalidRow, refuse
from bulk_unenroll.ledger.facts import IdFacts
from bulk_unenroll.model import PROTECTED, Enrollment, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

ANYWHERE: Final = Target(None, 0, 0)
"""Stands for every target."""
_EVERY_TARGET: Final = ReadSettings(target_group_id=1, target_id=1)


@dataclass(frozen=True, slots=True)
class _List:
    """The customers of one file for one target, in order, and their lines."""

    name: str
    customers: Numbers
    lines: Numbers


class Never:
    """Whom never to call. Eight bytes a customer, and four for its line."""

    def __init__(
        self,
        lists: Sequence[tuple[Target, _List]] = (),
        sha256: str = "",
        paths: Sequence[Path] = (),
        ids: Mapping[str, IdFacts] | None = None,
    ) -> None:
        self._lists = lists
        self.paths = paths
        self.ids = ids or {}
        """How the customer ids of each file look, by its name."""
        self.sha256 = sha256
        """Of the lists' contents; empty where there is none."""

    def __bool__(self) -> bool:
        return bool(self.sha256)

    def __len__(self) -> int:
        """How many customers, or customers of a target, the lists name."""
        return sum(len(one.customers) for _, one in self._lists)

    def covers(self, enrollment: Enrollment) -> bool:
        """Whether this customer must not be taken out of this target."""
        return any(self._found(enrollment.customer, one) for one in self._of(enrollment.target))

    def _found(self, customer: int, one: _List) -> bool:
        place = int(one.customers.searchsorted(customer))
        return place < len(one.customers) and one.customers[place] == customer

    def _of(self, target: Target) -> Iterator[_List]:
        for where, one in self._lists:
            if where is ANYWHERE or (where.group, where.rule) == (target.group, target.rule):
                yield one

    def keep_out(self, batch: Batch) -> Batch:
        """``batch`` with the rows that are protected as invalid ones."""
        if not self._lists or not len(batch.rows):
            return batch
        import numpy as np

        rows, customers = np.asarray(batch.rows), np.asarray(batch.customers)
        places = np.asarray(batch.target_places)
        kept = np.ones(len(rows), dtype=bool)
        invalid: list[InvalidRow] = []
        for number, target in enumerate(batch.targets):
            for one in self._of(target):
                at = np.searchsorted(one.customers, customers)
                at[at == len(one.customers)] = 0
                hits = kept & (places == number) & (one.customers[at] == customers)
                kept &= ~hits
                found = zip(rows[hits].tolist(), one.lines[at[hits]].tolist(), strict=True)
                invalid += [
                    InvalidRow(row + batch.first_row, PROTECTED, f"line {line} of {one.name}")
                    for row, line in found
                ]
        return refuse(batch, invalid)


def read_never(paths: Sequence[Path]) -> Never:
    """Read never-lists.

    Raises ``Misconfigured`` (78) if one is not there, ``InputRefused`` (65) if it is not readable
    or has an invalid row: half a list protects nobody.
    """
    lists: list[tuple[Target, _List]] = []
    ids: dict[str, IdFacts] = {}
    digest = hashlib.sha256()
    for path in paths:
        try:
            files = find_inputs([str(path)])
        except InputMissing:
            raise Misconfigured(
                f"the never-list {path} is not there",
                "put it back; if it protects nobody any more, put a file with the header customerId"
                " alone in its place",
            ) from None
        for file in files:
            with tempfile.TemporaryDirectory() as spool:
                lists += _read(file, Path(spool), digest, ids)
    return Never(lists, digest.hexdigest() if paths else "", paths, ids)


def _read(
    file: InputFile, spool: Path, digest: Any, ids: dict[str, IdFacts]
) -> Iterator[tuple[Target, _List]]:
    import numpy as np

    from bulk_unenroll.inputs.tally import Tally

    header = read_header(file, ReadSettings(), spool)
    named = {name_of(name) for name in header}
    has_targets = {"targetGroupId", "targetId"} <= named
    if not has_targets and named & set(REQUIRED) - {"customerId"}:
        raise InputRefused(
            f"the never-list {file.display} names only a part of a target",
            "give it customerId alone, or with targetGroupId and targetId",
        )
    found: dict[Target, tuple[list[Numbers], list[Numbers]]] = {}
    tally = Tally()
    with open_source(file, ReadSettings() if has_targets else _EVERY_TARGET, spool) as source:
        digest.update(source.sha256.encode())
        source.mapper.own = []  # the other cells are not kept
        for piece in source.pieces():
            with source.naming():
                batch = batch_of(piece, source.mapper)
            _check(batch, file)
            tally.add(batch.customers, batch.rows, batch.first_row)
            customers = np.asarray(batch.customers, dtype=np.int64)
            places = np.asarray(batch.target_places)
            lines = _lines(batch)
            for number, target in enumerate(batch.targets):
                where = Target(None, target.group, target.rule) if has_targets else ANYWHERE
                some = found.setdefault(where, ([], []))
                some[0].append(customers[places == number])
                some[1].append(lines[places == number])
        if source.noticed.get("cut_off"):
            raise InputRefused(
                f"the never-list {file.display} ends within a line, and its last id is shorter than"
                " all others: it is probably cut",
                "copy it again",
            )
    ids[file.display] = tally.facts()
    for where, (every_customer, every_line) in found.items():
        customers, lines = np.concatenate(every_customer), np.concatenate(every_line)
        order = np.argsort(customers, kind="stable")
        yield where, _List(file.display, customers[order], lines[order])


def _lines(batch: Batch) -> Numbers:
    """The line in which each enrollment of a batch stands; see ``Batch.lines``."""
    import numpy as np

    rows = np.asarray(batch.rows) + batch.first_row
    known = np.array(list(batch.lines.items()) or [(0, 1)], dtype=np.int64)
    at = np.searchsorted(known[:, 0], rows, side="right") - 1
    lines: Numbers = (known[at, 1] + rows - known[at, 0]).astype(np.int32)
    return lines


def _check(batch: Batch, file: InputFile) -> None:
    if batch.invalid:
        first = batch.invalid[0]
        raise InputRefused(
            f"the never-list {file.display} has an invalid row, so nobody knows whom it protects:"
            f" row {first.row}: {first.message}",
            "correct it",
        )
