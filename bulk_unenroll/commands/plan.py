"""Plan: read the inputs, and say what a run would do. Cannot send."""

from __future__ import annotations

import os
import time
from typing import Unpack

from bulk_unenroll.commands.options import (
    PlanOptions,
    Settings,
    settings_from,
)
from bulk_unenroll.commands.steps.connect import destination, working_ledger
from bulk_unenroll.commands.steps.memory import as_careful_as_last_time
from bulk_unenroll.commands.steps.progress_file import ProgressFile, progress_file
from bulk_unenroll.commands.steps.reading import Given, find_given, load_and_survey, with_listed
from bulk_unenroll.ledger.folder import who_works
from bulk_unenroll.ledger.interface import Trust
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.plan import Plan


def plan(
    *inputs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Read ``inputs`` into the run folder ``out``, and return what a run of them would do.

    Cannot send. ``options`` are those of the command line, see ``PlanOptions``: columns,
    target_group_id, target_id, data_scope_org, delimiter, encoding, sheet, header_row, max_invalid,
    max_rows, allow, loaders, for the destination base_url, and for the estimate rate and in_doubt.
    Raises the errors of ``bulk_unenroll.errors``, among them ``InputRefused`` and ``InputMissing``.
    """
    settings = settings_from(options)
    given = find_given(inputs, out, settings)
    with progress_file(settings.run.progress_file, given.folder) as progress:
        found = _plan(given, settings, progress)
        progress.end(found.exit)
    return found


def _plan(given: Given, settings: Settings, progress: ProgressFile) -> Plan:
    with working_ledger(given.folder, trust=Trust.LOOK) as ledger:
        settings = with_listed(as_careful_as_last_time(settings, ledger.reader))
        to = destination(settings.run, ledger.reader)
        surveyed = load_and_survey(ledger, given, settings, settings.max_invalid, to, progress)
        surveyed.past.note_plan(ledger, surveyed.sources, confirmed=False)
        found = surveyed.plan
        ledger.note_alarms(found.alarms, now_s=time.time(), noted_by=who_works())
        check_conservation(ledger.reader)
    return found
