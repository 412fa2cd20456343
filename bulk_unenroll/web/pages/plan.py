"""What a run would do, and the question that a person answers before it begins."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from bulk_unenroll.reports.wording import masked
from bulk_unenroll.web import wrong_answers
from bulk_unenroll.web.checks import check_open, taken
from bulk_unenroll.web.gate import CONFIRM, IDS, PLAN, VIEW
from bulk_unenroll.web.job_state import Stage
from bulk_unenroll.web.jobs import REHEARSAL, Facts
from bulk_unenroll.web.order import read_as, shown_plan
from bulk_unenroll.web.pages import mended
from bulk_unenroll.web.site import (
    SITE,
    Form,
    Trouble,
    address,
    form_of,
    job_of,
    look_at,
    need,
    page,
    person_of,
)
from bulk_unenroll.web.starting import start_plan, start_run
from bulk_unenroll.web.views import (
    progress_of,
    refusal_of,
    targets_of,
    typed_number,
)
from bulk_unenroll.web.words import invalid_of

SHOWN_TARGETS: Final = 50
OF_COLUMNS: Final = (
    "phones", "swapped", "short-ids", "own-targets", "in-sequence", "targets-in-sequence",
)  # fmt: skip
"""Alarms that a wrong column raises."""


async def plan(request: web.Request) -> web.Response:
    """What a run would do, and the question; again if the answer was wrong."""
    need(request, VIEW)
    job = job_of(request)
    seen, site = look_at(job), request.app[SITE]
    if seen.stage in (Stage.NEW, Stage.UNREADABLE):
        raise web.HTTPSeeOther(address(job, "/columns"))
    if seen.stage is Stage.READING:
        return page(request, "reading.html.j2", seen=seen, progress=progress_of(seen))
    if not seen.is_planned or seen.proposed is None:
        ending = refusal_of(seen.proposed, seen.file)
        why = ending.text if person_of(request).may(IDS) else masked(ending.text)
        values = {"title": ending.title, "why": why, "again": True}
        return page(request, "no_plan.html.j2", 422, seen=seen, **values)
    destination = site.destination(seen.facts["destination"])
    plan, wrong = seen.proposed["plan"], request.query.get("wrong", "")
    shown = shown_plan(plan, seen.file)
    return page(
        request,
        "plan.html.j2",
        seen=seen,
        summary=seen.proposed,
        plan=plan,
        invalid=invalid_of(plan),
        destination=destination,
        targets=targets_of(plan),
        shown_targets=SHOWN_TARGETS,
        read_as=read_as(seen.file),
        shown_plan=shown,
        of_columns=OF_COLUMNS,
        wrong=wrong,
        form=wrong_answers.kept(job, person_of(request), shown) if wrong else {},
    )


async def confirm(request: web.Request) -> web.Response:
    """Begin the run, if the person typed what the plan asks for and nothing has changed."""
    person, job = need(request, CONFIRM), job_of(request)
    site, form = request.app[SITE], await form_of(request)
    async with site.locks[job.name]:
        check_open(job)
        seen = look_at(job)
        if not seen.is_planned or seen.proposed is None:
            raise Trouble(409, "There is no plan to confirm.", address(job, "/plan"))
        plan, facts = seen.proposed["plan"], seen.file
        if form.get("plan") != shown_plan(plan, facts):
            why = "The plan was made anew meanwhile. Look at it again."
            raise Trouble(409, why, address(job, "/plan"))
        destination = site.destination(facts["destination"])
        if destination and destination.approvals > 1 and facts["planned_by"] == person.name:
            raise Trouble(403, "You planned this. Somebody else has to confirm it.", address(job))
        if wrong := _wrong_answer(plan, form):
            job.audit(person.name, "typed a wrong answer", plan=plan["id"])
            wrong_answers.keep(job, person, form)
            raise web.HTTPSeeOther(address(job, f"/plan?wrong={wrong}"))
        job.audit(person.name, "confirmed", plan=plan["id"], to_call=plan["to_call"])
        job.note(confirmed_by=person.name)
        start_run(job, site, person, plan)
        mended.confirmed(job)
    raise web.HTTPSeeOther(address(job))


def _wrong_answer(plan: Facts, form: Form) -> str:
    """The first thing that was not typed as it must be: an alarm, or ``number``; "" if none.

    The number says how many, an alarm's name that it was read: neither stands for the other.
    """
    alarms = [alarm["name"] for alarm in plan["alarms"] if not alarm["allowed"]]
    for name in alarms:
        if form.get(f"alarm-{name}", "").strip() != name:
            return str(name)
    is_right = typed_number(form.get("number", "")) == str(plan["to_call"])
    return "" if is_right else "number"


async def rehearse(request: web.Request) -> web.Response:
    """A new job with the same file, whose calls go to the sandbox."""
    person, job = need(request, PLAN), job_of(request)
    site = request.app[SITE]
    if look_at(job).has_begun:
        raise taken(job, None)
    more = {"destination": REHEARSAL, "by": person.name, "planned_by": person.name}
    new = await asyncio.to_thread(site.jobs.copy, job, **more)
    new.audit(person.name, "planned a rehearsal", of=job.name)
    start_plan(new, site, person)
    raise web.HTTPSeeOther(address(new, "/plan"))
