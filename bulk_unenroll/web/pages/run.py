"""A run that goes on, or what came of it; and how it is stopped and gone on with."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from bulk_unenroll.commands.stop import stop as stop_run
from bulk_unenroll.settings import RESEND_WINDOW_S
from bulk_unenroll.web import processes, wrong_answers
from bulk_unenroll.web.checks import check_idle
from bulk_unenroll.web.gate import CONFIRM, VIEW
from bulk_unenroll.web.jobs import SENDING, Job
from bulk_unenroll.web.pages import mended
from bulk_unenroll.web.pages.files import DOWNLOADS, PREPARED
from bulk_unenroll.web.site import SITE, Site, address, job_of, look_at, need, page, person_of
from bulk_unenroll.web.starting import go_on, start_run
from bulk_unenroll.web.views import codes_of, ending_of, headline_of, progress_of, states_of
from bulk_unenroll.web.words import invalid_of

RESENT_MIN: Final = round(RESEND_WINDOW_S / 60)
ASKED_EVERY_S: Final = 0.2
WRONG: Final = {
    "codes": "Tick at least one code.",
    "customer": "That is not an id: type the digits of one customer's id.",
    "delete": "That is not the name of the file. Nothing was deleted.",
}
"""What is wrong with a form on the page of a job."""


async def overview(request: web.Request) -> web.Response:
    """A run that goes on, or how it ended."""
    need(request, VIEW)
    job = job_of(request)
    await mended.count_whole(job)
    seen, site = look_at(job), request.app[SITE]
    if not seen.has_begun and seen.working not in SENDING:
        raise web.HTTPSeeOther(address(job, "/plan"))
    wrong = request.query.get("wrong", "")
    errors = {wrong: WRONG[wrong]} if wrong in WRONG else {}
    outcome = seen.outcome or {}
    present = [name for name in DOWNLOADS if (job.run_folder / name).exists()]
    if "failed.csv" in present and not mended.has_rows(job.run_folder / "failed.csv"):
        present.remove("failed.csv")
    return page(
        request,
        "job.html.j2",
        422 if errors else 200,
        seen=seen,
        progress=progress_of(seen),
        ending=ending_of(seen),
        headline=headline_of(outcome),
        outcome=outcome,
        states=states_of(outcome.get("status", {})),
        codes=codes_of(outcome),
        present=present,
        preparing=[name for name in PREPARED if (job.name, name) in site.preparing],
        invalid=invalid_of((mended.called(job) or seen.plan or {}).get("plan")),
        audit=job.audited(),
        errors=errors,
        form=wrong_answers.kept(job, person_of(request)) if errors else {},
        resent_min=RESENT_MIN,
    )


async def now(request: web.Request) -> web.Response:
    """How far a job is, for the page's script. Costs some small files, however large the job is."""
    need(request, VIEW)
    return web.json_response(progress_of(look_at(job_of(request))))


async def stop(request: web.Request) -> web.Response:
    """Stop a run cleanly; to ask again does no harm."""
    person, job = need(request, CONFIRM), job_of(request)
    site = request.app[SITE]
    if processes.works_on(job) in SENDING and job.name not in site.stopping:
        job.audit(person.name, "stopped")
        site.stopping[job.name] = asyncio.create_task(_ask_to_stop(job, site))
        site.stopping[job.name].add_done_callback(lambda _: site.stopping.pop(job.name))
    raise web.HTTPSeeOther(address(job))


async def _ask_to_stop(job: Job, site: Site) -> None:
    """Ask until the run has ended: one that has just begun cannot hear yet, or forgets it again."""
    child = job.read("child.json")
    while True:
        async with site.locks[job.name]:  # so the next run of the job is never the one that is told
            if job.read("child.json") != child or processes.works_on(job) not in SENDING:
                return
            await asyncio.to_thread(stop_run, job.run_folder)
        await asyncio.sleep(ASKED_EVERY_S)


async def resume(request: web.Request) -> web.Response:
    """Go on with what is left."""
    person, job = need(request, CONFIRM), job_of(request)
    site = request.app[SITE]
    async with site.locks[job.name]:
        check_idle(job)
        job.audit(person.name, "went on")
        seen = look_at(job)
        if seen.can_begin_again and seen.last == "run" and seen.plan and not seen.mended_runs:
            start_run(job, site, person, seen.plan["plan"])  # nothing to resume: it was confirmed
        else:
            go_on(job, site, person, "resume", ())
    raise web.HTTPSeeOther(address(job))
