"""The history of one customer."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bulk_unenroll.commands.explain import explain
from bulk_unenroll.errors import Stop
from bulk_unenroll.inputs.ids import parse_id
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.model import Invalid, row_name
from bulk_unenroll.web import wrong_answers
from bulk_unenroll.web.gate import IDS
from bulk_unenroll.web.site import Trouble, address, form_of, job_of, look_at, need, page


async def customer(request: web.Request) -> web.Response:
    """The history of one customer. A POST, so that the id is in no address and no log."""
    person, job = need(request, IDS), job_of(request)
    typed = (await form_of(request)).get("customer", "").strip()
    found = parse_id(typed)
    if isinstance(found, Invalid):
        wrong_answers.keep(job, person, {"customer": typed})
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
