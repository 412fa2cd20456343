"""The page on which columns are chosen, and the look at a file that it begins with."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from bulk_unenroll.inputs.mapping import is_added
from bulk_unenroll.web import processes
from bulk_unenroll.web.checks import check_open
from bulk_unenroll.web.gate import PLAN, Person
from bulk_unenroll.web.jobs import Facts, Job, current
from bulk_unenroll.web.order import (
    COLUMN,
    ENCODINGS,
    Order,
    Reading,
    better_row,
    headings_of,
    look_of,
    offered,
    order_of,
    reading_of,
    wrong_row,
)
from bulk_unenroll.web.order import IDS as ID_NAMES
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
)
from bulk_unenroll.web.starting import start_plan
from bulk_unenroll.web.words import capital, in_words

UNCLEAR: Final = re.compile(r"--encoding|(?:is not|is|looks like|may be) UTF-")
"""What is said of a text whose encoding is not known."""


async def columns(request: web.Request) -> web.Response:
    """Which column holds which id, and where the calls go.

    A form that was sent with a mistake is shown as it was sent: ``draft.json`` has it.
    """
    need(request, PLAN)
    job = job_of(request)
    seen = look_at(job)
    if seen.has_begun and not seen.is_mending:
        raise web.HTTPSeeOther(address(job))
    draft = job.read("draft.json") or {}
    form = {**kept_form(seen.file), **draft, **dict(request.query.items())}
    errors: dict[str, str] = {}
    sent = bool(request.query.get("wrong") and draft)
    if sent:
        errors = dict(order_of(draft, request.app[SITE].destinations).errors)
    elif why := wrong_row(form):
        errors = {"header_row": why}
    look, found = await asyncio.to_thread(_looked, job, look_of(form), errors)
    if found is None:
        return _unreadable(request, job)
    if any(map(is_added, found["header"])) and not seen.is_mending:
        homes = await asyncio.to_thread(homes_of, request.app[SITE], job, found)
        return page(request, "own.html.j2", 422, seen=seen, homes=homes)
    choices = offered(found["header"])
    form = _with_choices(form, found, {one.value for one in choices})
    return page(
        request,
        "columns.html.j2",
        422 if errors else 200,
        seen=seen,
        found=found,
        look=look,
        form=form,
        errors=errors,
        sent=sent,
        names=ID_NAMES,
        choices=choices,
        chosen={one.place for one in choices if one.value in {form[name] for name in ID_NAMES}},
        headings=headings_of(found["header"]),
        clock=f"{datetime.now():%H:%M}",
        better=None if look.header_row else better_row(found),
        encodings=ENCODINGS,
    )


def kept_form(facts: Mapping[str, Any]) -> Form:
    """The form as it was sent last; empty before."""
    reading = reading_of(facts)
    form = {name: f"{COLUMN}{header}" for name, header in reading.columns.items()}
    form |= {f"{name}-all": str(value) for name, value in reading.constants.items()}
    form |= {name: str(facts.get(name, "")) for name in ("destination", "stop_at")}
    form |= {"sheet": reading.sheet, "header_row": reading.header_row}
    form["encoding"] = reading.encoding
    form["rate"] = str(facts.get("rate", "100/min")).removesuffix("/min")
    return form


def _with_choices(form: Form, found: Facts, values: set[str]) -> Form:
    """The form with a column for each id: as somebody chose, or by its name; else none."""
    chosen = {name: form.get(name, "") for name in ID_NAMES}
    named = {name: f"{COLUMN}{found['columns'].get(name) or ''}" for name in ID_NAMES}
    is_open = {name: not form.get(f"{name}-all") for name in ID_NAMES}
    for name, value in chosen.items():
        guess = named[name] if named[name] in values and is_open[name] else ""
        chosen[name] = value if value in values else guess
    return {**form, **chosen}


# ── the look at a file ───────────────────────────────────────────────────────────────────────────


def _looked(job: Job, look: Reading, errors: dict[str, str]) -> tuple[Reading, Facts | None]:
    """What is found with the choices of ``look`` that can be kept; ``errors`` says of the others.

    None: the file cannot be read at all.
    """
    facts = current(job.facts)
    while True:
        found = peeked(job, look)
        why = _refusal(found)
        if not why:
            if facts.get("unreadable"):
                job.note(unreadable="")
            return look, found
        if look.header_row and "--header-row" in why:
            errors.setdefault("header_row", _beside(why, facts))
            look = replace(look, header_row="")
        elif look.sheet and "sheet" in why:
            errors.setdefault("sheet", _beside(why, facts))
            look = replace(look, sheet="")
        elif UNCLEAR.search(why):
            errors.setdefault("encoding", _beside(why, facts))
            return look, dict(_NOTHING)
        else:
            job.note(unreadable=in_words(why, facts))
            return look, None


def _beside(why: str, facts: Facts) -> str:
    """Why a field is wrong, to stand beside it: without the name of the file."""
    return capital(in_words(why, facts).removeprefix(f"{facts['shown']}: "))


_NOTHING: Final[Facts] = {
    "format": "csv",
    "sheets": [],
    "sheet_rows": {},
    "sheet": None,
    "header": [],
    "columns": {},
    "rows": [],
    "problem": None,
}
"""What is known of a text in an unknown encoding."""


def _refusal(found: Facts) -> str:
    """Why nothing of a file can be shown; "" if something can."""
    if "folder" in found:  # it is the end of a command that could not go on
        return str(found["exit"]["reason"])
    problem = found["problem"]
    if found["header"] or not problem or "several sheets" in problem["reason"]:
        return ""
    return f"{problem['reason']}; {problem['remedy']}"


def peeked(job: Job, look: Reading) -> Facts:
    """What ``peek`` says of the file of a job; kept until mended rows are given."""
    words = ["peek", current(job.facts)["file"], "--json", *look.words()]
    kept = job.read("looked.json")
    if kept and kept["words"] == words:
        found: Facts = kept["found"]
        return found
    try:
        found = json.loads(processes.ask(job, words, {}))
    except (ValueError, subprocess.TimeoutExpired):
        raise Trouble(422, "This file takes more memory or time than this page allows.") from None
    if "folder" not in found:  # a look that failed may succeed next time
        job.write("looked.json", {"words": words, "found": found})
    return found


def _unreadable(request: web.Request, job: Job) -> web.Response:
    seen = look_at(job)
    why, title = seen.facts["unreadable"], "This file could not be read"
    return page(request, "no_plan.html.j2", 422, seen=seen, title=title, why=why, again=False)


def homes_of(site: Site, job: Job, found: Facts) -> list[Job]:
    """The jobs that a file of results may belong to, the newest first: their input has its name."""
    header = found["header"]
    if "unenroll_source" not in header:
        return []
    place = header.index("unenroll_source")
    named = {row["cells"][place] for row in found["rows"] if len(row["cells"]) > place}
    return [
        other
        for other in site.jobs.all()
        if other.name != job.name
        and (other.run_folder / "results.csv").exists()
        and named & {path.name for path in other.inputs.iterdir()}
    ][:5]


# ── to the plan ──────────────────────────────────────────────────────────────────────────────────


async def make_plan(request: web.Request) -> web.Response:
    """Keep how the file is read and where its calls go, and plan it."""
    person, job = need(request, PLAN), job_of(request)
    site, form = request.app[SITE], await form_of(request)
    order = order_of(form, site.destinations)
    async with site.locks[job.name]:
        check_open(job)
        if order.errors:
            job.write("draft.json", form)
            raise web.HTTPSeeOther(address(job, "/columns?wrong=1"))
        _keep(job, order, person)
        start_plan(job, site, person)
    raise web.HTTPSeeOther(address(job, "/plan"))


def _keep(job: Job, order: Order, person: Person) -> None:
    reading = order.reading.as_json()
    mended = job.facts.get("mended")
    more = {
        "reading": reading,
        "rate": order.rate,
        "stop_at": order.stop_at,
        "planned_by": person.name,
    }
    if mended:  # they go where their job went
        job.note(mended={**mended, **more})
    else:
        job.note(**more, destination=order.destination)
    job.forget("draft.json")
    to = job.facts["destination"]
    job.audit(person.name, "planned", destination=to, rate=order.rate)
