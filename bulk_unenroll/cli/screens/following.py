"""How a folder stands, again and again."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from bulk_unenroll.cli.screens.console import window
from bulk_unenroll.cli.screens.status import show_status
from bulk_unenroll.ledger.counts import Counts

if TYPE_CHECKING:
    from bulk_unenroll.commands.status import Status


class Following:
    """Shows the state of a folder again and again, and leaves the last one standing.

    On a terminal each one takes the place of the one before, on a screen of its own, so that a
    window of any size and any change of it leaves nothing behind. Elsewhere each change is a line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._line = ""
        self._last: Status | None = None

    def __enter__(self) -> Self:
        return self

    def show(self, status: Status) -> None:
        """Show ``status``, in full once the run has ended."""
        self._last = status
        if not status.going_on:
            return
        if self._console.is_interactive:
            self._draw(status)
        elif (line := _status_line(status)) != self._line:
            self._line = line
            self._console.print(f"{datetime.now():%H:%M:%S}  {line}")

    def __exit__(self, *_: object) -> None:
        if self._live:
            # for terminals without a second screen, on which the frame would stay
            self._live.console.control(Control.clear(), Control.home())
            self._live.stop()
        if self._last:
            show_status(self._console, self._last)

    def _draw(self, status: Status) -> None:
        if self._live is None:
            self._live = Live(
                console=window(), screen=True, auto_refresh=False, redirect_stdout=False
            )
            self._live.start()
        self._live.update(_frame(status), refresh=True)


def _frame(status: Status) -> Text:
    """A status as large as the window."""
    console = window()  # not the live one, which adds what it shows already
    with console.capture() as captured:
        folder = escape(PurePath(status.summary.folder).name)
        now = f"{datetime.now():%H:%M:%S}"
        console.print(f"[bold]{folder}[/]  {now}  {_done(status)} (Ctrl-C ends this view only)")
        show_status(console, status)
    lines = captured.get().splitlines()
    if len(lines) > console.height:
        hidden = len(lines) - console.height + 1
        lines[console.height - 1 :] = [f"… {hidden} more lines: make the window taller"]
    return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


def _status_line(status: Status) -> str:
    if status.summary.loading:
        return str(status.summary.loading)
    states = status.summary.counts.states if status.summary.counts else {}
    by_name = (f"{number:,} {state}" for state, number in states.items() if number)
    return f"{_done(status)}: {', '.join(by_name)}"


def _done(status: Status) -> str:
    counts = status.summary.counts or Counts()
    return f"{counts.unique - counts.left:,} of {counts.unique:,} done"
