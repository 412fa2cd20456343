"""A raw record becomes an enrollment, or an invalid row that says why. Pure.

``ids`` says what an id is, ``headers`` in which columns the ids stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from bulk_unenroll.inputs.ids import parse_id, shown
from bulk_unenroll.inputs.mapping import ReadSettings, find_places, is_added, title
from bulk_unenroll.model import Enrollment, Invalid, Record, Target

SELF: Final = "SELF"
CACHED_TARGETS: Final = 4096

Cells = tuple[object, ...]


class Mapper:
    """Finds the ids in a record, by its header and a ``ReadSettings``.

    ``header`` are the column names in order. ``kept`` are the input's own, those that this program
    did not add, and ``own`` their columns. ``places`` tells the column, counted from 0, of each id
    that has one. Raises ``InputRefused`` (65) where a column is missing, doubtful, or given twice
    over.
    """

    def __init__(self, header: Sequence[str], reading: ReadSettings) -> None:
        self.header = tuple(header)
        self.places: Mapping[str, int] = find_places(self.header, reading)
        self._constants = reading.constants()
        self.own = [place for place, name in enumerate(self.header) if not is_added(name)]
        self.kept = tuple(self.header[place] for place in self.own)
        self._customer = self.places["customerId"]
        self._target_places = [place for name, place in self.places.items() if name != "customerId"]
        self._target_cells = _picker(self._target_places)
        self._targets: dict[object, Target] = {}

    def kept_cells(self, record: Record) -> Cells:
        """The cells under ``kept``; what a ragged row has beyond its header stays at the end."""
        cells, width = record.cells, len(self.header)
        if len(self.own) == width or (record.flaw is not None and len(cells) != width):
            return cells
        return tuple(cells[i] for i in self.own if i < len(cells)) + cells[width:]

    def enrollment(self, record: Record) -> Enrollment | Invalid:
        """The enrollment that a record names, or why it names none."""
        if record.flaw is not None:
            return record.flaw
        cells = record.cells
        if len(cells) != len(self.header):
            return _ragged(cells, self.header)
        customer = parse_id(cells[self._customer])
        if isinstance(customer, Invalid):
            return self._named(customer, self._customer)
        # most rows repeat a group and target that were read before
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
        # only text is remembered: 1, True and Decimal(1) are equal, and not all of them are ids
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
        return self._named(found, place) if isinstance(found, Invalid) else found

    def _named(self, flaw: Invalid, place: int) -> Invalid:
        return Invalid(flaw.code, f"{title(self.header[place])}: {flaw.message}")


def _picker(places: Sequence[int]) -> Callable[[Cells], object]:
    """What takes the cells at ``places`` out of a row; without places, always the same."""
    return itemgetter(*places) if places else lambda _: None


def _ragged(cells: Cells, header: Sequence[str]) -> Invalid:
    found, expected = len(cells), len(header)
    counts = f"the row has {found} field{'s' * (found != 1)}, the header {expected}"
    if found < expected:
        last = shown(cells[-1]) if cells else "nothing"
        why = f"is missing after {last}: {counts}: is a line break not quoted?"
        return Invalid("missing_fields", f"{title(header[found])}: {why}")
    why = f"{shown(cells[expected])} comes after it: {counts}: is a delimiter not quoted?"
    return Invalid("extra_fields", f"{title(header[-1])}: {why}")
