"""Why a command cannot go on. A row's failure is a value (see ``model``), never one of these.

Stop                      what happened, the exit code, and what to do next
├── UsageError       2    a wrong option, or a question that could not be asked
│   └── Unanswered        a question that was asked, and not answered as it must be
├── InputRefused     65   the input cannot be trusted: nothing of it is sent
├── InputMissing     66   the input or folder does not exist
├── FolderUnusable   73   the run folder cannot be made or written
├── LedgerFailed     74   ledger damaged, disk full or I/O error
│   ├── LedgerOutOfReach  a disk or another program is in the way; the ledger itself is as it was
│   └── LedgerBehind      an older copy of the ledger: it does not know all who were called
├── OutsideWindow    3    it is not the time of day at which calls may be made
├── FolderBusy       75   another process works in this folder
├── Fenced           75   other senders of the run gave this one up
├── CutOff           75   other senders of the run reach the API, this one does not
├── Misconfigured    78   base URL, scope, missing credentials, redirect, certificate
│   └── Moved             the ledger of this folder was closed for good, for another one
└── Interrupted      130, 143   a signal came before anything was sent
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final

from bulk_unenroll.exits import ExitCode

if TYPE_CHECKING:
    from bulk_unenroll.reports.plan import Plan

PROGRAM: Final = "bulk-unenroll"

OptionValue = str | bool | Sequence[str]


@dataclass(frozen=True, slots=True)
class Next:
    """The next command, as data; ``str()`` gives the line to paste into a shell.

    ``options`` are named as on the command line, without the leading dashes. A value is a text,
    True for a flag, or several texts for an option that is repeated. ``advice`` says what has to
    change before the command can help; it is empty where nothing has to.
    """

    command: str
    arguments: tuple[str, ...] = ()
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    advice: str = ""

    def __str__(self) -> str:
        command = [PROGRAM, self.command] if self.command else [PROGRAM]
        return shlex.join([*command, *self.arguments, *option_words(self.options)])

    def with_options(self, **more: OptionValue) -> Next:
        """The same command with ``more`` options."""
        return replace(self, options={**self.options, **more})

    def after(self, advice: str) -> Next:
        """The same command, once somebody did what ``advice`` says."""
        return replace(self, advice=advice)


def option_words(options: Mapping[str, OptionValue]) -> Iterator[str]:
    """``options`` as words of a command line."""
    for name, value in options.items():
        for one in [value] if isinstance(value, str | bool) else value:
            if one is not False:
                yield f"--{name}"
            if isinstance(one, str):
                yield one


class Stop(Exception):
    """An expected error: the command cannot go on.

    ``reason`` says what happened, ``remedy`` what to do; they are shown as one line. ``next`` is
    the next command. Without it, that is the same command with the options of ``lacking``, or the
    command ``instead`` for the same inputs; or the very same again, which only those do that are
    ``repeatable``: what they failed at may go well the next time. ``plan`` is the plan that was
    refused, if there was one.
    """

    code: int = ExitCode.INTERNAL
    repeatable: ClassVar[bool] = False

    def __init__(
        self,
        reason: str,
        remedy: str = "",
        next: Next | None = None,  # noqa: A002 - the word that users see
        lacking: Mapping[str, OptionValue] | None = None,
        instead: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.next = next
        self.lacking = lacking or {}
        self.instead = instead
        self.plan: Plan | None = None

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


class UsageError(Stop):
    """A wrong option, or a question that could not be asked."""

    code = ExitCode.USAGE


class Unanswered(UsageError):
    """A person was asked, and did not answer as one must."""

    repeatable = True


class InputRefused(Stop):
    """The input cannot be trusted; nothing of it is sent."""

    code = ExitCode.INPUT_REFUSED


class InputMissing(Stop):
    """The input or folder does not exist."""

    code = ExitCode.INPUT_MISSING


class FolderUnusable(Stop):
    """The run folder cannot be made or written."""

    code = ExitCode.FOLDER_UNUSABLE


class LedgerFailed(Stop):
    """The ledger is damaged or cannot be written; sending stops at once."""

    code = ExitCode.LEDGER_FAILED
    repeatable = True


class LedgerOutOfReach(LedgerFailed):
    """A disk or another program is in the way; once it is not, the same command goes on."""


class LedgerBehind(LedgerFailed):
    """The ledger is an older copy, or may be one: it does not know all who were called."""

    repeatable = False


class LedgerAway(LedgerOutOfReach):
    """The server of a shared ledger does not answer, or ended the connection."""

    code = ExitCode.FOLDER_BUSY


class FolderBusy(Stop):
    """Another process works in ``folder``."""

    code = ExitCode.FOLDER_BUSY

    def __init__(self, folder: str, reason: str = "", remedy: str = "wait until it ends") -> None:
        why = reason or f"another process works in {folder}"
        super().__init__(why, remedy, Next("status", (folder,)))
        self.folder = folder


class Fenced(Stop):
    """Other senders of the run gave this one up; what it had in flight is in doubt.

    It sends and records nothing any more. The same command joins the run again.
    """

    code = ExitCode.FOLDER_BUSY
    repeatable = True


class CutOff(Stop):
    """This machine does not reach the API, while other senders of the run get answers."""

    code = ExitCode.FOLDER_BUSY
    repeatable = True


class OutsideWindow(Stop):
    """It is not the time of day at which calls may be made; nothing was sent."""

    code = ExitCode.LEFT_OVER
    repeatable = True


class Misconfigured(Stop):
    """Base URL, scope, credentials, redirect or certificate are wrong."""

    code = ExitCode.CONFIG


class Moved(Misconfigured):
    """The ledger of this folder was closed for good: its job goes on in another one."""


class Interrupted(Stop):
    """Stopped before anything was sent: by a signal (130, 143), or by the caller (3)."""

    repeatable = True

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
