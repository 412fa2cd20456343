"""Strict readers of tables: they name a wrong key or value, and the closest valid one. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

MAX_ID: Final = 2**63 - 1
DIGITS: Final = re.compile("[1-9][0-9]{0,18}")

Reader = Callable[[object], Any]
"""Turns a TOML or JSON value into one of ours; raises ``ValueError`` that says what it expects."""


class ScenarioError(ValueError):
    """A scenario is invalid. The message is one line."""


def read_table(
    where: str,
    table: object,
    readers: Mapping[str, Reader],
    aliases: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the values of ``table``, by name without aliases; raises ``ScenarioError``."""
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{where} must be a table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = (aliases or {}).get(key, key)
        if name not in readers:
            raise ScenarioError(f"{where}: {unknown('key', key, readers)}")
        if name in values:
            raise ScenarioError(f"{where}: {key!r} gives {name!r} again")
        try:
            values[name] = readers[name](value)
        except ScenarioError:
            raise
        except ValueError as error:
            raise ScenarioError(f"{where}: {key} {error}") from None
    return values


def unknown(what: str, word: object, known: Collection[str]) -> str:
    """Return a message about a word that is not one of ``known``."""
    near = get_close_matches(str(word), known, 1)
    return f"unknown {what} {word!r}" + (f", did you mean {near[0]!r}?" if near else "")


def integer(least: int, most: int = MAX_ID) -> Reader:
    """Return a reader of integers from ``least`` to ``most``."""

    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _expected(f"an integer from {least} to {most}", value)
        return value

    return read


def set_of(reader: Reader) -> Reader:
    """Return a reader of a list, or of one value, into a frozen set."""

    def read(value: object) -> frozenset[Any]:
        return frozenset(reader(item) for item in (value if isinstance(value, list) else [value]))

    return read


def number(most: float = 1e9) -> Reader:
    """Return a reader of numbers from 0 to ``most``."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise _expected(f"a number from 0 to {most:g}", value)
        return value

    return read


def word(*known: str, **aliases: str) -> Reader:
    """Return a reader of the words ``known``, and of aliases of them."""

    def read(value: object) -> str:
        found = aliases.get(value, value) if isinstance(value, str) else None
        if found not in known:
            raise ValueError(f"has an {unknown('value', value, known)}")
        return str(found)

    return read


def text(value: object) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise _expected("a string", value)
    return value


def header(value: object) -> str:
    """Read a string that is valid in a header, or an integer as its digits."""
    line = str(value) if type(value) is int else text(value)
    if not line.isprintable():
        raise _expected("one printable line", value)
    return line


def headers(value: object) -> dict[str, str]:
    """Read a table of header lines."""
    if not isinstance(value, Mapping):
        raise _expected("a table of header lines", value)
    return {header(name): header(line) for name, line in value.items()}


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def error_code(value: object) -> int | str:
    """Read an error code: an integer, or a string, which is sent unchanged."""
    if type(value) is int or isinstance(value, str):
        return value
    raise _expected("an integer or a string", value)


def digits(word: str) -> int | None:
    """Return the id that ``word`` is in plain ASCII digits; None for anything else."""
    return int(word) if DIGITS.fullmatch(word) else None


def target(value: object) -> tuple[int, int]:
    """Read ``"group/target"`` or ``{group = 1, target = 2}``."""
    if isinstance(value, Mapping) and value.keys() == {"group", "target"}:
        return one_id(value["group"]), one_id(value["target"])
    pair = [digits(item) for item in value.split("/")] if isinstance(value, str) else []
    match pair:
        case [int(group), int(rule)]:
            return group, rule
    raise _expected("'group/target' or {group, target}", value)


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"must be {what}, not {value!r}")


one_id: Final = integer(1)
ids: Final = set_of(one_id)
targets: Final = set_of(target)
