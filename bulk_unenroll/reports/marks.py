"""What stands beside a word on a page: a sign, and a tone that gives it its colour. Pure.

The sign is there for those who see no colour, and for paper. The tones are classes of
``templates/style.css``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bulk_unenroll.exits import EXIT_CODES, Exit, ExitCode
from bulk_unenroll.model import State

Tone = Literal["good", "bad", "warn", "wait", "plain"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign and its tone."""

    tone: Tone
    sign: str


GOOD: Final = Mark("good", "✓")
BAD: Final = Mark("bad", "✕")
WARN: Final = Mark("warn", "!")
WAIT: Final = Mark("wait", "…")

MARKS: Final[Mapping[str, Mark]] = {
    State.SUCCEEDED: GOOD,
    State.NOT_ENROLLED: Mark("good", "–"),
    State.FAILED: BAD,
    State.BLOCKED: Mark("bad", "⊘"),
    State.REVIEW: WARN,
    State.IN_DOUBT: Mark("warn", "?"),
    State.SENDING: Mark("wait", "→"),
    State.PENDING: WAIT,
    "invalid": BAD,
    "duplicate": Mark("plain", "="),
}
"""The marks of the states, and of input rows that have none."""

STOPPED: Final = frozenset({ExitCode.LEFT_OVER, ExitCode.SIGINT, ExitCode.SIGTERM})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended, in a few words."""

    mark: Mark
    words: str


PLANNED: Final = Verdict(WAIT, "Planned only: nothing was sent")
GOING_ON: Final = Verdict(Mark("wait", "→"), "Running now")
KILLED: Final = Verdict(BAD, "Cut off: the last run was killed")


def verdict_of(ended: Exit) -> Verdict:
    """How a run that came to its end ended."""
    meaning = EXIT_CODES.get(ended.code)
    title = meaning.title if meaning else f"exit {ended.code}"
    mark = _mark_of(ended.code)
    if mark is BAD:
        title = f"stopped: {title}"
    return Verdict(mark, title[:1].upper() + title[1:])


def _mark_of(code: int) -> Mark:
    if code == ExitCode.FINISHED:
        return GOOD
    if code == ExitCode.ROWS_FAILED:
        return WARN
    return WAIT if code in STOPPED else BAD
