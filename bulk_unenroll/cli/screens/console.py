"""Where a person sees something, and what all screens share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape

from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Summary

SHOWN_TARGETS: Final = 20
SHOWN_CODES: Final = 12

STYLES: Final = {
    State.SUCCEEDED: "green",
    State.NOT_ENROLLED: "green",
    State.FAILED: "red",
    State.BLOCKED: "red",
    State.REVIEW: "yellow",
    State.IN_DOUBT: "yellow",
}


def out() -> Console:
    """Standard output; in a pipe as wide as its lines, so that nothing is cut off."""
    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, soft_wrap=True)


def err() -> Console:
    """Standard error, for what must not be mixed with JSON on standard output."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def window(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """The terminal, to draw on: always as large as its window is now.

    A ``COLUMNS`` or ``LINES`` of the environment tells how large a window was once.
    """
    sizes = ("COLUMNS", "LINES")
    environment = {name: value for name, value in os.environ.items() if name not in sizes}
    return Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap, _environ=environment)


def escape_markup(text: str) -> str:
    """Text from a file or a server, without markup and without what a terminal obeys."""
    seen = (char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return escape("".join(seen))


def settings_line(settings: Mapping[str, object]) -> str:
    """Settings as one line, in the words of the command line."""
    shown = {name.replace("_", "-"): value for name, value in settings.items() if name != "sandbox"}
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in shown.items()
    )


def show_rehearsal(console: Console, summary: Summary) -> None:
    if summary.rehearsal:
        console.print("[bold]REHEARSAL:[/] only the sandbox was called, and nobody was taken out")
