"""The exact command to type next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from bulk_unenroll.errors import EXIT_FINISHED, EXIT_LEFT_OVER, EXIT_ROWS_FAILED
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Exit

PROGRAM: Final = "bulk-unenroll"


PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9_.-]+")


def next_command(
    folder: str,
    exit_: Exit,
    counts: Counts,
    worst: tuple[State, str] | None,
    mend: str,
    *,
    callable_: int,
) -> str:
    """The exact command that goes on from here.

    ``worst`` is the most frequent code among what failed, and its state; ``mend`` the command for
    invalid rows; ``callable_`` how many calls ``resume`` would make.
    """
    if exit_.code == EXIT_FINISHED:
        return ""
    if exit_.code not in (EXIT_LEFT_OVER, EXIT_ROWS_FAILED) or callable_:
        return command("resume", folder)
    if exit_.code == EXIT_LEFT_OVER and counts.states[State.IN_DOUBT]:
        return command("retry", folder, "--state", "in_doubt")
    if exit_.code == EXIT_LEFT_OVER:  # in superseded inputs only: nothing may call these again
        return command("export", folder, "--to", "in_doubt.csv", "--state", "in_doubt")
    if worst is None:
        return mend
    state, code = worst
    states = ["--state", state.value] if state is State.REVIEW else []
    return command("retry", folder, *states, "--code", code)


def rerun_command(
    folder: str, state: State, code: str | None, target: str = "", *, sandbox: bool = False
) -> str:
    """The exact command that calls again what ended in ``state`` with ``code``, at all targets.

    The code comes from a server: one that is not plain is left out of what will be pasted.
    """
    words = ["retry", folder]
    plain = code is not None and PLAIN_CODE.fullmatch(code) is not None
    if state in (State.REVIEW, State.IN_DOUBT) or not plain:
        words += ["--state", state.value]
    if code is not None and plain:
        words += ["--code", code]
    if target:
        words += ["--target", target]
    return command(*words, *(["--sandbox"] if sandbox else []))


def mend_command(folder: str, mapping: Sequence[str]) -> str:
    """The exact command for rows that were invalid, once they are mended in ``failed.csv``.

    ``mapping`` are the options that find the ids in it.
    """
    return command("run", f"{folder}/failed.csv", *mapping)


def command(*words: str) -> str:
    """A command line of this program, quoted for a shell."""
    return shlex.join([PROGRAM, *words])
