"""Decides what a valid id is: the only digits that may reach the API. Pure.

An id must be in the file in exactly the digits that are called. So nothing is rounded, padded or
guessed: a cell that is not plainly an id is ``Invalid``, with the reason.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

from bulk_unenroll.model import MAX_ID, Invalid

SHOWN_CHARS: Final = 60

_EXPORT_AGAIN: Final = "format the column as text or as a number without decimals, and export again"
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")  # int() also accepts 1_000 and digits of other scripts
_FLAWS: Final = tuple(
    (re.compile(pattern, re.DOTALL), code, why)
    for pattern, code, why in (
        (r"\s*", "blank", "is blank"),
        (r"0", "zero", "is not a valid id"),
        (r"0[0-9]+", "leading_zero", "has a leading zero: valid ids have none"),
        (r"[0-9]+", "too_large", f"is above {MAX_ID}"),
        (r"[+\-\u2212][0-9.,eE+-]*", "sign", "has a sign: use digits only"),
        (
            r"[0-9.,]+[eE][+-]?[0-9]+",
            "exponent",
            f"is a rounded number that lost its last digits: {_EXPORT_AGAIN}",
        ),
        (r"[0-9]+\.[0-9]*", "decimal_point", f"has a decimal point: {_EXPORT_AGAIN}"),
        (
            r"[0-9]{1,3}([, '.\u00a0\u202f][0-9]{3})+",
            "thousands",
            f"has thousands separators: {_EXPORT_AGAIN}",
        ),
        (r"[0-9]+,[0-9]*", "not_digits", f"has a decimal comma: {_EXPORT_AGAIN}"),
        (r"[0-9]+(_[0-9]+)+", "underscore", "has underscores: use digits only"),
        (r"\d+", "other_digits", "has digits of another script: use 0 to 9"),
        (r".*[\r\n].*", "not_digits", "contains a line break: check for an unclosed quote"),
        (r".*", "not_digits", "is not a valid id: use digits only"),
    )
)
"""Patterns of invalid ids; the first that matches decides. The codes are stable."""


def parse_id(cell: object) -> int | Invalid:
    """Return the id in a cell: 1 to 19 ASCII digits, no leading zero, at most ``MAX_ID``.

    Text may have spaces and tabs around it. An id from Parquet may be an integer, or a decimal with
    a whole value. Anything else is ``Invalid``, with a message that does not name the column yet.
    """
    if isinstance(cell, str):
        text = cell.strip(" \t")
        if _ID.fullmatch(text) and (number := int(text)) <= MAX_ID:
            return number
        return _invalid(cell, text)
    if type(cell) is int:  # a bool is not an id
        return _in_range(cell)
    if isinstance(cell, Decimal):
        if is_whole(cell):
            return _in_range(int(cell))
        return Invalid("decimal_point", f"{shown(cell)} is not a whole number")
    if cell is None:
        return Invalid("null", "is empty (null)")
    return Invalid("wrong_type", f"{shown(cell)} is a {type(cell).__name__}, not a whole number")


def checked_id(value: object) -> int:
    """Return the id that an option has; raises ``ValueError``."""
    found = parse_id(value)
    if isinstance(found, Invalid):
        raise ValueError(f"{value!r} is not a valid id: use its digits")
    return found


def checked_target(text: str) -> str:
    """Return ``1001/2001``, a group and a target, as it was given; raises ``ValueError``."""
    group, _, rule = text.partition("/")
    try:
        return f"{checked_id(group)}/{checked_id(rule)}"
    except ValueError:
        raise ValueError(
            f"{text!r} is not a valid target: write GROUP/TARGET, such as 1001/2001"
        ) from None


def is_whole(number: Decimal) -> bool:
    """Whether ``number`` is an integer, regardless of the decimal context's precision."""
    return number.is_finite() and number.as_integer_ratio()[1] == 1


def shown(value: object) -> str:
    """Return ``value`` on one line of about ``SHOWN_CHARS`` at most, with nothing invisible."""
    text = value if isinstance(value, str) else str(value)
    short = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
    if isinstance(value, str) or not short.isprintable():
        return json.dumps(short, ensure_ascii=not short.isprintable())
    return short


def _invalid(cell: str, text: str) -> Invalid:
    code, why = next((code, why) for pattern, code, why in _FLAWS if pattern.fullmatch(text))
    return Invalid(code, f"{shown(cell)} {why}")


def _in_range(number: int) -> int | Invalid:
    if 0 < number <= MAX_ID:
        return number
    if number > 0:
        return Invalid("too_large", f"{shown(number)} is above {MAX_ID}")
    return Invalid("sign" if number else "zero", f"{shown(number)} is not a valid id")
