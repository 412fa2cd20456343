"""The pages of a job, in the order in which a person sees them, and what their forms do."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web
from multidict import MultiMapping

from bulk_unenroll.commands.explain import explain
from bulk_unenroll.commands.stop import stop as stop_run
from bulk_unenroll.errors import Stop
from bulk_unenroll.inputs.ids import parse_id
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.model import Invalid, row_name
from bulk_unenroll.reports.wording import masked
from bulk_unenroll.settings import RESEND_WINDOW_S
from bulk_unenroll.web import children, mended, uploading
from bulk_unenroll.web.columns import TOLD, check_open, columns, make_plan, start_plan, taken
from bulk_unenroll.web.gate import CONFIRM, IDS, PLAN, VIEW, Person
from bulk_unenroll.web.jobs import REHEARSAL, SENDING, Facts, Job, current
from bulk_unenroll.web.order import read_as, shown_plan, words_of
from bulk_unenroll.web.site import (
    SITE,
    Form,
    Site,
    Trouble,
    address,
    form_of,
    job_of,
    look_at,
    need,
    page,
    person_of,
    refused,
)
from bulk_unenroll.web.views import (
    RETRIED,
    Seen,
    Stage,
    codes_of,
    ending_of,
    headline_of,
    progress_of,
    refusal_of,
    states_of,
    targets_of,
    typed_number,
)
from bulk_unenroll.web.words import invalid_of

SHOWN_JOBS: Final = 200
ASKED_EVERY_S: Final = 0.2
SHOWN_TARGETS: Final = 50
DOWNLOADS: Final = {
    "results.csv": "text/csv",
    "failed.csv": "text/csv",
    "report.html": "text/html",
    "results.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
RESENT_MIN: Final = round(RESEND_WINDOW_S / 60)
PREPARED: Final = ("results.xlsx",)
REPORT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
OF_COLUMNS: Final = (
    "phones", "swapped", "short-ids", "own-targets", "in-sequence", "targets-in-sequence",
)  # fmt: skip
"""Alarms that a wrong column raises."""
ANSWER: Final = "answer.json"
WRONG: Final = {
    "codes": "Tick at least one code.",
    "customer": "That is not an id: type the digits of one customer's id.",
    "delete": "That is not the name of the file. Nothing was deleted.",
}
"""What is wrong with a form on the page of a job."""


# ── 1 file ───────────────────────────────────────────────────────────────────────────────────────


async def home(request: web.Request) -> web.Response:
    """The list of jobs, and where a file is dropped."""
    need(request, VIEW)
    site = request.app[SITE]
    found = await asyncio.to_thread(_listed, site)
    own = request.query.getall("own", None)
    homes = [job for name in own or () if (job := site.jobs.find(name))]
    return page(request, "home.html.j2", jobs=found, own=own is not None, homes=homes)


async def told(request: web.Request) -> web.Response:
    """Why a form was refused."""
    trouble = request.app[SITE].told.get(request.match_info["name"])
    if trouble is None:
        raise web.HTTPSeeOther("/")
    return refused(request, trouble.status, trouble.why, trouble.back, trouble.to)


def _listed(site: Site) -> list[Seen]:
    found = []
    for job in site.jobs.all():
        with suppress(OSError, ValueError):  # one that is deleted meanwhile
            found.append(look_at(job))
        if len(found) == SHOWN_JOBS:
            break
    return found


# ── 3 plan ───────────────────────────────────────────────────────────────────────────────────────


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
        form=_typed(job, person_of(request), shown) if wrong else {},
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
            job.write(ANSWER, {"who": person.name, "form": form})
            raise web.HTTPSeeOther(address(job, f"/plan?wrong={wrong}"))
        job.audit(person.name, "confirmed", plan=plan["id"], to_call=plan["to_call"])
        job.note(confirmed_by=person.name)
        _start_run(job, site, person, plan)
        mended.confirmed(job)
    raise web.HTTPSeeOther(address(job))


def _typed(job: Job, person: Person, shown: str | None) -> Form:
    """What this person answered last to the plan that is shown, or to none; empty if nothing."""
    answer = job.read(ANSWER) or {"who": "", "form": {}}
    form: Form = answer["form"]
    return form if answer["who"] == person.name and form.get("plan") == shown else {}


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


def _start_run(job: Job, site: Site, person: Person, plan: Facts) -> None:
    facts = current(job.facts)
    destination = site.destination(facts["destination"])
    words = [*words_of(facts, destination), *_sending(facts, destination), "--plan", plan["id"]]
    for alarm in plan["alarms"]:
        words += ["--allow", alarm["name"]]
    credentials = destination.environment() if destination else {}
    children.start(job, "run", words, person.name, credentials)


def _sending(facts: Facts, destination: Any) -> list[str]:
    """The options of every command of a job that sends."""
    words = [*TOLD, "--yes", "--rate", facts["rate"], "--notify", "never"]
    words += ["--base-url", destination.base_url] if destination else ["--sandbox"]
    if facts.get("stop_at"):
        words += ["--stop-at", facts["stop_at"]]
    return words


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


# ── 4 and 5 run and results ──────────────────────────────────────────────────────────────────────


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
    if children.works_on(job) in SENDING and job.name not in site.stopping:
        job.audit(person.name, "stopped")
        site.stopping[job.name] = asyncio.create_task(_ask_to_stop(job, site))
        site.stopping[job.name].add_done_callback(lambda _: site.stopping.pop(job.name))
    raise web.HTTPSeeOther(address(job))


async def _ask_to_stop(job: Job, site: Site) -> None:
    """Ask until the run has ended: one that has just begun cannot hear yet, or forgets it again."""
    child = job.read("child.json")
    while True:
        async with site.locks[job.name]:  # so the next run of the job is never the one that is told
            if job.read("child.json") != child or children.works_on(job) not in SENDING:
                return
            await asyncio.to_thread(stop_run, job.run_folder)
        await asyncio.sleep(ASKED_EVERY_S)


async def resume(request: web.Request) -> web.Response:
    """Go on with what is left."""
    person, job = need(request, CONFIRM), job_of(request)
    site = request.app[SITE]
    async with site.locks[job.name]:
        mended.check_idle(job)
        job.audit(person.name, "went on")
        seen = look_at(job)
        if seen.can_begin_again and seen.last == "run" and seen.plan and not seen.mended_runs:
            _start_run(job, site, person, seen.plan["plan"])  # nothing to resume: it was confirmed
        else:
            _go_on(job, site, person, "resume", ())
    raise web.HTTPSeeOther(address(job))


async def ask_again(request: web.Request) -> web.Response:
    """Ask for the number of what would be called again."""
    person, job = need(request, CONFIRM), job_of(request)
    codes, doubts = _again_of(request.query)
    mended.check_idle(job)
    words = _words_again(codes, doubts=doubts)
    number = await asyncio.to_thread(_count, job, request.app[SITE], words)
    wrong = "That is not the number. Nothing was sent." if request.query.get("wrong") else ""
    values = {"codes": codes, "doubts": doubts, "number": number, "wrong": wrong}
    values |= {"resent_min": RESENT_MIN, "form": _typed(job, person, None) if wrong else {}}
    return page(request, "retry.html.j2", 422 if wrong else 200, seen=look_at(job), **values)


def _again_of(fields: MultiMapping[Any]) -> tuple[list[str], bool]:
    """The codes of those who are called again, or that it is those in doubt."""
    return [str(code) for code in fields.getall("code", [])], fields.get("doubts") == "yes"


def _words_again(codes: Sequence[str], *, doubts: bool) -> list[str]:
    words = ["--state", "in_doubt"] if doubts else [w for s in RETRIED for w in ("--state", s)]
    return words + [word for code in codes for word in ("--code", code)]


async def retry(request: web.Request) -> web.Response:
    """Call some again, once their number was typed."""
    person, job = need(request, CONFIRM), job_of(request)
    site, fields = request.app[SITE], await request.post()
    codes, doubts = _again_of(fields)
    if not codes and not doubts:
        raise web.HTTPSeeOther(address(job, "?wrong=codes#what"))
    chosen = [("code", code) for code in codes] + [("doubts", "yes")] * doubts
    if "number" not in fields:
        raise web.HTTPSeeOther(address(job, f"/retry?{urlencode(chosen)}"))
    words = _words_again(codes, doubts=doubts)
    async with site.locks[job.name]:
        mended.check_idle(job)
        number = await asyncio.to_thread(_count, job, site, words)
        if typed_number(str(fields["number"])) != str(number):
            job.write(ANSWER, {"who": person.name, "form": {"number": str(fields["number"])}})
            again = urlencode([*chosen, ("wrong", "number")])
            raise web.HTTPSeeOther(address(job, f"/retry?{again}"))
        job.audit(person.name, "ran again", codes=codes, in_doubt=doubts, to_call=number)
        _go_on(job, site, person, "retry", [*words, "--expect", str(number)])
    raise web.HTTPSeeOther(address(job))


def _count(job: Job, site: Site, words: Sequence[str]) -> int:
    """How many customers a retry would call."""
    facts = job.facts
    destination = site.destination(facts["destination"])
    where = ["--base-url", destination.base_url] if destination else ["--sandbox"]
    credentials = destination.environment() if destination else {}
    command = ["retry", "../run", "--dry-run", "--json", *where, *words]
    try:
        return int(json.loads(children.ask(job, command, credentials))["to_call"])
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        why = "It cannot be counted what would be called again."
        raise Trouble(422, why, address(job)) from None


def _go_on(job: Job, site: Site, person: Person, what: str, more: Sequence[str]) -> None:
    facts = job.facts
    destination = site.destination(facts["destination"])
    words = ["../run", *_sending(facts, destination), *more]
    credentials = destination.environment() if destination else {}
    children.start(job, what, words, person.name, credentials)


# ── files, one customer, deleting ────────────────────────────────────────────────────────────────


async def download(request: web.Request) -> web.StreamResponse:
    """One of the files that a run writes."""
    name = request.match_info["name"]
    person = need(request, VIEW if name == "report.html" else IDS)
    job = job_of(request)
    path = job.run_folder / name
    if name not in DOWNLOADS or not path.is_file():
        raise Trouble(404, "There is no such file.", address(job))
    job.audit(person.name, "downloaded", file=name)
    if name == "report.html":
        headers = {"Content-Security-Policy": REPORT_POLICY, "Content-Type": "text/html"}
        return web.FileResponse(path, headers=headers)
    shown = f"{PurePath(job.facts['file']).name.partition('.')[0]}-{name}"
    plain = re.sub(r"[^\w .-]", "_", shown, flags=re.ASCII)
    named = f'filename="{plain}"'
    if plain != shown:
        named += f"; filename*=UTF-8''{quote(shown)}"  # RFC 8187
    headers = {"Content-Disposition": f"attachment; {named}"}
    return web.FileResponse(path, headers={**headers, "Content-Type": DOWNLOADS[name]})


async def prepare(request: web.Request) -> web.Response:
    """Write a file that runs do not write by themselves."""
    need(request, IDS)
    job, site = job_of(request), request.app[SITE]
    name = (await form_of(request)).get("file", "")
    if name not in PREPARED:
        raise Trouble(404, "There is no such file.", address(job))
    key = (job.name, name)
    if key not in site.preparing:
        site.preparing[key] = asyncio.create_task(asyncio.to_thread(_export, job, name))
        site.preparing[key].add_done_callback(lambda _: site.preparing.pop(key))
    await asyncio.wait([site.preparing[key]], timeout=2)  # most are there at once
    raise web.HTTPSeeOther(address(job, "#files"))


def _export(job: Job, name: str) -> None:
    with suppress(subprocess.TimeoutExpired):
        children.ask(job, ["export", "../run", "--to", f"../run/{name}"], {})


async def customer(request: web.Request) -> web.Response:
    """The history of one customer. A POST, so that the id is in no address and no log."""
    person, job = need(request, IDS), job_of(request)
    typed = (await form_of(request)).get("customer", "").strip()
    found = parse_id(typed)
    if isinstance(found, Invalid):
        raise web.HTTPSeeOther(address(job, "?wrong=customer#one"))
    job.audit(person.name, "looked up a customer")
    if not ledger_path(job.run_folder).exists():
        raise Trouble(409, "Nothing was planned yet.", address(job))
    try:
        explained = await asyncio.to_thread(explain, job.run_folder, found)
    except Stop as failed:
        raise Trouble(409, f"{failed.reason}.", address(job)) from None
    return page(request, "customer.html.j2", seen=look_at(job), found=explained, row_name=row_name)


async def another(request: web.Request) -> web.Response:
    """Whoever opens the address of a history is asked for a customer: the address names none."""
    need(request, IDS)
    raise web.HTTPSeeOther(address(job_of(request), "#one"))


async def delete(request: web.Request) -> web.Response:
    """Delete a job with its file: at once before it began, later once its name was typed."""
    job, site = job_of(request), request.app[SITE]
    has_begun = look_at(job).has_begun
    person = need(request, CONFIRM if has_begun else PLAN)
    async with site.locks[job.name]:
        if children.works_on(job):
            raise Trouble(409, "Something is going on in this job. Stop it first.", address(job))
        typed = (await form_of(request)).get("name", "").strip()
        if look_at(job).has_begun and typed != job.facts["shown"]:
            raise web.HTTPSeeOther(address(job, "?wrong=delete#delete"))
        await asyncio.to_thread(site.jobs.delete, job, person.name)
    raise web.HTTPSeeOther("/")


JOB: Final = "/jobs/{job}"
ROUTES: Final = (
    web.get("/", home),
    web.get("/refused/{name}", told),
    web.put("/uploads", uploading.upload),
    web.post("/uploads", uploading.upload_form),
    web.get(JOB, overview),
    web.get(f"{JOB}/columns", columns),
    web.post(f"{JOB}/plan", make_plan),
    web.get(f"{JOB}/plan", plan),
    web.post(f"{JOB}/confirm", confirm),
    web.post(f"{JOB}/rehearse", rehearse),
    web.get(f"{JOB}/now", now),
    web.post(f"{JOB}/stop", stop),
    web.post(f"{JOB}/resume", resume),
    web.get(f"{JOB}/retry", ask_again),
    web.post(f"{JOB}/retry", retry),
    web.post(f"{JOB}/mended", mended.give),
    web.post(f"{JOB}/mended/drop", mended.drop),
    web.post(f"{JOB}/files", prepare),
    web.get(f"{JOB}/files/{{name}}", download),
    web.get(f"{JOB}/customer", another),
    web.post(f"{JOB}/customer", customer),
    web.post(f"{JOB}/delete", delete),
)
