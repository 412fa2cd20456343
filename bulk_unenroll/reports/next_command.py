"""The next command, as data. Pure: callers pass in what the ledger says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bulk_unenroll.errors import Next, OptionValue
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State, Target

PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9_.-]+")


def next_command(
    folder: str,
    ended: Exit,
    counts: Counts,
    worst: tuple[State, str] | None,
    fix: Next,
    *,
    callable_: int,
) -> Next | None:
    """The next command after a run with this end; None when all is done.

    ``worst`` is the most frequent code of what did not succeed, with its state; ``fix`` the command
    for invalid rows; ``callable_`` how many calls ``resume`` would make.
    """
    if ended.code == ExitCode.FINISHED:
        return None
    if ended.code not in (ExitCode.LEFT_OVER, ExitCode.ROWS_FAILED) or callable_:
        return Next("resume", (folder,))
    in_doubt = State.IN_DOUBT.value
    if ended.code == ExitCode.LEFT_OVER and counts.states[State.IN_DOUBT]:
        return Next("retry", (folder,), {"state": in_doubt})
    if ended.code == ExitCode.LEFT_OVER:  # in superseded sources only, which are never called again
        return Next("export", (folder,), {"to": "in_doubt.csv", "state": in_doubt})
    if worst is None:
        return fix
    state, code = worst
    states = {"state": state.value} if state is State.REVIEW else {}
    return Next("retry", (folder,), {**states, "code": code})


def rerun(
    folder: str,
    state: State,
    code: str | None,
    target: Target | None = None,
    *,
    sandbox: bool = False,
) -> Next:
    """The command that retries what ended in ``state`` with ``code``, at one target or at all.

    The code comes from a server, and the command is pasted into a shell: a code with unusual
    characters is left out.
    """
    options: dict[str, OptionValue] = {}
    plain = code is not None and PLAIN_CODE.fullmatch(code) is not None
    if state in (State.REVIEW, State.IN_DOUBT) or not plain:
        options["state"] = state.value
    if code is not None and plain:
        options["code"] = code
    if target is not None:
        options["target"] = str(target)
    if sandbox:
        options["sandbox"] = True
    return Next("retry", (folder,), options)


def rerun_fixed(folder: str, mapping: Mapping[str, OptionValue]) -> Next:
    """The command that runs invalid rows, once they are fixed in ``failed.csv``.

    ``mapping`` are the options that say where its ids are.
    """
    return Next("run", (f"{folder}/failed.csv",), mapping)


def again(then: Next | None, *, sandbox: bool) -> Next | None:
    """``then``, with ``--sandbox`` if the sandbox was called before."""
    return then.with_options(sandbox=True) if then and sandbox else then
