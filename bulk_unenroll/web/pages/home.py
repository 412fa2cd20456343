"""The list of jobs, where files are dropped, and how a job is deleted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from bulk_unenroll.web import processes, wrong_answers
from bulk_unenroll.web.gate import CONFIRM, PLAN, VIEW
from bulk_unenroll.web.job_state import JobState
from bulk_unenroll.web.site import (
    SITE,
    Site,
    Trouble,
    address,
    form_of,
    job_of,
    look_at,
    need,
    page,
    refused,
)

SHOWN_JOBS: Final = 200


async def home(request: web.Request) -> web.Response:
    """The list of jobs, and where a file is dropped."""
    need(request, VIEW)
    site = request.app[SITE]
    found = await asyncio.to_thread(_listed, site)
    own = request.query.getall("own", None)
    homes = [job for name in own or () if (job := site.jobs.find(name))]
    return page(request, "home.html.j2", jobs=found, own=own is not None, homes=homes)


def _listed(site: Site) -> list[JobState]:
    found = []
    for job in site.jobs.all():
        with suppress(OSError, ValueError):  # one that is deleted meanwhile
            found.append(look_at(job))
        if len(found) == SHOWN_JOBS:
            break
    return found


async def told(request: web.Request) -> web.Response:
    """Why a form was refused."""
    trouble = request.app[SITE].told.get(request.match_info["name"])
    if trouble is None:
        raise web.HTTPSeeOther("/")
    return refused(request, trouble.status, trouble.why, trouble.back, trouble.to)


async def delete(request: web.Request) -> web.Response:
    """Delete a job with its file: at once before it began, later once its name was typed."""
    job, site = job_of(request), request.app[SITE]
    has_begun = look_at(job).has_begun
    person = need(request, CONFIRM if has_begun else PLAN)
    async with site.locks[job.name]:
        if processes.works_on(job):
            raise Trouble(409, "Something is going on in this job. Stop it first.", address(job))
        typed = (await form_of(request)).get("name", "").strip()
        if look_at(job).has_begun and typed != job.facts["shown"]:
            wrong_answers.keep(job, person, {"name": typed})
            raise web.HTTPSeeOther(address(job, "?wrong=delete#delete"))
        await asyncio.to_thread(site.jobs.delete, job, person.name)
    raise web.HTTPSeeOther("/")
