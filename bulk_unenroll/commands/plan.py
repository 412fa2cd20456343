"""Plan: read the inputs, and say what a run would do. Cannot send."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from bulk_unenroll.commands.connect import destination, working_ledger
from bulk_unenroll.commands.memory import as_careful_as_last_time, plain
from bulk_unenroll.commands.options import PlanOptions, Settings, keyword_of, settings_from
from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.finding import InputFile, default_folder, find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.ledger.folder import who_works
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.plan import Destination, Plan, survey
from bulk_unenroll.settings import Limit


def plan(
    *inputs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Read ``inputs`` into the run folder ``out``, and return what a run of them would do.

    Cannot send. ``options`` are those of the command line, see ``PlanOptions``: columns,
    target_group_id, target_id, data_scope_org, delimiter, encoding, sheet, max_invalid, allow, for
    the destination base_url, and for the estimate rate and in_doubt. Raises the errors of
    ``bulk_unenroll.errors``, among them ``InputRefused`` and ``InputMissing``.
    """
    settings = settings_from(options)
    names, folder = names_and_folder(inputs, out)
    files = find_inputs(names)
    with working_ledger(folder) as ledger:
        settings = as_careful_as_last_time(settings, ledger.reader)
        to = destination(settings.run, ledger.reader)
        _, found = load_and_survey(ledger, folder, files, settings, settings.max_invalid, to)
        ledger.note_alarms(found.alarms, now_s=time.time(), noted_by=who_works())
        check_conservation(ledger.reader)
    return found


def names_and_folder(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None,
    *,
    rehearsal: bool = False,
) -> tuple[list[str], Path]:
    """The names of the inputs, and the run folder: ``out``, or one named after the first input."""
    names = [os.fspath(name) for name in inputs]
    if not names:
        raise UsageError("no input was given", "give the path of a file")
    return names, default_folder(names, rehearsal=rehearsal) if out is None else Path(out)


def load_and_survey(
    ledger: Ledger,
    folder: Path,
    files: list[InputFile],
    settings: Settings,
    max_invalid: Limit | None,
    to: Destination,
) -> tuple[list[int], Plan]:
    """Load new inputs. Return the ids of all sources, and what a run of them would do."""
    sources = load(ledger, files, settings.read, folder)
    found = survey(
        ledger.reader,
        str(folder),
        sources,
        destination=to,
        reading=settings.read.signature(),
        rate=settings.send.rate,
        remembered={keyword_of(name): plain(value) for name, value in settings.remembered.items()},
        resend_after_s=settings.send.resend_after_s(time.time()),
        max_invalid=max_invalid,
        allow=settings.run.allow,
    )
    return sources, found
