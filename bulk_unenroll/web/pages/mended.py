"""Mended rows of a job's own ``failed.csv``: planned and called beside the results of the job."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from bulk_unenroll.web import processes
from bulk_unenroll.web.checks import check_idle
from bulk_unenroll.web.gate import PLAN
from bulk_unenroll.web.jobs import Facts, Job
from bulk_unenroll.web.order import reading_of
from bulk_unenroll.web.pages.upload import file_of, telling
from bulk_unenroll.web.site import SITE, address, job_of, look_at, need, whole_of
from bulk_unenroll.web.starting import start_plan
from bulk_unenroll.web.uploads import add_to

CALLED: Final = "called.json"


async def give(request: web.Request) -> web.Response:
    """Plan mended rows: their record is that of the job, which knows whom it called."""
    person, job = need(request, PLAN), job_of(request)
    site = request.app[SITE]
    name, chunks = await file_of(request)
    async with site.uploading, site.locks[job.name]:
        check_idle(job)
        _put_away(job)
        job.forget("looked.json")  # another file of the same name was looked at, perhaps
        with telling():
            file = await add_to(job, person.name, name, chunks, site.most_bytes)
        reading = reading_of(job.facts).of_results().as_json()
        job.note(mended={**file, "reading": reading, "planned_by": person.name})
        start_plan(job, site, person)
    raise web.HTTPSeeOther(address(job, "/plan"))


async def drop(request: web.Request) -> web.Response:
    """Put mended rows away that were not confirmed."""
    person, job = need(request, PLAN), job_of(request)
    async with request.app[SITE].locks[job.name]:
        check_idle(job)
        if _put_away(job):
            job.audit(person.name, "dropped mended rows")
    raise web.HTTPSeeOther(address(job))


def _put_away(job: Job) -> bool:
    """Whether there were any."""
    mended = job.facts.get("mended")
    if not mended:
        return False
    job.note(mended=None)
    for name in ("mended.json", "mended.log", "draft.json"):
        job.forget(name)
    (job.inputs / mended["file"]).unlink(missing_ok=True)
    return True


def confirmed(job: Job) -> None:
    """Note that the mended rows of a job are called: they are a part of its record now."""
    facts = job.facts
    if facts.get("mended"):
        job.write(CALLED, job.read("mended.json") or {})
        job.note(mended=None, mended_runs=facts.get("mended_runs", 0) + 1)


def called(job: Job) -> Facts | None:
    """The plan of the mended rows that were called last, whose invalid rows are left to mend."""
    return job.read(CALLED)


async def count_whole(job: Job) -> None:
    """Count all rows of a job whose last run was of mended rows alone, once after each."""
    seen = look_at(job)
    is_part = seen.last == "run" and seen.facts.get("mended_runs") and seen.outcome
    if is_part and not seen.working and whole_of(job) is None:
        await asyncio.to_thread(_count, job, seen.outcome or {})


def _count(job: Job, outcome: Mapping[str, Any]) -> None:
    try:
        found = json.loads(processes.ask(job, ["status", "../run", "--json"], {}))
        counts = {name: found[name] for name in ("rows", "status", "codes")}
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return  # then the page tells of the mended rows alone
    left = outcome.get("rows", {}).get("invalid", 0)
    whole = {**counts, "invalid_left": left}
    job.write("whole.json", {"after": job.moment("run.json"), "counts": whole})


def has_rows(path: Path) -> bool:
    """Whether a file of results has more than its header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            return len(list(islice(csv.reader(opened), 2))) > 1
    except (OSError, ValueError, csv.Error):
        return path.exists()
