"""What every page needs: the jobs, who asks, how an answer is made and protected."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from bulk_unenroll.reports.rendering import render
from bulk_unenroll.web import processes, words
from bulk_unenroll.web.config import Destination
from bulk_unenroll.web.gate import IDS, Identity, Person
from bulk_unenroll.web.job_state import JobState
from bulk_unenroll.web.jobs import REHEARSAL, SENDING, Facts, Job, Jobs

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind} 'self'" for kind in ("script-src", "style-src", "img-src", "connect-src")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "bulk-unenroll",
}
PACKAGE: Final = "bulk_unenroll.web"
TOLD: Final = 200
"""How many refusals are kept for the browsers that are redirected to them."""


class Trouble(Exception):
    """A request that cannot be done: an HTTP status, why in words, and where to go from there."""

    def __init__(self, status: int, why: str, back: str = "/", to: str = "Back") -> None:
        """``to``: what the link to ``back`` is called."""
        super().__init__(why)
        self.status = status
        self.why = why
        self.back = back
        self.to = to


@dataclass(slots=True)
class Site:
    """The jobs, the destinations and what is shared between requests.

    ``locks`` holds one lock for each job, so that of several confirmations one counts;
    ``uploading`` lets two uploads in at once. ``told`` is why forms were refused, by the address
    that the browser is redirected to: so going back never sends a form again.
    """

    jobs: Jobs
    destinations: Mapping[str, Destination]
    hosts: frozenset[str]
    most_bytes: int
    port: int
    is_own: bool
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    told: dict[str, Trouble] = field(default_factory=dict)
    stopping: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    preparing: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    def tell(self, trouble: Trouble) -> str:
        """The address of a page that says why a form was refused."""
        name = secrets.token_urlsafe(12)
        self.told[name] = trouble
        while len(self.told) > TOLD:
            del self.told[next(iter(self.told))]
        return f"/refused/{name}"

    @property
    def cookie(self) -> str:
        """The name of its cookie: cookies are shared by all ports of a host."""
        return f"bulk_unenroll_{self.port}"

    def destination(self, name: str) -> Destination | None:
        """A destination; None for a rehearsal. Raises ``Trouble`` for one that is gone."""
        if name == REHEARSAL:
            return None
        if name not in self.destinations:
            raise Trouble(409, f"The destination {name} is not there any more.")
        return self.destinations[name]


SITE: Final = web.AppKey("site", Site)
IDENTITY: Final = web.AppKey[Identity]("identity", Identity)
PERSON: Final = "person"
Form = dict[str, str]


def person_of(request: web.Request) -> Person:
    """Who asks."""
    found: Person = request[PERSON]
    return found


def address(job: Job, more: str = "") -> str:
    """The address of a page of a job."""
    return f"/jobs/{job.name}{more}"


async def form_of(request: web.Request) -> Form:
    """The fields of a form that are text; of several of one name, the last."""
    return {name: text for name, text in (await request.post()).items() if isinstance(text, str)}


def need(request: web.Request, role: str) -> Person:
    """Who asks; raises ``Trouble`` (403) for somebody who may not do this."""
    person = person_of(request)
    if not person.may(role):
        raise Trouble(403, "You may not do this here. Ask who looks after this page.")
    return person


def job_of(request: web.Request) -> Job:
    """The job of an address; raises ``Trouble`` (404)."""
    job = request.app[SITE].jobs.find(request.match_info["job"])
    if job is None:
        raise Trouble(404, "There is no such job.")
    return job


def look_at(job: Job) -> JobState:
    """What the files of a job say. Reads some small ones; never the ledger."""
    working = processes.works_on(job)  # first: a command that ends meanwhile was not cut off
    facts, (last, known) = job.facts, processes.last_of(job)
    outcome = job.read(f"{last}.json") if last in SENDING else None
    if outcome and last == "run" and facts.get("mended_runs"):
        outcome = {**outcome, **(whole_of(job) or {})}
    return JobState(
        job.name,
        facts,
        working,
        last,
        job.read("plan.json"),
        outcome,
        job.read("now.json"),
        job.read("mended.json") if facts.get("mended") else None,
        known,
    )


def whole_of(job: Job) -> Facts | None:
    """How all rows of a job stand after its last run, if that was counted since."""
    whole = job.read("whole.json")
    return whole["counts"] if whole and whole["after"] == job.moment("run.json") else None


def page(request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
    """A page of a template."""
    person: Person | None = request.get(PERSON)
    for name in values.keys() & {"form", "errors"}:
        values[name] = Answers(values[name])
    text = render(
        template,
        PACKAGE,
        person=person,
        sees_ids=person is not None and person.may(IDS),
        site=request.app[SITE],
        size=words.size,
        several=words.several,
        **values,
    )
    shown = _without_paths(text, request.app[SITE].jobs.root)
    return web.Response(text=shown, status=status, content_type="text/html")


def _without_paths(text: str, root: Path) -> str:
    """``text`` without folders of this server: a command's message may name that of a job."""
    return re.sub(rf"{re.escape(str(root))}(?:/[\w.-]+)*", "an earlier job", text)


class Answers(dict[str, str]):
    """What was typed into a form, or is wrong with it; nothing for a field that is not there."""

    def __missing__(self, name: str) -> str:
        return ""


def refused(
    request: web.Request, status: int, why: str, back: str = "/", to: str = "Back"
) -> web.Response:
    """The page that says why something was not done."""
    response = page(request, "refused.html.j2", status, why=why, back=back, to=to)
    if status in (413, 507):
        response.force_close()  # the rest of the body is not read
    return response


def answer(response: web.StreamResponse) -> web.StreamResponse:
    """The response, with the headers that protect every one."""
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    return response
