"""Words for people: what commands say without their options, numbers with their nouns. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bulk_unenroll.model import row_name

Facts = Mapping[str, Any]

FALLBACK: Final = "It cannot be read as it is. Choose its columns again, or save the file anew."
_SAID: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"more than --max-invalid allows", "more than this page allows"),
        (r'--column (\w+)="([^"]*)": this header', r"the column “\2”, chosen for \1,"),
        (r"--column maps (\w+) twice", r"two columns are chosen for \1"),
        (r'--column maps "([^"]*)" to two ids', r"the column “\1” is chosen for two ids"),
        (r"both --[a-z-]+ and the column", "both the number for every row and the column"),
        (r"[;:,]? above --[a-z-]+(?: [\w.%/]+)?", ""),
        (
            r"byte \d+ \(0x\w+\) in line (\S+) is not UTF-8; save the file as UTF-8",
            r"the letters with accents, first in line \1, are not written in UTF-8",
        ),
    )
)
"""Options that a sentence cannot do without, and what the page calls them."""
_CLAUSE: Final = re.compile(r"(?<=[;.]) ")
_FILE: Final = re.compile(r"\S+\.(csv|tsv|txt|xlsx|xlsm|parquet|parq|pq)\b", re.IGNORECASE)


def in_words(reason: str, facts: Facts | None = None) -> str:
    """Why a command could not go on, as sentences without options. Never empty.

    ``facts``: of the file, which is called as the person called it.
    """
    text, of_file = reason, ""
    if facts and facts.get("file"):
        text = text.replace(str(facts["file"]), str(facts["shown"]))
        begin = f"{facts['shown']}: "
        of_file = begin if text.startswith(begin) else ""
    said = _in_words(text.removeprefix(of_file))
    if not said:
        return FALLBACK
    return f"{of_file}{said}." if of_file else f"{capital(said)}."


def _in_words(text: str) -> str:
    """The sentences without their last point; "" if nothing is left of them."""
    for pattern, words in _SAID:
        text = pattern.sub(words, text)
    clauses = [one.rstrip("; ") for one in _CLAUSE.split(text)]
    kept = [one for one in (_without_options(clause) for clause in clauses) if one]
    said = "; ".join(one.rstrip(".") for one in kept)
    return "" if _FILE.fullmatch(said) else said


def _without_options(clause: str) -> str:
    """``clause`` up to the first part that names an option; such as ``save it as UTF-8``."""
    if "--" not in clause:
        return clause
    kept: list[str] = []
    for part in re.split(r"(?<=[,:]) |(?= or give )", clause):
        if "--" in part:
            break
        kept.append(part)
    return " ".join(kept).strip(" ,:;")


def plainly(text: str) -> str:
    """``text`` with the words of the page for options and commands."""
    for command, button in _BUTTONS.items():
        text = text.replace(command, button)
    return re.sub(r"--([a-z-]+)", lambda found: _NAMES.get(found[1], _plain(found[1])), text)


_BUTTONS: Final = {
    "resume soon": "call them again soon",
    "retry this code": "run this code again",
}


_NAMES: Final = {
    "rate": "the calls a minute",
    "read-timeout": "the time that this server waits",
    "concurrency": "the calls at once",
}


def _plain(option: str) -> str:
    return option.replace("-", " ")


def capital(text: str) -> str:
    """``text`` with a capital, unless it begins with the name of a file."""
    return text if _FILE.match(text) else f"{text[:1].upper()}{text[1:]}"


def several(number: int, one: str, more: str) -> str:
    """``1 row is``, ``2 rows are``: a number with the words that go with it."""
    return f"{number:,} {one if number == 1 else more}"


def phrase(number: int, words: str) -> str:
    """A number with a phrase that is written for several, such as ``were not enrolled``."""
    verbs = {"were": "was", "are": "is", "wait": "waits"}
    first, blank, rest = words.partition(" ")
    return f"{number:,} {verbs.get(first, first) if number == 1 else first}{blank}{rest}"


def size(size_bytes: int) -> str:
    """``3 KB``, ``1.2 MB``."""
    if size_bytes < 100_000:
        return f"{max(1, round(size_bytes / 1000)):,} KB"
    return f"{size_bytes / 1e6:,.1f} MB"


# ── invalid rows ─────────────────────────────────────────────────────────────────────────────────

_EXPORT: Final = (
    "Format the column as text, or as a number without decimals, and export the list again."
)
_DIGITS: Final = "Write the id with the digits 0 to 9 alone."
_LINE: Final = "Look at this line in an editor, and mend it there."
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "blank": ("The id is blank.", "Fill it in, or leave the row out."),
    "null": ("The id is empty.", "Fill it in, or leave the row out."),
    "zero": ("The id is 0, which nobody has.", "Fill in the right id, or leave the row out."),
    "leading_zero": (
        "The id begins with 0, which no id does.",
        "It is probably another number, such as one of a phone: use the column of the ids.",
    ),
    "too_large": ("The number is larger than ids can be.", "Check the column, and mend the id."),
    "sign": ("The id has a plus or a minus.", _DIGITS),
    "exponent": (
        "The id is a rounded number that lost its last digits, such as 4.23E+17.",
        "The lost digits cannot be got back from this file: export the list again, with the column"
        " as text.",
    ),
    "decimal_point": ("The id has a decimal point.", _EXPORT),
    "thousands": ("The id has separators of thousands.", _EXPORT),
    "not_digits": ("The id is not made of digits alone.", _DIGITS),
    "underscore": ("The id has underscores.", _DIGITS),
    "other_digits": ("The id has digits of another script.", _DIGITS),
    "wrong_type": ("The cell holds no whole number, but a date or the like.", _EXPORT),
    "second_header": (
        "The header stands here again: two lists were joined.",
        "Check that the columns of both are in the same order, and delete this row.",
    ),
    "missing_fields": ("The row has fewer cells than the header.", _LINE),
    "extra_fields": ("The row has more cells than the header.", _LINE),
    "nul": ("A cell holds a character that no text has.", "Save the file again as UTF-8."),
    "malformed_quotes": ("The quotes of this line are damaged.", _LINE),
    "undecided": (
        "An earlier run left this customer for somebody to decide about.",
        "Give the file inside the job that wrote it.",
    ),
    "protected": (
        "The customer is on a list of those who must never be called.",
        "Nothing: they are not called.",
    ),
}
_UNKNOWN: Final = ("The row holds no id that can be trusted.", "Mend it, or leave it out.")


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """Why rows are invalid, in words: how many, where the first is, and what to do.

    ``example`` is what the first one holds; it may be shown to those who may see ids.
    """

    reason: str
    number: int
    where: str
    why: str
    advice: str
    example: str


def invalid_of(plan: Facts | None) -> list[InvalidLine]:
    """The invalid rows of a plan, which has one input."""
    if plan is None:
        return []
    file = str(plan["sources"][0]["name"]) if plan["sources"] else ""
    return [_invalid_line(one, file) for one in plan["invalid"]]


def _invalid_line(one: Facts, file: str) -> InvalidLine:
    why, advice = REASONS.get(one["reason"], _UNKNOWN)
    where = row_name(one["first_row"], one.get("first_line"), file)
    name = str(one["reason"]).replace("_", " ")
    example = str(one.get("example") or "")
    example = f"{example.rstrip('.')}." if example else ""
    return InvalidLine(name, one["rows"], where, why, advice, example)
