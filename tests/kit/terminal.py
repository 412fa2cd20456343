"""A user at a terminal: the real command on a pty, with answers typed when it asks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from collections.abc import Sequence

from tests.kit.command import Desk

TIMEOUT_S = 30


def talk(desk: Desk, words: Sequence[object], *answers: tuple[str, str]) -> tuple[int, str]:
    """Run a command. Return its exit code and output.

    ``answers`` are pairs of a question to wait for and the text to type then.
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
        seen_chars = len(shown)
        while question not in shown[seen_chars:] and (block := _read(parent)):
            shown += block
        os.write(parent, f"{typed}\n".encode())
    while block := _read(parent):
        shown += block
    os.close(parent)
    return process.wait(TIMEOUT_S), shown


def _read(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], TIMEOUT_S)
    try:
        return os.read(terminal, 4096).decode("utf-8", "replace") if ready else ""
    except OSError:  # the other end was closed
        return ""
