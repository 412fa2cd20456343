"""A user at a terminal: the real command on a pty, with answers typed when it asks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from typing import Self

import pyte

from tests.kit.command import Desk

TIMEOUT_S = 30


def talk(
    desk: Desk, words: Sequence[object], *answers: tuple[str | tuple[str, ...], str]
) -> tuple[int, str]:
    """Run a command. Return its exit code and output.

    ``answers`` are pairs of a question to wait for, or of several, and the text to type then.
    """
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*desk.program, *map(str, words)],
        cwd=desk.folder,
        env=desk.environment,
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    shown = ""
    for question, typed in answers:
        questions = (question,) if isinstance(question, str) else question
        seen_chars = len(shown)
        while not any(one in shown[seen_chars:] for one in questions):
            if not (block := _read(parent)):
                break
            shown += block
        os.write(parent, f"{typed}\n".encode())
    while block := _read(parent):
        shown += block
    os.close(parent)
    return process.wait(TIMEOUT_S), shown


class Window:
    """A terminal window in which a command runs: what is on its screen, and what scrolled off it.

    It has no second screen, as some terminals have none, and an environment that knows nothing of
    its size.
    """

    def __init__(self, desk: Desk, *words: object, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self._parent, child = pty.openpty()
        self.raw = b""
        self._set_size(columns, lines)
        self._process = subprocess.Popen(
            [*desk.program, *map(str, words)],
            cwd=desk.folder,
            env={"TERM": "xterm-256color"} | desk.environment | {"COLUMNS": "80", "LINES": "24"},
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )
        os.close(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT_S)
        os.close(self._parent)

    @property
    def screen(self) -> list[str]:
        """The lines on the screen, without blanks at their ends."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def everything(self) -> list[str]:
        """The lines that scrolled off the screen, then those on it; without empty ones."""
        gone = [
            "".join(line[column].data for column in range(self._screen.columns)).rstrip()
            for line in self._screen.history.top
        ]
        return [line for line in [*gone, *self.screen] if line]

    @property
    def drawn(self) -> bool:
        """Whether all that came so far is shown, and nothing more comes at once."""
        ready, _, _ = select.select([self._parent], [], [], 0.05)
        return not ready

    def until(self, seen: Callable[[], bool]) -> None:
        """Show what comes until ``seen``; fails if that does not come."""
        end_s = time.monotonic() + TIMEOUT_S
        while not seen():
            assert time.monotonic() < end_s, "\n".join(self.everything)
            if not self._show(0.05):
                assert seen(), "\n".join(self.everything)

    def end(self) -> int:
        """Show what comes until the command ends; its exit code."""
        while self._show(TIMEOUT_S):
            pass
        return self._process.wait(TIMEOUT_S)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size, as its user does."""
        self._screen.resize(lines, columns)
        self._set_size(columns, lines)
        self._process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._parent, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def _show(self, wait_s: float) -> bool:
        """Show what came; False once nothing more can come."""
        ready, _, _ = select.select([self._parent], [], [], wait_s)
        if not ready:
            return True
        try:
            block = os.read(self._parent, 65_536)
        except OSError:  # the other end was closed
            return False
        self.raw += block
        self._stream.feed(block)
        return bool(block)

    def _set_size(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._parent, termios.TIOCSWINSZ, size)


def _read(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], TIMEOUT_S)
    try:
        return os.read(terminal, 4096).decode("utf-8", "replace") if ready else ""
    except OSError:  # the other end was closed
        return ""
