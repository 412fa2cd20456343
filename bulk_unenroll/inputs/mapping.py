"""Which columns of an input hold the ids, told from its header. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from bulk_unenroll.errors import InputRefused, OptionValue
from bulk_unenroll.inputs.ids import SHOWN_CHARS, shown

REQUIRED: Final = ("customerId", "targetGroupId", "targetId")
NAMES: Final = (*REQUIRED, "orgId")
ALIASES: Final = {"userid": "customerId", "targetruleid": "targetId"}
OPTIONS: Final = {
    "targetGroupId": "--target-group-id",
    "targetId": "--target-id",
    "orgId": "--data-scope-org",
}
ADDED_PREFIX: Final = "unenroll_"
LISTED_HEADERS: Final = 12


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How to read an input. Part of a source's identity: other constants make another source.

    ``columns`` are pairs of an id's name and the header of its column. ``target_group_id``,
    ``target_id`` and ``data_scope_org`` replace columns that the input does not have.
    """

    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    columns: Sequence[tuple[str, str]] = ()
    target_group_id: int | None = None
    target_id: int | None = None
    data_scope_org: int | None = None

    def constants(self) -> dict[str, int]:
        """The ids that are the same for every row, by name."""
        given = {
            "targetGroupId": self.target_group_id,
            "targetId": self.target_id,
            "orgId": self.data_scope_org,
        }
        return {name: value for name, value in given.items() if value is not None}

    def signature(self) -> str:
        """A stable JSON text of everything that changes what the rows mean."""
        values = {
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "sheet": self.sheet,
            "columns": sorted(self.columns),
            "group": self.target_group_id,
            "target": self.target_id,
            "org": self.data_scope_org,
        }
        given = {name: value for name, value in values.items() if value}
        return json.dumps(given, ensure_ascii=False, sort_keys=True)


def mapping_options(signature: str) -> dict[str, OptionValue]:
    """The options that find the ids in a CSV copy of an input whose reading has this signature."""
    given = json.loads(signature)
    columns = ["=".join(pair) for pair in given.get("columns", [])]
    options: dict[str, OptionValue] = {"column": columns} if columns else {}
    for key, name in (("group", "targetGroupId"), ("target", "targetId"), ("org", "orgId")):
        if key in given:
            options[OPTIONS[name].removeprefix("--")] = str(given[key])
    return options


def is_added(header: str) -> bool:
    """Whether a column is one that this program adds to its results."""
    return header.startswith(ADDED_PREFIX)


def normal(header: str) -> str:
    """A header without regard to case, spaces, ``_``, ``-`` and BOM."""
    return re.sub(r"[\s_\-\ufeff]", "", header).lower()


def title(header: str) -> str:
    """A header as a message names it: bare where it is short and visible."""
    bare = header.isprintable() and 0 < len(header) <= SHOWN_CHARS
    return header if bare else shown(header)


def name_of(header: str) -> str | None:
    """The id that a header means by itself, if any."""
    return _BY_HEADER.get(normal(header))


_BY_HEADER: Final = {normal(name): name for name in NAMES} | ALIASES


def find_places(header: Sequence[str], reading: ReadSettings) -> dict[str, int]:
    """The column, counted from 0, of each id that has one.

    Raises ``InputRefused`` (65) where an id has no column and no constant, or both, or two.
    """
    places: dict[str, int] = {}
    for name, wanted in reading.columns:
        places[name] = _mapped_place(header, name, wanted, places)
    for name in NAMES:
        found = None if name in places else _named_place(header, name, set(places.values()))
        if found is not None:
            places[name] = found
    _check_constants(header, places, reading.constants())
    return places


def _mapped_place(header: Sequence[str], name: str, wanted: str, taken: Mapping[str, int]) -> int:
    if name in taken:
        raise InputRefused(f"--column maps {name} twice", "map each id once")
    own = [place for place, text in enumerate(header) if text and not is_added(text)]
    found = [place for place in own if header[place] == wanted]
    found = found or [place for place in own if normal(header[place]) == normal(wanted)]
    if not found and _is_data(header):
        raise _headless(header)
    if len(found) != 1:
        what = "stands more than once" if found else "is not there"
        raise InputRefused(
            f'--column {name}="{wanted}": this header {what}; found: {_listed(header)}',
            f"--column {name}=HEADER with one of these headers",
        )
    if found[0] in taken.values():
        raise InputRefused(f'--column maps "{wanted}" to two ids', "map each header once")
    return found[0]


def _named_place(header: Sequence[str], name: str, taken: set[int]) -> int | None:
    found = [
        place for place, text in enumerate(header) if place not in taken and name_of(text) == name
    ]
    if len(found) > 1:
        names = " and ".join(shown(header[place]) for place in found)
        alike = len({header[place] for place in found}) < len(found)
        remedy = "rename or remove one of them"
        raise InputRefused(
            f"two columns could be {name}: {names}",
            remedy if alike else _option(name, header[found[0]], remedy),
        )
    return found[0] if found else None


def _check_constants(
    header: Sequence[str], places: Mapping[str, int], constants: Mapping[str, int]
) -> None:
    for name, option in OPTIONS.items():
        if name in places and name in constants:
            raise InputRefused(
                f"both {option} and the column {shown(header[places[name]])} say {name}",
                f"leave out {option}, or the column",
            )
    lacking = [name for name in REQUIRED if name not in places and name not in constants]
    if lacking:
        raise _missing(header, lacking)


def _missing(header: Sequence[str], names: Sequence[str]) -> InputRefused:
    """All that has neither a column nor a constant, at once."""
    if _is_data(header):
        return _headless(header)
    headers = {name: _near(header, name) for name in names}
    return InputRefused(
        f"there is no column {' or '.join(names)}; found: {_listed(header)}",
        ", ".join(_either(name, near) for name, near in headers.items()),
        lacking={"column": [f"{name}={near or 'HEADER'}" for name, near in headers.items()]},
    )


def _near(header: Sequence[str], name: str) -> str:
    """The header most like an id's name, or none. Never one that is known to be another id."""
    free = {normal(text): text for text in header if name_of(text) is None and not is_added(text)}
    near = get_close_matches(normal(name), free, 1, 0.5)
    return free[near[0]] if near and free[near[0]].isprintable() else ""


def _either(name: str, near: str) -> str:
    """What helps where an id has no column: to name one, or the same for every row."""
    constant = f" or {OPTIONS[name]} N" if name in OPTIONS else ""
    return _option(name, near, f"--column {name}=HEADER") + constant


def _is_data(header: Sequence[str]) -> bool:
    return bool(header) and not any(re.search(r"[^\W\d_]", text) for text in header)


def _headless(header: Sequence[str]) -> InputRefused:
    return InputRefused(
        f"there is no header: the first row is {_listed(header)}",
        "put a header with customerId, targetGroupId and targetId into the first row",
    )


def _option(name: str, header: str, otherwise: str) -> str:
    """The ``--column`` to type for ``header``, if a shell would take it as it stands."""
    plain = header and header.isprintable() and not set(header) & set('"$`\\!')
    return f'--column {name}="{header}"' if plain else otherwise


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(shown(text) for text in header[:LISTED_HEADERS])
    more = len(header) - LISTED_HEADERS
    return f"{names} and {more} more" if more > 0 else names or "nothing"
