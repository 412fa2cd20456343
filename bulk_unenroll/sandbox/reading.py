"""Tables read strictly: a wrong key or value is named, with the nearest right word. No files."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

ID_MOST: Final = 2**63 - 1
DIGITS: Final = re.compile("[1-9][0-9]{0,18}")

Reader = Callable[[object], Any]
"""Turns what TOML or JSON gave into a value; raises ``ValueError`` saying what it wants."""


class ScenarioError(ValueError):
    """A scenario says something that is not understood. One line."""


def read_table(
    where: str,
    table: object,
    readers: Mapping[str, Reader],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The values of ``table`` by their proper names; raises ``ScenarioError``."""
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{where} is no table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = (aliases or {}).get(key, key)
        if name not in readers:
            raise ScenarioError(f"{where}: {unknown('key', key, readers)}")
        if name in values:
            raise ScenarioError(f"{where}: {key!r} says {name!r} again")
        try:
            values[name] = readers[name](value)
        except ScenarioError:
            raise
        except ValueError as error:
            raise ScenarioError(f"{where}: {key} {error}") from None
    return values


def unknown(what: str, word: object, known: Collection[str]) -> str:
    """What to say of a word that is not among ``known``."""
    near = get_close_matches(str(word), known, 1)
    return f"unknown {what} {word!r}" + (f", did you mean {near[0]!r}?" if near else "")


def whole(least: int, most: int = ID_MOST) -> Reader:
    """Reads an integer from ``least`` to ``most``."""

    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _wants(f"an integer from {least} to {most}", value)
        return value

    return read


def some(reader: Reader) -> Reader:
    """Reads a list into a frozen set, and one value as a list of one."""

    def read(value: object) -> frozenset[Any]:
        return frozenset(reader(item) for item in (value if isinstance(value, list) else [value]))

    return read


def number(most: float = 1e9) -> Reader:
    """Reads a number from 0 to ``most``."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise _wants(f"a number from 0 to {most:g}", value)
        return value

    return read


def word(*known: str, **aliases: str) -> Reader:
    """Reads one of ``known`` words."""

    def read(value: object) -> str:
        found = aliases.get(value, value) if isinstance(value, str) else None
        if found not in known:
            raise ValueError(f"is an {unknown('word', value, known)}")
        return str(found)

    return read


def text(value: object) -> str:
    """Reads a string."""
    if not isinstance(value, str):
        raise _wants("a string", value)
    return value


def header(value: object) -> str:
    """Reads what may stand in a header, and a number as its digits."""
    line = str(value) if type(value) is int else text(value)
    if not line.isprintable():
        raise _wants("one printable line", value)
    return line


def headers(value: object) -> dict[str, str]:
    """Reads a table of header lines."""
    if not isinstance(value, Mapping):
        raise _wants("a table of header lines", value)
    return {header(name): header(line) for name, line in value.items()}


def flag(value: object) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise _wants("true or false", value)
    return value


def error_code(value: object) -> int | str:
    """Reads an error code: an integer, or a string to be told as it is."""
    if type(value) is int or isinstance(value, str):
        return value
    raise _wants("an integer or a string", value)


def digits(word: str) -> int | None:
    """An id written in plain ASCII digits; None for anything else."""
    return int(word) if DIGITS.fullmatch(word) else None


def target(value: object) -> tuple[int, int]:
    """Reads ``"group/target"`` or ``{group = 1, target = 2}``."""
    if isinstance(value, Mapping) and value.keys() == {"group", "target"}:
        return one_id(value["group"]), one_id(value["target"])
    pair = [digits(item) for item in value.split("/")] if isinstance(value, str) else []
    match pair:
        case [int(group), int(rule)]:
            return group, rule
    raise _wants("targets as 'group/target' or {group, target}", value)


def _wants(what: str, value: object) -> ValueError:
    return ValueError(f"wants {what}, not {value!r}")


one_id: Final = whole(1)
ids: Final = some(one_id)
targets: Final = some(target)
