"""Calling some customers again, once their number was typed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from bulk_unenroll.web import wrong_answers
from bulk_unenroll.web.checks import check_idle
from bulk_unenroll.web.gate import CONFIRM
from bulk_unenroll.web.pages.run import RESENT_MIN
from bulk_unenroll.web.site import SITE, address, job_of, look_at, need, page
from bulk_unenroll.web.starting import count_again, go_on
from bulk_unenroll.web.views import RETRIED, typed_number


async def ask_again(request: web.Request) -> web.Response:
    """Ask for the number of what would be called again."""
    person, job = need(request, CONFIRM), job_of(request)
    codes, doubts = _again_of(request.query)
    check_idle(job)
    words = _words_again(codes, doubts=doubts)
    number = await asyncio.to_thread(count_again, job, request.app[SITE], words)
    wrong = "That is not the number. Nothing was sent." if request.query.get("wrong") else ""
    values = {"codes": codes, "doubts": doubts, "number": number, "wrong": wrong}
    values |= {"resent_min": RESENT_MIN, "form": wrong_answers.kept(job, person) if wrong else {}}
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
        wrong_answers.keep(job, person, {})
        raise web.HTTPSeeOther(address(job, "?wrong=codes#what"))
    chosen = [("code", code) for code in codes] + [("doubts", "yes")] * doubts
    if "number" not in fields:
        raise web.HTTPSeeOther(address(job, f"/retry?{urlencode(chosen)}"))
    words = _words_again(codes, doubts=doubts)
    async with site.locks[job.name]:
        check_idle(job)
        number = await asyncio.to_thread(count_again, job, site, words)
        if typed_number(str(fields["number"])) != str(number):
            wrong_answers.keep(job, person, {"number": str(fields["number"])})
            again = urlencode([*chosen, ("wrong", "number")])
            raise web.HTTPSeeOther(address(job, f"/retry?{again}"))
        job.audit(person.name, "ran again", codes=codes, in_doubt=doubts, to_call=number)
        go_on(job, site, person, "retry", [*words, "--expect", str(number)])
    raise web.HTTPSeeOther(address(job))
