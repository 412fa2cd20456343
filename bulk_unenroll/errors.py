"""Why a command cannot go on. A row's failure is a value (see ``model``), never one of these.

    Stop                 what happened, the exit code, and what to do next
    ├── UsageError       2    a wrong option, or a question that could not be asked
    ├── InputRefused     65   the input cannot be trusted: nothing of it is sent
    ├── InputMissing     66   no such input or folder
    ├── FolderUnusable   73   the run folder cannot be made
    ├── LedgerFailed     74   damaged ledger, disk full, I/O error
    ├── FolderBusy       75   another process runs this folder
    ├── Refused          77   the API refused the credentials
    ├── Misconfigured    78   base URL, scope, missing credentials, redirect, certificate
    └── Interrupted      130, 143   a signal came before anything was sent

The numbers are those of BSD's sysexits.h where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_FINISHED = 0
EXIT_ROWS_FAILED = 1
EXIT_LEFT_OVER = 3
EXIT_API_FAILS = 69
EXIT_INTERNAL = 70
EXIT_LEDGER = 74
EXIT_CREDENTIALS = 77
EXIT_CONFIG = 78
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


class Stop(Exception):
    """An expected end of a command.

    ``reason`` says what happened and ``remedy`` what helps, in one line together. The exact next
    command is ``command``, or else the same again with what it lacked: the words of ``lacking``.
    """

    code: int = EXIT_INTERNAL

    def __init__(
        self, reason: str, remedy: str = "", command: str = "", lacking: Sequence[str] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.command = command
        self.lacking = lacking

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


class UsageError(Stop):
    """A wrong option, or a question that could not be asked."""

    code = 2


class InputRefused(Stop):
    """The input cannot be trusted; nothing of it is sent."""

    code = 65


class InputMissing(Stop):
    """The named input or folder is not there."""

    code = 66


class FolderUnusable(Stop):
    """The run folder cannot be made or written."""

    code = 73


class LedgerFailed(Stop):
    """The ledger is damaged or cannot be written; sending stops at once."""

    code = EXIT_LEDGER


class FolderBusy(Stop):
    """Another process sends from, or writes to, this folder."""

    code = 75


class Refused(Stop):
    """The API refused the credentials."""

    code = EXIT_CREDENTIALS


class Misconfigured(Stop):
    """Base URL, scope, credentials, redirect or certificate are wrong."""

    code = EXIT_CONFIG


class Interrupted(Stop):
    """A signal came while nothing was being sent. ``code`` is 130 or 143."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
