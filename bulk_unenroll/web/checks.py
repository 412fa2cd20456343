"""Whether something can be done with a job now; each raises ``Trouble`` where it cannot."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.web.jobs import MENDED, Job
from bulk_unenroll.web.site import Trouble, address, look_at

SEE: Final = "See it"


def check_open(job: Job) -> None:
    """Raise ``Trouble`` (409) for a job whose order cannot change any more."""
    seen = look_at(job)
    if seen.working or (seen.has_begun and not seen.is_mending):
        raise taken(job, seen.working)


def check_idle(job: Job) -> None:
    """Raise ``Trouble`` (409) for a job in which something goes on, or which never began."""
    seen = look_at(job)
    if seen.working or not seen.has_begun:
        raise Trouble(409, "Something is going on in this job already.", address(job), SEE)


def taken(job: Job, working: str | None) -> Trouble:
    """Why a job cannot be begun: somebody did, or something is going on in it."""
    lines = [line for line in job.audited() if line["what"] == "confirmed"]
    if not lines or working in ("plan", MENDED):
        return Trouble(
            409, "Something is going on in this job. Wait until it ends.", address(job), SEE
        )
    at, who = str(lines[-1]["at"])[11:16], lines[-1]["who"]
    said = f"It was confirmed at {at} UTC by {who}"
    if working:
        return Trouble(409, f"{said} and is running.", address(job), "Watch it")
    return Trouble(409, f"{said}, and has run.", address(job), "See what came of it")
