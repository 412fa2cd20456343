"""Turns a record into an enrollment, or into an invalid row with the reason. Pure.

``ids`` decides what a valid id is, ``mapping`` finds the columns of the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.header_inside import HeaderInside
from bulk_unenroll.inputs.ids import parse_id, shown
from bulk_unenroll.inputs.mapping import (
    ReadSettings,
    find_places,
    header_label,
    is_added,
    listed,
)
from bulk_unenroll.inputs.path_columns import PathColumns
from bulk_unenroll.model import Enrollment, Invalid, Record, Target, row_name

SELF: Final = "SELF"
CACHED_TARGETS: Final = 4096

Cells = tuple[object, ...]


class Mapper:
    """Finds the ids in a record, by the header and a ``ReadSettings``.

    ``header`` are the column names in order, those of ``path`` first, as in the records. ``kept``
    are those of the input itself, without the ones that this program adds, and ``own`` their
    columns. ``places`` has the column, counted from 0, of each id that has one; ``file_places``
    has those in the file itself, which begins after ``path_width`` columns. ``file`` is its name,
    for messages. Raises ``InputRefused`` (65) if the column of an id is missing or ambiguous, or if
    the id is also given by an option.
    """

    def __init__(
        self,
        header: Sequence[str],
        reading: ReadSettings,
        path: PathColumns | None = None,
        file: str = "",
    ) -> None:
        path = path or PathColumns()
        self._file = file
        self.header = (*path.header, *header)
        self._constants = reading.constants()
        path.check(self._constants)
        self.places: Mapping[str, int] = find_places(self.header, reading)
        self._promised = path.promised(self.header, self.places)
        self.path_width = len(path.header)
        self.file_places = {
            name: place - self.path_width
            for name, place in self.places.items()
            if place >= self.path_width
        }
        self._header_inside = HeaderInside(header, self.file_places)
        self.own = [place for place, name in enumerate(self.header) if not is_added(name)]
        self.kept = tuple(self.header[place] for place in self.own)
        self._customer = self.places["customerId"]
        self._target_places = [place for name, place in self.places.items() if name != "customerId"]
        self._target_cells = _picker(self._target_places)
        self._targets: dict[object, Target] = {}

    def kept_cells(self, record: Record) -> Cells:
        """Return the cells of ``kept``; the extra cells of a ragged row stay at the end."""
        cells, width = record.cells, len(self.header)
        if len(self.own) == width or (record.flaw is not None and len(cells) != width):
            return cells
        return tuple(cells[i] for i in self.own if i < len(cells)) + cells[width:]

    def enrollment(self, record: Record) -> Enrollment | Invalid:
        """Return the enrollment that a record names, or why the record is invalid.

        Raises ``InputRefused`` (65) for the header of another table, and for a target that is not
        the one which the path names.
        """
        if record.flaw is not None:
            return record.flaw
        found = self._find(record.cells)
        if isinstance(found, Invalid):
            return self._header_again(record) or found
        if self._promised and (broken := self._promise_broken(found.target)):
            raise InputRefused(f"{self._name(record)}: {broken}", "correct one of them")
        return found

    def _find(self, cells: Cells) -> Enrollment | Invalid:
        if len(cells) != len(self.header):
            return _ragged(cells[self.path_width :], self.header[self.path_width :])
        customer = parse_id(cells[self._customer])
        if isinstance(customer, Invalid):
            return self._with_header(customer, self._customer)
        # most rows have a target that was read before
        target = self._targets.get(self._target_cells(cells)) or self._read_target(cells)
        return target if isinstance(target, Invalid) else Enrollment(customer, target)

    def _read_target(self, cells: Cells) -> Target | Invalid:
        group = self._read("targetGroupId", cells)
        if isinstance(group, Invalid):
            return group
        rule = self._read("targetId", cells)
        if isinstance(rule, Invalid):
            return rule
        org = self._read_org(cells)
        if isinstance(org, Invalid):
            return org
        target = Target(org, group, rule)
        # only text is cached: 1, True and Decimal(1) are equal, but not all of them are ids
        if len(self._targets) < CACHED_TARGETS and all(
            isinstance(cells[place], str) for place in self._target_places
        ):
            self._targets[self._target_cells(cells)] = target
        return target

    def _read_org(self, cells: Cells) -> int | Invalid | None:
        place = self.places.get("orgId")
        if place is None:
            return self._constants.get("orgId")
        cell = cells[place]
        if isinstance(cell, str) and cell.strip(" \t") == SELF:
            return None
        return self._read("orgId", cells)

    def _read(self, name: str, cells: Cells) -> int | Invalid:
        place = self.places.get(name)
        if place is None:
            return self._constants[name]
        found = parse_id(cells[place])
        return self._with_header(found, place) if isinstance(found, Invalid) else found

    def _with_header(self, flaw: Invalid, place: int) -> Invalid:
        return Invalid(flaw.code, f"{header_label(self.header[place])}: {flaw.message}")

    # ── rows that are no rows of this table ──────────────────────────────────────────────────────

    def _header_again(self, record: Record) -> Invalid | None:
        cells = record.cells[self.path_width :]
        if not self._header_inside.is_header(cells):
            return None
        if self._header_inside.is_same(cells):
            return Invalid("second_header", "the header stands here again")
        raise InputRefused(
            f"{self._name(record)} is the header of another table: {listed(list(map(str, cells)))}",
            "put the rows after it into a file of their own",
        )

    def _promise_broken(self, target: Target) -> str:
        """How a target differs from what the path says; "" if it does not."""
        ids = {"targetGroupId": target.group, "targetId": target.rule, "orgId": target.org}
        return next(
            (
                f"{name} is {ids[name] or SELF}, but the path says {text}"
                for name, text in self._promised.items()
                if (SELF if ids[name] is None else str(ids[name])) != text
            ),
            "",
        )

    def _name(self, record: Record) -> str:
        return row_name(record.row, record.line, self._file)


def _picker(places: Sequence[int]) -> Callable[[Cells], object]:
    """A function that returns the cells at ``places`` of a row; None if there are no places."""
    return itemgetter(*places) if places else lambda _: None


def _ragged(cells: Cells, header: Sequence[str]) -> Invalid:
    width, expected = len(cells), len(header)
    counts = f"the row has {width} field{'s' * (width != 1)}, the header {expected}"
    if width < expected:
        last = shown(cells[-1]) if cells else "nothing"
        why = f"is missing after {last}: {counts}: check for a line break without quotes"
        return Invalid("missing_fields", f"{header_label(header[width])}: {why}")
    why = f"is followed by {shown(cells[expected])}: {counts}: check for a delimiter without quotes"
    return Invalid("extra_fields", f"{header_label(header[-1])}: {why}")
