"""What is kept beside the ledger to notice that it lost something: ``ledger.sqlite-mark``.

While the ledger is open the mark holds the number of its last commit, written after each one: a
ledger that knows fewer commits lost some, whatever became of its write-ahead log. Once it is closed
the mark holds its seal, see ``seal``. SQLite by itself notices neither.

The mark of an open ledger is not synced at each commit, so after power loss it may lag behind; it
never runs ahead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bulk_unenroll.files import replacing, sync_directory
from bulk_unenroll.ledger.sqlite.seal import OldSeal, Schema, Seal

SUFFIX: Final = "-mark"


@dataclass(frozen=True, slots=True)
class OpenMark:
    """The ledger is in use, or its program was killed, after this number of commits."""

    commits: int


@dataclass(frozen=True, slots=True)
class ClosedMark:
    """The ledger was closed, with this seal."""

    seal: Seal | OldSeal


def mark_path(ledger: Path) -> Path:
    """The mark of the ledger at ``ledger``."""
    return ledger.with_name(ledger.name + SUFFIX)


def read_mark(ledger: Path) -> OpenMark | ClosedMark | None:
    """The mark of a ledger; None where there is none. Raises ``OSError``, and ``ValueError``."""
    try:
        descriptor = os.open(mark_path(ledger), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="ascii") as file:
        kind, _, value = file.read().strip().partition(" ")
    if kind == "open" and value.isdecimal():
        return OpenMark(int(value))
    if kind == "closed":
        return ClosedMark(_seal_of(value))
    raise ValueError(f"{kind!r} is not a state of a ledger")


def _seal_of(text: str) -> Seal | OldSeal:
    if text.startswith("crc32="):
        return OldSeal(text)
    try:
        return Seal.parse(text)
    except KeyError as fact:
        raise ValueError(f"it lacks {fact}") from None


def seal(ledger: Path, schema: Schema) -> None:
    """Keep the seal of a closed ledger. Raises ``OSError``."""
    _write(ledger, _closed_line(Seal.of(ledger, schema)))


class Mark:
    """The mark of an open ledger; made before the first change. Raises ``OSError``."""

    def __init__(self, ledger: Path, sealed: ClosedMark | None, descriptor: int) -> None:
        self._ledger = ledger
        self._sealed = sealed
        self._descriptor = descriptor

    @classmethod
    def begin(cls, ledger: Path, commits: int) -> Self:
        """Break the seal, durably."""
        before = read_mark(ledger)
        _write(ledger, _line(commits))
        descriptor = os.open(mark_path(ledger), os.O_WRONLY | os.O_NOFOLLOW)
        return cls(ledger, before if isinstance(before, ClosedMark) else None, descriptor)

    def note(self, commits: int) -> None:
        """Note how many commits the ledger has made."""
        self.keep()
        os.pwrite(self._descriptor, _line(commits).encode(), 0)

    def keep(self) -> None:
        """The ledger is another one now than when it was sealed."""
        self._sealed = None

    def take_back(self) -> None:
        """Nothing was changed: it is sealed as before, if it was."""
        if self._sealed is not None:
            _write(self._ledger, _closed_line(self._sealed.seal))

    def close(self) -> None:
        """Leave the mark as it is."""
        os.close(self._descriptor)


def _line(commits: int) -> str:
    return f"open {commits:019}\n"


def _closed_line(sealed: Seal | OldSeal) -> str:
    return f"closed {sealed}\n"


def _write(ledger: Path, line: str) -> None:
    path = mark_path(ledger)
    with replacing(path) as part:
        part.write_text(line, encoding="ascii")
    sync_directory(path.parent)
