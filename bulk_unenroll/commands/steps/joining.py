"""Join the run of a shared job as a further sender."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulk_unenroll.commands.options import Settings
from bulk_unenroll.commands.steps.connect import (
    api,
    check_orgs,
    check_same_api,
    check_same_user,
    destination_of,
    look_first,
    sharing_server,
)
from bulk_unenroll.commands.steps.loaders import help_loading
from bulk_unenroll.commands.steps.memory import as_last_time
from bulk_unenroll.commands.steps.past import Past
from bulk_unenroll.commands.steps.reading import with_listed
from bulk_unenroll.commands.steps.resuming import NOTHING_CONFIRMED
from bulk_unenroll.commands.steps.sending import Control, Sending
from bulk_unenroll.commands.steps.stops import check_window
from bulk_unenroll.errors import LedgerBehind, Next
from bulk_unenroll.exits import STOPS_ALL, Exit, ExitCode
from bulk_unenroll.inputs.never import read_never
from bulk_unenroll.ledger.counts import callable_count, count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.folder import who_works
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.ledger.opening import existing_folder, join_run, open_reader
from bulk_unenroll.model import State
from bulk_unenroll.reports.next_command import LOOK_UP
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.open_files import allow_open_files

RESEND_NEVER: Final = math.inf


def joined(folder: Path, settings: Settings, control: Control) -> Summary:
    """Join a run. Raises ``Fenced`` (75) while the ledger's server is away."""
    try:
        with sharing_server():
            folder = existing_folder(folder)
            help_loading(folder)
            return _work_beside_others(folder, settings, control)
    except LedgerBehind as stop:
        stop.next = look_first(folder)
        raise


def _work_beside_others(folder: Path, settings: Settings, control: Control) -> Summary:
    with ExitStack() as stack:
        joined = stack.enter_context(join_run(folder, who_works()))
        if joined is None:
            with open_reader(folder) as reader:
                return _nothing_to_join(reader, folder)
        ledger, run_id, sources = joined
        reader = ledger.reader
        settings = with_listed(as_last_time(settings, reader))
        settings = replace(settings, run=replace(settings.run, export=False))
        check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        never = read_never(settings.run.never)
        endpoint = stack.enter_context(api(settings.run, reader.base_url()))
        if not settings.run.sandbox:
            check_same_api(reader, endpoint)
            check_same_user(reader, endpoint)
        check_orgs(ledger, endpoint)
        past = Past.of(settings.run, destination_of(endpoint, settings.run), folder)
        sending = Sending(folder, ledger, endpoint, sources, settings, control, never, past)
        return sending.join(run_id)


def _nothing_to_join(reader: LedgerReader, folder: Path) -> Summary:
    """How ``work`` ends if no run is going on."""
    then = Next("status", (str(folder),))
    sources = confirmed_ids(reader.sources())
    counts = count(reader, sources)
    last = next((run for run in reversed(reader.runs()) if run.exit_code is not None), None)
    if left := callable_count(reader, sources, RESEND_NEVER, counts):
        ended = Exit(ExitCode.LEFT_OVER, f"no run goes on: {left} would be called by `resume`")
        if last and last.exit_code in STOPS_ALL:
            ended = Exit(last.exit_code, f"the run was stopped: {last.reason}")
    elif doubts := reader.doubts_left():
        ended = Exit(ExitCode.LEFT_OVER, f"the run has ended; {doubts} are in doubt")
        then = Next("retry", (str(folder),), {"state": State.IN_DOUBT}).after(LOOK_UP)
    elif sources:
        ended = Exit(ExitCode.FINISHED, "the run is complete")
    else:
        ended = Exit(ExitCode.LEFT_OVER, NOTHING_CONFIRMED)
    return Summary(str(folder), ended, then, counts=counts)
