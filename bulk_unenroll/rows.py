"""A raw record becomes a customer/target, or an invalid row that says why. Pure.

No id may reach the API that does not stand in the file in just those digits, so nothing is rounded,
padded or guessed: whatever is not plainly an id makes the row invalid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.model import MAX_ID, Invalid, Key, Record

NAMES: Final = ("customerId", "targetGroupId", "targetId", "orgId")
ALIASES: Final = {"userid": "customerId", "targetruleid": "targetId"}
ADDED_PREFIX: Final = "unenroll_"
SELF: Final = "SELF"
SHOWN_CHARS: Final = 60
CACHED_IDS: Final = 4096

_PLAIN: Final = re.compile(r"[1-9][0-9]{0,17}")  # always below MAX_ID
_EXPONENT_REMEDY: Final = "format the column as text or as a number without decimals, export again"


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read an input. Part of a source's identity: other constants make another source."""

    delimiter: str | None = None
    encoding: str | None = None
    columns: Sequence[tuple[str, str]] = ()
    group: int | None = None
    target: int | None = None
    org: int | None = None

    def signature(self) -> str:
        """A stable text of everything that changes what the rows mean."""
        values = {
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "columns": sorted(self.columns),
            "group": self.group,
            "target": self.target,
            "org": self.org,
        }
        given = {name: value for name, value in values.items() if value}
        return json.dumps(given, ensure_ascii=False, sort_keys=True)


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────


def parse_id(cell: object) -> int | Invalid:
    """The one authority on ids: ASCII digits, 1 to 19, no leading zero, at most ``MAX_ID``.

    Text may have spaces and tabs around it. From Parquet come integers, and decimals of whole
    value; anything else is ``Invalid``, with a reason that names no column yet.
    """
    if isinstance(cell, str):
        return _parse_text(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | Decimal):
        return _unfit(cell)
    if isinstance(cell, Decimal) and (not cell.is_finite() or cell != cell.to_integral_value()):
        return Invalid("decimal_point", f"{_shown(cell)} is no whole number")
    number = int(cell)
    if number <= 0:
        return Invalid("zero" if number == 0 else "sign", f"{number} is no id")
    return number if number <= MAX_ID else Invalid("too_large", f"{number} is above {MAX_ID}")


def _unfit(cell: object) -> Invalid:
    if cell is None:
        return Invalid("null", "is empty (null)")
    return Invalid("wrong_type", f"{_shown(cell)} is a {type(cell).__name__}, no whole number")


def _parse_text(cell: str) -> int | Invalid:
    text = cell.strip(" \t")
    if _PLAIN.fullmatch(text):
        return int(text)
    for pattern, code, why in _FLAWS:
        if pattern.fullmatch(text):
            return Invalid(code, f"{_shown(cell)} {why}")
    number = int(text)  # nothing but 19 digits is left
    return number if number <= MAX_ID else Invalid("too_large", f"{number} is above {MAX_ID}")


_FLAWS: Final = tuple(
    (re.compile(pattern, re.DOTALL), code, why)
    for pattern, code, why in (
        (r"\s*", "blank", "is blank"),
        (r"0", "zero", "is no id"),
        (r"0[0-9]+", "leading_zero", "begins with a zero: this API's ids do not"),
        (r"[0-9]{20,}", "too_large", f"is above {MAX_ID}"),
        (r"[+-][0-9.,eE+-]*", "sign", "has a sign"),
        (
            r"[0-9.,]+[eE][+-]?[0-9]+",
            "exponent",
            f"is a rounded number, its last digits are lost: {_EXPONENT_REMEDY}",
        ),
        (r"[0-9]+\.[0-9]*", "decimal_point", f"has a decimal point: {_EXPONENT_REMEDY}"),
        (
            r"[0-9]{1,3}([, '.\u00a0\u202f][0-9]{3})+",
            "thousands",
            f"is grouped: {_EXPONENT_REMEDY}",
        ),
        (r"[0-9]+(_[0-9]+)+", "underscore", "has underscores"),
        (r"(?![0-9]*\Z)\d+", "other_digits", "is written in another script's digits"),
        (r"(?![1-9][0-9]{18}\Z).*", "not_digits", "is no id: digits only"),
    )
)


def _shown(cell: object) -> str:
    text = cell if isinstance(cell, str) else str(cell)
    short = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
    return json.dumps(short, ensure_ascii=False) if isinstance(cell, str) else short


# ── headers ──────────────────────────────────────────────────────────────────────────────────────


def normal(header: str) -> str:
    """A header without regard to case, spaces, ``_``, ``-`` and BOM."""
    return re.sub(r"[\s_\-\ufeff]", "", header).lower()


_BY_HEADER: Final = {normal(name): name for name in NAMES} | ALIASES


