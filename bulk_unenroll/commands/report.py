"""Write the report of a folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from bulk_unenroll.commands.export import destination
from bulk_unenroll.commands.status import status
from bulk_unenroll.commands.steps.finish import REPORT_NAME
from bulk_unenroll.errors import UsageError
from bulk_unenroll.ledger.opening import existing_folder, open_reader
from bulk_unenroll.urls import without_secrets


def report(folder: str | os.PathLike[str], to: str | None = None) -> str:
    """Write the page of ``folder`` to ``to``, by default into the folder; return where it is.

    ``to`` is a file or an address. Works while a run is going.
    """
    from bulk_unenroll.reports.page import write_page  # jinja2 is slow to import

    found = existing_folder(Path(folder))
    place = to or str(found / REPORT_NAME)
    if PurePosixPath(place).suffix.lower() not in (".html", ".htm"):
        shown = without_secrets(place)
        raise UsageError(f"{shown} does not end in .html", f"give --to {REPORT_NAME}")
    now = status(found)
    with destination(place) as path, open_reader(found) as reader:
        write_page(reader, path, now.summary, going_on=now.going_on)
    return place
