"""The next command, as data: after a run, for a folder as it is, for rows of one code.

It never repeats what has just failed, unless something outside has to change first: then its
``advice`` says what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.capillary.codes import CODES, advice
from bulk_unenroll.errors import Next, OptionValue
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts, callable_count
from bulk_unenroll.ledger.facts import Source, ids_in_force
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import PROTECTED, State, Target
from bulk_unenroll.reports.rehearsal import is_rehearsal
from bulk_unenroll.reports.summary import Summary

FOUND_DELIMITERS: Final = ",;\t|"
"""Of a file with one of these no option has to say it."""
PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9_.-]+")
STDIN: Final = "-"

MENDED: Final[Mapping[str, tuple[str, str]]] = {
    "310017": ("targetGroupId", "target-group-id"),
    "310018": ("targetId", "target-id"),
}
"""The id that is wrong in rows with this code, and its option."""
CHECK_BY_HAND: Final = "look these customers up; `retry --state review` would call them again"
GIVE_IT_TIME: Final = "give the API a moment to recover, but no more than 15 min"
LOOK_UP: Final = "look these customers up first: the calls may have been applied"
GIVE_URL: Final = "give the right base URL"
ANY_HOST: Final = "https://HOST/v3.1"
UNJUDGED: Final = (ExitCode.CREDENTIALS, ExitCode.CONFIG, ExitCode.API_FAILS)
"""How a run may end at a wrong host. While that judged no call, the folder is not bound to it."""
HALTS: Final[Mapping[int, str]] = {
    ExitCode.CREDENTIALS: "set credentials that this host accepts",
    ExitCode.CONFIG: "correct what it names",
    ExitCode.LEDGER_FAILED: "free some room, or check the disk",
}
"""What must change before a run that halted with this code can go on."""
ALL_CALLS_FAIL: Final = "the API "
"""How a reason of exit 69 begins when no call gets through, whatever row it is for."""


# ── after a run ──────────────────────────────────────────────────────────────────────────────────


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
    then = next_command(folder, ended, counts, after_fixing(reader, folder), callable_=left)
    movable = ended.code in UNJUDGED and not is_rehearsal(reader) and not reader.has_judged()
    if then is None or not movable:
        return then
    if ended.code == ExitCode.CONFIG and ended.reason.partition(":")[0] not in CODES:
        return run_again(reader, **{"out": folder, "base-url": ANY_HOST}).after(GIVE_URL)
    return then.after(f"{then.advice}, or `run` the inputs again with the right --base-url")


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
        return Next("resume", (folder,))
    return after_run(reader, folder, summary.exit, counts, sources, resend_after_s)


def next_command(
    folder: str, ended: Exit, counts: Counts, fix: Next, *, callable_: int
) -> Next | None:
    """The next command after a run with this end; None when all is done.

    ``fix`` is the command for rows that are to be mended in ``failed.csv``; ``callable_`` how many
    calls ``resume`` would make.
    """
    if ended.code == ExitCode.FINISHED:
        return None
    if ended.code == ExitCode.INTERNAL:
        return Next("verify", (folder,))
    if ended.code in HALTS:
        return Next("resume", (folder,)).after(HALTS[ended.code])
    if ended.code == ExitCode.API_FAILS:
        return _after_failures(folder, ended, counts, fix, callable_=callable_)
    if ended.code not in (ExitCode.LEFT_OVER, ExitCode.ROWS_FAILED) or callable_:
        only_doubts = callable_ and not counts.states[State.PENDING]
        return Next("resume", (folder,), advice=GIVE_IT_TIME if only_doubts else "")
    return _for_what_is_left(folder, ended, counts, fix)


def _after_failures(folder: str, ended: Exit, counts: Counts, fix: Next, *, callable_: int) -> Next:
    if callable_ and ended.reason.startswith(ALL_CALLS_FAIL):
        return Next("resume", (folder,)).after("wait until the API answers")
    worst = counts.worst_code
    if not callable_ or (worst and worst[0] is State.BLOCKED):
        return _for_what_is_left(folder, ended, counts, fix)
    code = worst[1] if worst else None
    return Next("resume", (folder,)).after(advice(code) or "look at the codes")


def _for_what_is_left(folder: str, ended: Exit, counts: Counts, fix: Next) -> Next:
    """Nothing is left that ``resume`` would call."""
    in_doubt = State.IN_DOUBT.value
    if ended.code != ExitCode.ROWS_FAILED and counts.states[State.IN_DOUBT]:
        return Next("retry", (folder,), {"state": in_doubt}).after(LOOK_UP)
    if ended.code == ExitCode.LEFT_OVER:  # in superseded sources only, which are never called again
        return Next("export", (folder,), {"to": "in_doubt.csv", "state": in_doubt})
    worst = counts.worst_code
    return rerun(folder, *worst, fix) if worst else fix


# ── for some rows ────────────────────────────────────────────────────────────────────────────────


def rerun(
    folder: str, state: State, code: str | None, fix: Next, target: Target | None = None
) -> Next:
    """The command for what ended in ``state`` with ``code``, at one target or at all.

    The code comes from a server, and the command is pasted into a shell: a code with unusual
    characters is left out.
    """
    if code == PROTECTED:
        return Next("status", (folder,), advice=advice(code))
    if state is State.BLOCKED:  # its target is not there: to call it again is no use
        return _mending(code, fix)
    options: dict[str, OptionValue] = {}
    plain = code is not None and PLAIN_CODE.fullmatch(code) is not None
    if state is State.REVIEW:
        options["to"] = "review.csv"
    if state in (State.REVIEW, State.IN_DOUBT) or not plain:
        options["state"] = state.value
    if code is not None and plain:
        options["code"] = code
    if state is State.REVIEW:
        return Next("export", (folder,), options, CHECK_BY_HAND)
    if target is not None:
        options["target"] = str(target)
    return Next("retry", (folder,), options, LOOK_UP if state is State.IN_DOUBT else advice(code))


def _mending(code: str | None, fix: Next) -> Next:
    """``fix`` for rows whose target is not there: their ids are wrong."""
    name, option = MENDED.get(code or "", MENDED["310018"])
    if option in fix.options:
        wrong = fix.options[option]
        return fix.with_options(**{option: "ID"}).after(f"give the right --{option}, not {wrong}")
    where = fix.arguments[0] if fix.command == "run" else "the input"
    return fix.after(f"put the right {name} into {where}")


def after_fixing(reader: LedgerReader, folder: str) -> Next:
    """The command for rows that are to be mended, once they are right in the file of failed rows.

    It has the column options that the rows were read with. If the inputs were read in different
    ways, there is no such command, for what is right for some rows may name others' ids: these
    rows are listed then, to be mended in their inputs. So they are where there is no such file.
    """
    sources = ids_in_force(reader.sources())
    readings = [_options(json.loads(reading)) for reading in reader.readings(sources)]
    written = reader.failed_file()
    if not readings or any(options != readings[0] for options in readings[1:]) or not written:
        return _list(folder)
    failed = f"{folder}/{written.name}"
    kind: dict[str, OptionValue] = {"sandbox": True} if is_rehearsal(reader) else {}
    return Next("run", (failed,), {**readings[0], **kind}, f"mend the invalid rows in {failed}")


def _list(folder: str) -> Next:
    states = [state.value for state in (State.FAILED, State.BLOCKED)]
    return Next(
        "export",
        (folder,),
        {"to": "to_mend.csv", "state": ["invalid", *states]},
        "mend these rows in the inputs, and run those again",
    )


def run_again(reader: LedgerReader, **options: OptionValue) -> Next:
    """The command that runs the inputs of a folder, read as they were."""
    every = reader.sources()
    sources = [source for source in every if source.id in ids_in_force(every)]
    readings = [json.loads(reading) for reading in reader.readings([s.id for s in sources])]
    reading = _options(readings[0], original=True) if len(readings) == 1 else {}
    names = tuple(map(_name, sources))
    return Next("run", ("INPUT",) if STDIN in names else names, {**reading, **options})


def _name(source: Source) -> str:
    """A source as it was named, if that still is its name here."""
    here = Path(source.name)
    if source.path in (str(here.absolute()), str(here.resolve())) and source.name[:1] != "-":
        return source.name
    return source.path


def _options(read: Mapping[str, Any], *, original: bool = False) -> dict[str, OptionValue]:
    """The options that read an input, or a CSV copy of its rows, by how it was read."""
    columns = ["=".join(pair) for pair in read.get("columns", [])]
    options: dict[str, OptionValue] = {"column": columns} if columns else {}
    names = {"group": "target-group-id", "target": "target-id", "org": "data-scope-org"}
    if original:
        names |= {"encoding": "encoding", "sheet": "sheet"}
    if read.get("delimiter", ",") not in FOUND_DELIMITERS:
        names["delimiter"] = "delimiter"
    return options | {name: str(read[key]) for key, name in names.items() if key in read}
