"""The files that a run writes, and those that are prepared when somebody asks."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import suppress
from pathlib import PurePath
from typing import Final
from urllib.parse import quote

from aiohttp import web

from bulk_unenroll.web import processes
from bulk_unenroll.web.gate import IDS, VIEW
from bulk_unenroll.web.jobs import Job
from bulk_unenroll.web.site import SITE, Trouble, address, form_of, job_of, need

DOWNLOADS: Final = {
    "results.csv": "text/csv",
    "failed.csv": "text/csv",
    "report.html": "text/html",
    "results.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
PREPARED: Final = ("results.xlsx",)
REPORT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
)


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
        processes.ask(job, ["export", "../run", "--to", f"../run/{name}"], {})
