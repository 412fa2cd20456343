"""Planning: what a run would do. Cannot send."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.commands.connect import working_ledger
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.inputs.finding import InputFile, find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.opening import check_conservation
from bulk_unenroll.reports.plan import Plan, survey
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.settings import Limit, SendSettings


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to read, how, and how many invalid rows are too many (None: a plan refuses none)."""

    names: Sequence[str]
    reading: ReadSettings
    max_invalid: Limit | None


def plan(
    folder: Path, inputs: Inputs, sending: SendSettings, show: Callable[[Plan], None]
) -> Summary:
    """Read the inputs into the folder and show what a run would do. Cannot send."""
    began_s = time.monotonic()
    files = find_inputs(inputs.names)
    with working_ledger(folder) as ledger:
        _, seen = _plan(ledger, folder, files, inputs, sending)
        show(seen)
        check_conservation(ledger.reader)
    ended = too_invalid(seen.counts, inputs.max_invalid) or _planned(seen)
    seconds = time.monotonic() - began_s
    return Summary(str(folder), ended, counts=seen.counts, seconds=seconds)


def _planned(seen: Plan) -> Exit:
    if seen.counts.invalid:
        return Exit(ExitCode.ROWS_FAILED, f"{seen.counts.invalid} invalid rows")
    return Exit(ExitCode.FINISHED, f"{seen.to_call} to call")


def _plan(
    ledger: Ledger, folder: Path, files: list[InputFile], inputs: Inputs, sending: SendSettings
) -> tuple[list[int], Plan]:
    sources = load(ledger, files, inputs.reading, folder)
    return sources, survey(
        ledger.reader, sources, sending.rate, sending.resend_after_s(time.time())
    )


def too_invalid(counts: Counts, most: Limit | None) -> Exit | None:
    if most is None or not most.exceeded(counts.invalid, counts.read):
        return None
    reason = f"{counts.invalid} of {counts.read} rows are invalid: more than --max-invalid allows"
    return Exit(ExitCode.INPUT_REFUSED, f"{reason}; fix the file, or allow more")
