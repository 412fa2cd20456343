"""What a case is: an input, how it is given, and the verdict that a user is promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

A, B, C = 423789336, 423789337, 423789338
GROUP, TARGET = 1001, 2001
HEADER: Final = "customerId,targetGroupId,targetId\n"
WIDE: Final = "customerId,targetGroupId,targetId,name\n"
ROW_A, ROW_B, ROW_C = (f"{customer},{GROUP},{TARGET}\n" for customer in (A, B, C))
SCOPE: Final = ("--target-group-id", str(GROUP), "--target-id", str(TARGET))

Words = tuple[str, ...]
Make = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Rows:
    """The file is read: exit 0, or 1 with invalid rows.

    ``called``: the customers that would be called, in the order of their rows. ``invalid``: by row,
    the reason's code and what its message must name. ``duplicates``: rows that repeat another one.
    """

    called: tuple[int, ...]
    invalid: Mapping[int, Words] = field(default_factory=dict)
    duplicates: tuple[int, ...] = ()

    @property
    def code(self) -> int:
        return 1 if self.invalid else 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of the file is taken; the last words name what, where, and what helps.

    ``planned``: customers of whole files that were given before it. They are not confirmed either.
    """

    says: Words
    code: int = 65
    planned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """``content`` is written to ``file``, or is a function that makes what ``file`` names."""

    name: str
    content: bytes | Make
    verdict: Rows | Refused
    file: str = "input.csv"
    options: Words = ()
    stdin: bytes | None = None

    def lay(self, folder: Path) -> None:
        """Put the input into ``folder``."""
        path = folder / self.file
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content)


def nothing(_: Path) -> None:
    """No file is there."""


def table(*customers: object) -> bytes:
    """A CSV file of these customers, the cells as they are given."""
    return (HEADER + "".join(f"{cell},{GROUP},{TARGET}\n" for cell in customers)).encode()