@dataclass(slots=True)
class Mapper:
    """Finds the ids in a record, by its header and a ``Reading``.

    ``header`` are the column names in order. ``kept`` are the input's own, those that this program
    did not add. ``places`` tells the column of each id that has one. Raises ``InputRefused`` (65)
    where a column is missing, doubtful, or given twice over.
    """

    header: Sequence[str]
    reading: Reading
    kept: tuple[str, ...] = ()
    places: dict[str, int] = field(default_factory=dict)
    _kept_places: tuple[int, ...] | None = None
    _cache: dict[object, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = [i for i, name in enumerate(self.header) if not _is_added(name)]
        self.kept = tuple(self.header[i] for i in own)
        self._kept_places = None if len(own) == len(self.header) else tuple(own)
        self.places = _find_places(self.header, self.reading)
        _check_constants(self.header, self.places, self.reading)

    def kept_cells(self, record: Record) -> tuple[object, ...]:
        """The cells under ``kept``; what a ragged row has beyond its header stays at the end."""
        cells = record.cells
        if self._kept_places is None or record.flaw:
            return cells
        own = tuple(cells[i] for i in self._kept_places if i < len(cells))
        return own + cells[len(self.header) :]

    def key(self, record: Record) -> Key | Invalid:
        """The customer/target of a record, or why it has none."""
        if record.flaw:
            return record.flaw
        cells = record.cells
        if len(cells) != len(self.header):
            return _ragged(len(cells), len(self.header))
        customer = self._id("customerId", cells, None)
        group = self._id("targetGroupId", cells, self.reading.group)
        target = self._id("targetId", cells, self.reading.target)
        org = self._org(cells)
        for value in (customer, group, target, org):
            if isinstance(value, Invalid):
                return value
        return Key(org, group, target, customer)  # type: ignore[arg-type]

    def _id(self, name: str, cells: tuple[object, ...], constant: int | None) -> int | Invalid:
        place = self.places.get(name)
        if place is None:
            return constant or Invalid("blank", f"{name} is missing")
        cell = cells[place]
        found = self._cache.get(cell) if isinstance(cell, str) else None
        if found is not None:
            return found
        value = parse_id(cell)
        if isinstance(value, Invalid):
            return Invalid(value.code, f"{self.header[place]}: {value.message}")
        if name != "customerId" and isinstance(cell, str) and len(self._cache) < CACHED_IDS:
            self._cache[cell] = value
        return value

    def _org(self, cells: tuple[object, ...]) -> int | Invalid | None:
        place = self.places.get("orgId")
        if place is None:
            return self.reading.org
        cell = cells[place]
        if isinstance(cell, str) and cell.strip(" \t") == SELF:
            return None
        return self._id("orgId", cells, None)


def _is_added(header: str) -> bool:
    return header.strip().lower().startswith(ADDED_PREFIX)


def _ragged(found: int, expected: int) -> Invalid:
    code = "missing_fields" if found < expected else "extra_fields"
    fields = f"{found} field{'s' * (found != 1)}"
    return Invalid(code, f"the row has {fields}, the header {expected}: is a comma not quoted?")


def _find_places(header: Sequence[str], reading: Reading) -> dict[str, int]:
    places: dict[str, int] = {}
    for name, wanted in reading.columns:
        place = _mapped_place(header, name, wanted, name in places)
        if place in places.values():
            raise InputRefused(f'--column maps "{wanted}" to two ids', "map each header once")
        places[name] = place
    for name in NAMES:
        found = None if name in places else _named_place(header, name, set(places.values()))
        if found is not None:
            places[name] = found
    return places


def _mapped_place(header: Sequence[str], name: str, wanted: str, again: bool) -> int:
    found = [i for i, h in enumerate(header) if h == wanted]
    found = found or [i for i, h in enumerate(header) if normal(h) == normal(wanted)]
    if len(found) == 1 and not again:
        return found[0]
    if again:
        raise InputRefused(f"--column maps {name} twice", "map each id once")
    what = "stands more than once" if found else "is not there"
    raise InputRefused(
        f'--column {name}="{wanted}": this header {what}; found: {_listed(header)}',
        f"--column {name}=HEADER with one of these headers",
    )


def _named_place(header: Sequence[str], name: str, taken: set[int]) -> int | None:
    found = [
        i
        for i, h in enumerate(header)
        if i not in taken and not _is_added(h) and _BY_HEADER.get(normal(h)) == name
    ]
    if len(found) > 1:
        names = " and ".join(f'"{header[i]}"' for i in found)
        raise InputRefused(
            f"two columns could be {name}: {names}", f'--column {name}="{header[found[0]]}"'
        )
    return found[0] if found else None


def _check_constants(header: Sequence[str], places: Mapping[str, int], reading: Reading) -> None:
    for name, option, constant in (
        ("targetGroupId", "--target-group-id", reading.group),
        ("targetId", "--target-id", reading.target),
        ("orgId", "--data-scope-org", reading.org),
    ):
        if name in places and constant is not None:
            raise InputRefused(
                f'both {option} and the column "{header[places[name]]}" say {name}',
                f"leave out {option}, or the column",
            )
    for name, constant in (
        ("customerId", None),
        ("targetGroupId", reading.group),
        ("targetId", reading.target),
    ):
        if name not in places and constant is None:
            raise _missing(header, name)


def _missing(header: Sequence[str], name: str) -> InputRefused:
    if header and not any(re.search(r"[^\W\d]", h) for h in header):
        return InputRefused(
            f"there is no header: the first row is {_listed(header)}",
            "put a header with customerId, targetGroupId and targetId into the first row",
        )
    near = get_close_matches(normal(name), [normal(h) for h in header], 1, 0.5)
    guess = next((h for h in header if near and normal(h) == near[0]), "HEADER")
    option = {"targetGroupId": " or --target-group-id N", "targetId": " or --target-id N"}
    return InputRefused(
        f"there is no column {name}; found: {_listed(header)}",
        f'--column {name}="{guess}"{option.get(name, "")}',
    )


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(f'"{h[:SHOWN_CHARS]}"' for h in header[:12])
    return f"{shown} and {len(header) - 12} more" if len(header) > 12 else shown or "nothing"
