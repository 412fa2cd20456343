"""What an id is: the one authority on the digits that may reach the API. Pure.

No id may be called that does not stand in the file in just those digits, so nothing is rounded,
padded or guessed: whatever is not plainly an id is ``Invalid``, and says why.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

from bulk_unenroll.model import MAX_ID, Invalid

SHOWN_CHARS: Final = 60

_EXPORT_AGAIN: Final = "format the column as text or as a number without decimals, export again"
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")  # int() would also take 1_000 and other digits
_FLAWS: Final = tuple(
    (re.compile(pattern, re.DOTALL), code, why)
    for pattern, code, why in (
        (r"\s*", "blank", "is blank"),
        (r"0", "zero", "is no id"),
        (r"0[0-9]+", "leading_zero", "begins with a zero: this API's ids do not"),
        (r"[0-9]+", "too_large", f"is above {MAX_ID}"),
        (r"[+\-\u2212][0-9.,eE+-]*", "sign", "has a sign"),
        (
            r"[0-9.,]+[eE][+-]?[0-9]+",
            "exponent",
            f"is a rounded number, its last digits are lost: {_EXPORT_AGAIN}",
        ),
        (r"[0-9]+\.[0-9]*", "decimal_point", f"has a decimal point: {_EXPORT_AGAIN}"),
        (
            r"[0-9]{1,3}([, '.\u00a0\u202f][0-9]{3})+",
            "thousands",
            f"is grouped: {_EXPORT_AGAIN}",
        ),
        (r"[0-9]+,[0-9]*", "not_digits", f"has a decimal comma: {_EXPORT_AGAIN}"),
        (r"[0-9]+(_[0-9]+)+", "underscore", "has underscores"),
        (r"\d+", "other_digits", "is written in another script's digits"),
        (r".*[\r\n].*", "not_digits", "has a line break in it: was a quote left open?"),
        (r".*", "not_digits", "is no id: digits only"),
    )
)
"""What is not an id, told apart by the first pattern that fits. The codes are stable."""


def parse_id(cell: object) -> int | Invalid:
    """The id in a cell: 1 to 19 ASCII digits, no leading zero, at most ``MAX_ID``.

    Text may have spaces and tabs around it. From Parquet come integers, and decimals of whole
    value. Anything else is ``Invalid``; its message does not name the column yet.
    """
    if isinstance(cell, str):
        text = cell.strip(" \t")
        if _ID.fullmatch(text) and (number := int(text)) <= MAX_ID:
            return number
        return _flawed(cell, text)
    if type(cell) is int:  # a bool is none
        return _in_range(cell)
    if isinstance(cell, Decimal):
        if is_whole(cell):
            return _in_range(int(cell))
        return Invalid("decimal_point", f"{shown(cell)} is no whole number")
    if cell is None:
        return Invalid("null", "is empty (null)")
    return Invalid("wrong_type", f"{shown(cell)} is a {type(cell).__name__}, no whole number")


def is_whole(number: Decimal) -> bool:
    """Whether ``number`` is an integer, whatever the precision of decimals is set to."""
    return number.is_finite() and number.as_integer_ratio()[1] == 1


def shown(value: object) -> str:
    """``value`` on one line of at most about ``SHOWN_CHARS``, nothing in it invisible."""
    text = value if isinstance(value, str) else str(value)
    short = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
    if isinstance(value, str) or not short.isprintable():
        return json.dumps(short, ensure_ascii=not short.isprintable())
    return short


def _flawed(cell: str, text: str) -> Invalid:
    code, why = next((code, why) for flaw, code, why in _FLAWS if flaw.fullmatch(text))
    return Invalid(code, f"{shown(cell)} {why}")


def _in_range(number: int) -> int | Invalid:
    if 0 < number <= MAX_ID:
        return number
    if number > 0:
        return Invalid("too_large", f"{shown(number)} is above {MAX_ID}")
    return Invalid("sign" if number else "zero", f"{shown(number)} is no id")
