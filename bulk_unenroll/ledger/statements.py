"""SQL statements by name: the SQL files that hold them, and the connection that runs them.

A file may use macros, written ``{name argument, argument}``. They are expanded when it is read, so
they cost nothing to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final, Protocol

from bulk_unenroll.errors import LedgerFailed

_MACRO: Final = re.compile(r"\{(\w+)(?: ([^{}]+))?\}")
_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
Row = tuple[Any, ...]


class StatementConnection(Protocol):
    """A connection that knows the statements by name. A list is a value like others."""

    def fetch_all(self, statement: str, /, **values: object) -> list[Row]:
        """All rows of a statement."""

    def fetch_one(self, statement: str, /, **values: object) -> Row:
        """The one row of a statement that always has one."""

    def meta(self, name: str) -> str | None:
        """What was noted under ``name``."""

    def damaged(self, what: str) -> LedgerFailed:
        """The error for a ledger that is damaged."""


def read_statements(
    package: str, names: Iterable[str], macros: Mapping[str, str]
) -> dict[str, str]:
    """Every statement of the files ``names`` (without ``.sql``) of a package, by its name."""
    statements: dict[str, str] = {}
    for name in names:
        text = files(package).joinpath(f"{name}.sql").read_text("utf-8")
        _, *parts = _NAME.split(_expand(text, macros))
        statements |= dict(zip(parts[::2], parts[1::2], strict=True))
    return statements


def _expand(text: str, macros: Mapping[str, str]) -> str:
    def text_of(macro: re.Match[str]) -> str:
        name, arguments = macro.groups("")
        return _expand(macros[name].format(*arguments.split(", ")), macros)

    return _MACRO.sub(text_of, text)
