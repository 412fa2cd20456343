"""The exit codes: one table of what each means and what to do.

Numbers from 64 to 78 are those of BSD's ``sysexits.h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self


class ExitCode(IntEnum):
    """How a command ended."""

    FINISHED = 0
    ROWS_FAILED = 1
    USAGE = 2
    LEFT_OVER = 3
    INPUT_REFUSED = 65
    INPUT_MISSING = 66
    API_FAILS = 69
    INTERNAL = 70
    FOLDER_UNUSABLE = 73
    LEDGER_FAILED = 74
    FOLDER_BUSY = 75
    CREDENTIALS = 77
    CONFIG = 78
    SIGINT = 130
    SIGTERM = 143


class Exit(int):
    """An exit code with its reason. Equal to the plain number, whatever the reason."""

    reason: str

    def __new__(cls, code: int, reason: str = "") -> Self:
        exit_ = super().__new__(cls, code)
        exit_.reason = reason
        return exit_

    @property
    def code(self) -> int:
        """The plain number."""
        return int(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Exit):
            return (self.code, self.reason) == (other.code, other.reason)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return f"Exit({self.code}, {self.reason!r})"


@dataclass(frozen=True, slots=True)
class ExitMeaning:
    """What an exit code means, as a title for a notification and in full, and what to do."""

    title: str
    meaning: str
    remedy: str


_STOPPED: Final = ExitMeaning(
    "stopped by a signal", "stopped by a signal, all recorded", "`resume`"
)

EXIT_CODES: Final[Mapping[int, ExitMeaning]] = {
    ExitCode.FINISHED: ExitMeaning(
        "all done",
        "every customer/target `succeeded` or `not_enrolled`, no invalid row",
        "nothing",
    ),
    ExitCode.ROWS_FAILED: ExitMeaning(
        "done, some rows need a look",
        "finished; some rows `failed`, `blocked`, `review` or `invalid`",
        "look at `failed.csv`, `retry`",
    ),
    ExitCode.USAGE: ExitMeaning(
        "wrong usage", "wrong usage, or a question that could not be asked", "`--yes`, `--help`"
    ),
    ExitCode.LEFT_OVER: ExitMeaning(
        "not finished: rows are left or in doubt",
        "stopped or finished with rows `pending` or `in_doubt`, or outside `--window`",
        "`resume`",
    ),
    ExitCode.INPUT_REFUSED: ExitMeaning(
        "the input was refused, nothing was sent",
        "input refused or alarm raised, nothing sent",
        "fix the file",
    ),
    ExitCode.INPUT_MISSING: ExitMeaning(
        "the input was not found", "input or run folder not found", "check the path"
    ),
    ExitCode.API_FAILS: ExitMeaning(
        "the API fails too much",
        "the API fails too much: canary, `--max-failures`, or out of reach",
        "look at the codes, `resume`",
    ),
    ExitCode.INTERNAL: ExitMeaning("internal error", "internal error", "report it"),
    ExitCode.FOLDER_UNUSABLE: ExitMeaning(
        "the run folder cannot be used", "the run folder cannot be made or used", "`--out DIR`"
    ),
    ExitCode.LEDGER_FAILED: ExitMeaning(
        "the ledger is damaged or cannot be written",
        "ledger damaged, disk full or I/O error: sending stopped at once",
        "free some room, `verify`",
    ),
    ExitCode.FOLDER_BUSY: ExitMeaning(
        "another run works in the folder, or its server is away",
        "another process works in this folder; a sender of a shared job was given up, or it alone"
        " cannot reach the API, or its server is away",
        "wait, then start it again",
    ),
    ExitCode.CREDENTIALS: ExitMeaning(
        "the credentials were refused", "credentials refused", "correct them, `resume`"
    ),
    ExitCode.CONFIG: ExitMeaning(
        "the configuration is wrong",
        "base URL, scope, missing credentials, redirect, certificate",
        "correct it, `resume`",
    ),
    ExitCode.SIGINT: _STOPPED,
    ExitCode.SIGTERM: _STOPPED,
}

PRECEDENCE: Final = (
    ExitCode.INTERNAL,
    ExitCode.LEDGER_FAILED,
    ExitCode.CONFIG,
    ExitCode.CREDENTIALS,
    ExitCode.API_FAILS,
    ExitCode.SIGINT,
    ExitCode.SIGTERM,
)
"""Of several reasons to stop a run early, the first of these applies."""

START_AGAIN: Final = frozenset({ExitCode.FOLDER_BUSY, ExitCode.SIGTERM})
"""A sender of a shared job (``work``) that ended with one of these, or by a signal, is started
again by whatever placed it; one that ended with another code is not."""

STOPS_ALL: Final = frozenset({ExitCode.API_FAILS, ExitCode.CREDENTIALS, ExitCode.CONFIG})
"""What stops one sender of a shared run stops all of them: the others would meet the same."""

OF_ONE_SENDER: Final = frozenset({ExitCode.LEFT_OVER, ExitCode.SIGINT, ExitCode.SIGTERM})
"""What ends one sender of a shared run by itself: the run waits for the next one, or goes on."""

SETTLED: Final = frozenset({ExitCode.FINISHED, ExitCode.ROWS_FAILED, ExitCode.LEFT_OVER})
"""A run that ended with one of these settled all it could; any other end is a halt."""


def is_halt(code: int) -> bool:
    """Whether a run ended before it settled all it could."""
    return code not in SETTLED
