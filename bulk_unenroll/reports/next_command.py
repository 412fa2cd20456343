"""The next command, as data: after a run, for a folder as it is, for rows of one code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from bulk_unenroll.errors import Next, OptionValue
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts, callable_count
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import State, Target
from bulk_unenroll.reports.summary import Summary

FOUND_DELIMITERS: Final = ",;\t|"
"""Of a file with one of these no option has to say it."""
PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9_.-]+")


def after_run(
    reader: LedgerReader,
    folder: str,
    ended: Exit,
    counts: Counts,
    sources: Sequence[int],
    resend_after_s: float,
) -> Next | None:
    """The next command after a run of ``sources`` with this end; None when all is done."""
    left = callable_count(reader, sources, resend_after_s, counts)
    fix = after_fixing(reader, folder, sources)
    return next_command(folder, ended, counts, counts.worst_code, fix, callable_=left)


def for_folder(
    reader: LedgerReader,
    summary: Summary,
    sources: Sequence[int],
    resend_after_s: float,
    *,
    going_on: bool,
    killed: bool,
) -> Next | None:
    """The next command for a folder with this summary.

    ``going_on``: somebody works in it. ``killed``: its last run did not end.
    """
    folder, counts = summary.folder, summary.counts
    if going_on:
        return Next("status", (folder,), {"follow": True})
    if summary.run_id is None or counts is None:
        return Next("run", ("INPUT",), {"out": folder})
    reopened = summary.exit.code == ExitCode.FINISHED and counts.left
    if reopened or killed:
        then: Next | None = Next("resume", (folder,))
    else:
        then = after_run(reader, folder, summary.exit, counts, sources, resend_after_s)
    return again(then, sandbox=summary.sandbox)


def after_fixing(reader: LedgerReader, folder: str, sources: Sequence[int]) -> Next:
    """The command for invalid rows, once they are fixed in the file of failed rows.

    It has the column options that the rows were read with. If these differ, it has none: columns
    that are right for some rows may hold other ids in others.
    """
    readings = [_options(reading) for reading in reader.readings_of_invalid_rows(sources)]
    agreed = all(options == readings[0] for options in readings)
    options = readings[0] if readings and agreed else {}
    written = reader.failed_file()
    return Next("run", (f"{folder}/{written.name if written else 'failed.csv'}",), options)


def _options(reading: str) -> dict[str, OptionValue]:
    """The options that read a CSV copy of an input, from the signature of how it was read."""
    read = json.loads(reading)
    columns = ["=".join(pair) for pair in read.get("columns", [])]
    options: dict[str, OptionValue] = {"column": columns} if columns else {}
    for key, name in (
        ("group", "target-group-id"),
        ("target", "target-id"),
        ("org", "data-scope-org"),
    ):
        if key in read:
            options[name] = str(read[key])
    if read.get("delimiter", ",") not in FOUND_DELIMITERS:
        options["delimiter"] = read["delimiter"]
    return options


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


def again(then: Next | None, *, sandbox: bool) -> Next | None:
    """``then``, with ``--sandbox`` if the sandbox was called before."""
    sends = then is not None and then.command in ("run", "resume", "retry")
    return then.with_options(sandbox=True) if then and sends and sandbox else then
