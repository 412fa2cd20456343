"""Which ledgers this process writes: their files must not be opened beside SQLite.

A process that closes any descriptor of a file drops all locks that it holds on it, SQLite's too
(fcntl(2); sqlite.org/howtocorrupt.html, section 2.2). Another program could then take the ledger
for one that nobody uses, and delete its log.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

OPENING: Final = threading.RLock()
"""Held while a ledger is opened: no file is looked at while another thread begins to write it."""

_written: Final[set[tuple[int, int]]] = set()


def is_written_here(path: Path) -> bool:
    """Whether this process has the ledger at ``path`` open to write."""
    return path.exists() and _identity(path) in _written


def writes_none() -> bool:
    """Whether this process has no ledger open to write."""
    return not _written


@contextmanager
def begin_writing(path: Path) -> Iterator[None]:
    """Remember that this process writes ``path``, unless opening it fails."""
    identity = _identity(path)
    _written.add(identity)
    try:
        yield
    except BaseException:
        _written.discard(identity)
        raise


def end_writing(path: Path) -> None:
    """Forget ``path``: its connection is closed."""
    if path.exists():
        _written.discard(_identity(path))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
