"""Standard streams that may be lost: whom a command talks to never decides what it does.

The reader of a pipe may be gone, a disk full, a terminal closed or paused, a descriptor missing.
What cannot be written is dropped; nothing is raised, and calls do not wait for it.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE_S: Final = 2.0
"""So long a write waits for a reader that does not read; later ones do not wait again."""
PIECE_BYTES: Final = 4096
"""A pipe that is ready takes as much without waiting (POSIX, PIPE_BUF on Linux)."""
_open: Final[list[_Forgiving]] = []


def set_up() -> None:
    """Replace the standard streams. To be called before anything else opens a file.

    A missing descriptor becomes the null device: the next file that is opened, such as a ledger,
    would get its number, and messages would be written into it.
    """
    _fill_descriptors()
    sys.stdout = _standard(1, sys.stdout, "standard output", None)
    sys.stderr = _standard(2, sys.stderr, "standard error", PATIENCE_S)


def open_to_append(path: Path) -> TextIO:
    """Open a log, made 0600: it may hold customer ids. Raises ``OSError`` only here."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK  # a FIFO without a reader fails
    raw = _Forgiving(os.open(path, flags, 0o600), str(path), PATIENCE_S, closefd=True)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
    )


def losses() -> Iterator[str]:
    """What could not be written, and why. That a pipe's reader has gone is no loss."""
    for raw in _open:
        if raw.lost and raw.lost != os.strerror(errno.EPIPE):
            yield f"{raw.place} was lost: {raw.lost}"


class _Forgiving(io.FileIO):
    """Writes all or drops the rest. ``patience_s`` None: waits for a slow reader for ever."""

    def __init__(self, fd: int, place: str, patience_s: float | None, *, closefd: bool) -> None:
        super().__init__(fd, "w", closefd=closefd)
        self.place = place
        self.lost = ""
        self._patience_s = patience_s
        _open.append(self)

    def write(self, data: ReadableBuffer, /) -> int:
        whole = memoryview(data).cast("B")
        try:
            self._write(whole)
        except OSError as error:
            self.lost = self.lost or error.strerror or str(error)
        return len(whole)

    def _write(self, rest: memoryview) -> None:
        while rest:
            if not self._is_ready():
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
            written = super().write(rest[:PIECE_BYTES])
            rest = rest[written or 0 :]  # None: the descriptor does not block, and is full

    def _is_ready(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        patience_s = 0.0 if self.lost and self._patience_s is not None else self._patience_s
        return bool(poll.poll(None if patience_s is None else patience_s * 1000))


def _fill_descriptors() -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
            if null != number:
                os.dup2(null, number)
                os.close(null)


def _standard(number: int, before: TextIO | None, place: str, patience_s: float | None) -> TextIO:
    with suppress(OSError, ValueError, AttributeError):
        before.flush()  # type: ignore[union-attr]  # None where the descriptor was missing
    encoding = before.encoding if before else "utf-8"
    raw = _Forgiving(number, place, patience_s, closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        "backslashreplace",  # names of files may be no text
        line_buffering=number == 2 or raw.isatty(),
    )
