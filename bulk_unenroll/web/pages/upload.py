"""The requests that bring a file, and where a file of results is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote, urlencode

from aiohttp import BodyPartReader, web

from bulk_unenroll.inputs.mapping import is_added
from bulk_unenroll.web.gate import PLAN
from bulk_unenroll.web.order import Reading
from bulk_unenroll.web.pages.columns import homes_of, peeked
from bulk_unenroll.web.site import SITE, Trouble, address, need
from bulk_unenroll.web.uploads import CHUNK_BYTES, Unusable, check_room, take_in


async def upload(request: web.Request) -> web.Response:
    """A file as the body of a request, from the page's script."""
    name = unquote(request.headers.get("X-File-Name", ""))
    then = await _uploaded(request, name, request.content.iter_chunked(CHUNK_BYTES))
    return web.json_response({"next": then})


async def upload_form(request: web.Request) -> web.Response:
    """A file of a form, without script."""
    name, chunks = await file_of(request)
    raise web.HTTPSeeOther(await _uploaded(request, name, chunks))


async def file_of(request: web.Request) -> tuple[str, AsyncIterator[bytes]]:
    """The name and the content of the file in a form."""
    _check_size(request)
    part = await (await request.multipart()).next()
    if not isinstance(part, BodyPartReader) or part.name != "file" or not part.filename:
        raise Trouble(400, "Choose a file first.")
    return part.filename, _chunks(part)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK_BYTES):
        yield chunk


async def _uploaded(request: web.Request, name: str, chunks: AsyncIterator[bytes]) -> str:
    """The address of what comes next."""
    person, site = need(request, PLAN), request.app[SITE]
    _check_size(request)
    if site.uploading.locked():
        raise Trouble(503, "Two files are being copied now. Try again in a minute.")
    async with site.uploading:
        with telling():
            job = await take_in(site.jobs, person.name, name, chunks, site.most_bytes)
    with suppress(Trouble):  # the next page says it
        found = await asyncio.to_thread(peeked, job, Reading())
        if any(map(is_added, found.get("header", []))):
            homes = await asyncio.to_thread(homes_of, site, job, found)
            await asyncio.to_thread(site.jobs.delete, job, person.name)
            return f"/?{urlencode([('own', home.name) for home in homes] or [('own', '')])}"
    return address(job, "/columns")


def _check_size(request: web.Request) -> None:
    site = request.app[SITE]
    with telling():
        check_room(site.jobs.root, request.content_length, site.most_bytes)


@contextmanager
def telling() -> Iterator[None]:
    """Let a refusal of a file be one of the request."""
    try:
        yield
    except Unusable as unusable:
        raise Trouble(unusable.status, unusable.why) from None
