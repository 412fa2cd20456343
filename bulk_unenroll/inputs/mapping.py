"""Finds the columns of the ids by the header of an input. Pure."""

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
FLAGS: Final = {
    "targetGroupId": "--target-group-id",
    "targetId": "--target-id",
    "orgId": "--data-scope-org",
}
WORDS: Final = {
    "targetGroupId": {"group"},
    "targetId": {"target", "milestone", "streak", "rule"},
    "customerId": {"customer", "member", "user", "client"},
}
"""By which words a header speaks of an id, the first that fits: hints for a person, no more."""
ADDED_PREFIX: Final = "unenroll_"
STATUS_COLUMN: Final = "unenroll_status"
LISTED_HEADERS: Final = 12


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How to read an input. Part of a source's identity: other constants make another source.

    ``header_row`` is the line of a text, or the row of a sheet, in which the header begins.
    ``max_rows`` only refuses, and changes no row.
    ``columns`` are pairs of an id's name and the header of its column. ``target_group_id``,
    ``target_id`` and ``data_scope_org`` replace columns that the input does not have.
    """

    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    max_rows: int = 100_000_000
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

    def signature(self, never: str = "") -> str:
        """Return a stable JSON text of everything that changes the meaning of a row.

        ``never`` is the SHA-256 of the never-lists, if there are any.
        """
        values = {
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "sheet": self.sheet,
            "header_row": self.header_row,
            "columns": sorted(self.columns),
            "group": self.target_group_id,
            "target": self.target_id,
            "org": self.data_scope_org,
            "never": never,
        }
        given = {name: value for name, value in values.items() if value}
        return json.dumps(given, ensure_ascii=False, sort_keys=True)


def with_never(signature: str, never: str) -> str:
    """A ``ReadSettings.signature`` with other never-lists, by their SHA-256; "" for none."""
    values = json.loads(signature) | {"never": never}
    given = {name: value for name, value in values.items() if value}
    return json.dumps(given, ensure_ascii=False, sort_keys=True)


def parse_column(value: str | tuple[str, str]) -> tuple[str, str]:
    """Return an id's name and the header of its column, from ``NAME=HEADER`` or a pair.

    Raises ``ValueError``.
    """
    text = value if isinstance(value, str) else "=".join(value)
    name, equals, header = text.partition("=")
    if not equals or name not in NAMES:
        raise ValueError(
            f"{text!r} is not a valid column: write NAME=HEADER,"
            f" where NAME is {', '.join(NAMES[:-1])} or {NAMES[-1]}"
        )
    return name, header


def is_added(header: str) -> bool:
    """Whether ``header`` is that of a column that this program adds to its results."""
    return header.startswith(ADDED_PREFIX)


def normalized(header: str) -> str:
    """Return ``header`` in lower case, without spaces, ``_``, ``-`` and BOM."""
    return re.sub(r"[\s_\-\ufeff]", "", header).lower()


def header_label(header: str) -> str:
    """Return ``header`` for a message: as it is, or as ``shown`` if it is long or unprintable."""
    is_plain = header.isprintable() and 0 < len(header) <= SHOWN_CHARS
    return header if is_plain else shown(header)


def column_label(place: int) -> str:
    """``column C``: what a column is called that has no header of its own. Counts from 0."""
    letters, left = "", place + 1
    while left:
        left, letter = divmod(left - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"column {letters}"


def addresses(header: Sequence[str]) -> list[str]:
    """How each column of ``header`` is named in ``ReadSettings.columns``; "" for one that cannot.

    That is its header, or ``column C`` where it is blank or not the only one of that name.
    """
    known = [normalized(text) for text in header]
    labels = [column_label(place) for place in range(len(header))]
    return [
        text
        if known[place] and known.count(known[place]) == 1
        else ("" if normalized(labels[place]) in known else labels[place])
        for place, text in enumerate(header)
    ]


def name_of(header: str) -> str | None:
    """Return the name of the id that ``header`` stands for, if any."""
    return _BY_HEADER.get(normalized(header))


_BY_HEADER: Final = {normalized(name): name for name in NAMES} | ALIASES


def find_places(header: Sequence[str], reading: ReadSettings) -> dict[str, int]:
    """Return the column, counted from 0, of each id that has one.

    Raises ``InputRefused`` (65) if an id has neither a column nor a constant, or more than one.
    """
    places = columns_of(header, reading)
    _check_constants(header, places, reading.constants())
    return places


def columns_of(header: Sequence[str], reading: ReadSettings) -> dict[str, int]:
    """Like ``find_places``, but without a check that every id has a column or a constant."""
    places: dict[str, int] = {}
    for name, wanted in reading.columns:
        places[name] = _mapped_place(header, name, wanted, places)
    for name in NAMES:
        found = None if name in places else _named_place(header, name, set(places.values()))
        if found is not None:
            places[name] = found
    return places


def _mapped_place(header: Sequence[str], name: str, wanted: str, taken: Mapping[str, int]) -> int:
    if name in taken:
        raise InputRefused(f"--column maps {name} twice", "map each id once")
    own = [place for place, text in enumerate(header) if text and not is_added(text)]
    found = [place for place in own if header[place] == wanted]
    found = found or [place for place in own if normalized(header[place]) == normalized(wanted)]
    if not found and wanted:
        pairs = enumerate(zip(header, addresses(header), strict=True))
        found = [place for place, (text, one) in pairs if one == wanted != text]
    if not found and _is_data(header):
        raise _no_header(header)
    if len(found) != 1:
        problem = "occurs more than once" if found else "does not exist"
        raise InputRefused(
            f'--column {name}="{wanted}": this header {problem}; found: {listed(header)}',
            f"give --column {name}=HEADER with one of these headers",
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
        is_same_header = len({header[place] for place in found}) < len(found)
        remedy = "rename or remove one of them"
        raise InputRefused(
            f"two columns could be {name}: {names}",
            remedy if is_same_header else _column_option(name, header[found[0]], remedy),
        )
    return found[0] if found else None


def _check_constants(
    header: Sequence[str], places: Mapping[str, int], constants: Mapping[str, int]
) -> None:
    for name, option in FLAGS.items():
        if name in places and name in constants:
            raise InputRefused(
                f"both {option} and the column {shown(header[places[name]])} give {name}",
                f"remove {option} or the column",
            )
    missing = [name for name in REQUIRED if name not in places and name not in constants]
    if missing:
        raise _missing(header, missing)


def _missing(header: Sequence[str], names: Sequence[str]) -> InputRefused:
    """The refusal that names all ids with neither a column nor a constant."""
    if _is_data(header):
        return _no_header(header)
    headers = {name: _closest(header, name) for name in names}
    return InputRefused(
        f"there is no column {' or '.join(names)}; found: {listed(header)}",
        ", ".join(_remedy(name, near) for name, near in headers.items()),
        lacking=_lacking(header, headers),
    )


def _lacking(header: Sequence[str], headers: Mapping[str, str]) -> dict[str, OptionValue]:
    """The options for ids without a column, each with the header that is near, or "".

    An id that no header is near to is probably the same for all rows. But where the customer's is
    such an id too, the columns have names of their own: then it is so only if they are too few.
    """
    is_foreign = headers.get("customerId") == ""
    guessed = sorted(headers, key=("customerId", "targetId", "targetGroupId").index)
    guessed = guessed[: max(1, len(_free(header)))] if is_foreign else []
    columns, options = [], dict[str, OptionValue]()
    for name, near in headers.items():
        if near or name in guessed:
            columns.append(f"{name}={near or 'HEADER'}")
        else:
            options[FLAGS[name].removeprefix("--")] = "N"
    return {"column": columns, **options} if columns else options


def _free(header: Sequence[str]) -> dict[str, str]:
    """The headers of no id, by what they are compared by."""
    return {
        normalized(text): text for text in header if name_of(text) is None and not is_added(text)
    }


def _closest(header: Sequence[str], name: str) -> str:
    """The header most like the name of an id, or "". Never the header of another id."""
    free = _free(header)
    meant = {text: meaning(text) for text in free.values()}
    near = [text for text, other in meant.items() if other == name]
    if len(near) != 1:
        open_ = {short: text for short, text in free.items() if meant[text] in (name, None)}
        near = [open_[short] for short in get_close_matches(normalized(name), open_, 1, 0.5)]
    return near[0] if near and near[0].isprintable() else ""


def meaning(header: str) -> str | None:
    """The name of the id that the words of a header speak of, if they speak of one."""
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", header).lower())
    return next((name for name, said in WORDS.items() if said & {*words}), None)


def _remedy(name: str, near: str) -> str:
    """The options for an id without a column: name one, or give one value for all rows."""
    constant = f" or {FLAGS[name]} N" if name in FLAGS else ""
    return _column_option(name, near, f"--column {name}=HEADER") + constant


def _is_data(header: Sequence[str]) -> bool:
    return bool(header) and not any(re.search(r"[^\W\d_]", text) for text in header)


def _no_header(header: Sequence[str]) -> InputRefused:
    return InputRefused(
        f"there is no header: the first row is {listed(header)}",
        "add a first row with the headers customerId, targetGroupId and targetId",
    )


def _column_option(name: str, header: str, otherwise: str) -> str:
    """The ``--column`` for ``header``, or ``otherwise`` if a shell would change it."""
    is_plain = header and header.isprintable() and not set(header) & set('"$`\\!')
    return f'--column {name}="{header}"' if is_plain else otherwise


def listed(header: Sequence[str]) -> str:
    """Return the first of some headers, for a message."""
    names = ", ".join(shown(text) for text in header[:LISTED_HEADERS])
    more = len(header) - LISTED_HEADERS
    return f"{names} and {more} more" if more > 0 else names or "nothing"
