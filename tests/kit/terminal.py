"""A person at a terminal: the real command on a pty, answered as it asks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from collections.abc import Sequence

from tests.kit.command import Desk

PATIENCE_S = 30


def talk(desk: Desk, words: Sequence[object], *answers: tuple[str, str]) -> tuple[int, str]:
    """The exit code and all that was shown; ``answers`` are what is asked, and what is typed."""
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
    said = ""
    for question, typed in answers:
        seen_chars = len(said)
        while question not in said[seen_chars:] and (block := _read(parent)):
            said += block
        os.write(parent, f"{typed}\n".encode())
    while block := _read(parent):
        said += block
    os.close(parent)
    return process.wait(PATIENCE_S), said


def _read(terminal: int) -> str:
    ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
    try:
        return os.read(terminal, 4096).decode("utf-8", "replace") if ready else ""
    except OSError:  # the other end was closed
        return ""
