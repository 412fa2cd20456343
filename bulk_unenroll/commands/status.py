"""The status of a folder: its last run, its counts and its next command. Reads only."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bulk_unenroll.commands.options import settings_from
from bulk_unenroll.commands.steps.doubts import held_doubts
from bulk_unenroll.commands.steps.memory import as_last_time
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.ledger.counts import count
from bulk_unenroll.ledger.facts import Run, ids_in_force
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import existing_folder, open_reader, works_now
from bulk_unenroll.reports.next_command import after_fixing, for_folder
from bulk_unenroll.reports.rehearsal import is_rehearsal
from bulk_unenroll.reports.summary import Summary


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a folder. ``going_on``: a process works in it now."""

    summary: Summary
    runs: list[Run]
    going_on: bool


def status(folder: str | os.PathLike[str]) -> Status:
    """Return the status of ``folder``. Reads only; works while a run is going on."""
    folder = existing_folder(Path(folder))
    sends = works_now(folder)
    with open_reader(folder) as reader:
        loading = reader.arriving()
        going_on = sends or loading is not None
        runs = reader.runs()
        sources = ids_in_force(reader.sources())
        shared = reader.senders() is not None
        end = _last_end(runs, going_on=sends, shared=shared)
        if loading:
            end = end[0], Exit(ExitCode.LEFT_OVER, str(loading))
        summary = replace(_summary(reader, folder, sources, *end), loading=loading)
        kept = as_last_time(settings_from({}), reader)
        resend_after_s = kept.send.resend_after_s(time.time())
        if held_doubts(reader, kept):
            resend_after_s = math.inf
        killed = bool(runs) and runs[-1].exit_code is None
        then = for_folder(
            reader, summary, sources, resend_after_s, going_on=going_on, killed=killed
        )
    return Status(replace(summary, next=then), runs, going_on)


def _last_end(runs: list[Run], *, going_on: bool, shared: bool) -> tuple[str | None, Exit]:
    if not runs:
        return None, Exit(ExitCode.FINISHED, "planned, not run")
    last = runs[-1]
    if last.exit_code is None:
        cut_off = "nobody sends for the run now" if shared else "the last run was killed"
        why = "the run is going on" if going_on else cut_off
        return last.run_id, Exit(ExitCode.LEFT_OVER, why)
    return last.run_id, Exit(last.exit_code, last.reason or "")


def _summary(
    reader: LedgerReader, folder: Path, sources: list[int], run_id: str | None, ended: Exit
) -> Summary:
    pace = reader.pace()
    return Summary(
        str(folder),
        ended,
        run_id=run_id,
        counts=count(reader, sources),
        pace=json.loads(pace) if pace else None,
        fix=after_fixing(reader, str(folder)),
        rehearsal=is_rehearsal(reader),
        alarms=reader.alarms(),
        settings=reader.settings(),
        senders=reader.senders(),
    )
