"""The server: who asks is checked once, for every address; the pages are in ``pages``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import TemplateError

from bulk_unenroll.log import get_logger
from bulk_unenroll.web.config import Destination
from bulk_unenroll.web.gate import (
    Asked,
    BehindProxy,
    Identity,
    OwnMachine,
    refused_host,
    refused_origin,
)
from bulk_unenroll.web.jobs import Jobs
from bulk_unenroll.web.pages.routes import ROUTES
from bulk_unenroll.web.site import IDENTITY, PERSON, SITE, Site, Trouble, answer, refused

log = get_logger()

FORM_BYTES: Final = 1 << 16
UNREAD: Final = (413, 507)
"""With these the rest of a body is not read, so the answer has to say all."""
STATIC: Final = {
    "style.css": ("bulk_unenroll.reports", "templates/style.css", "text/css"),
    "page.css": ("bulk_unenroll.web", "static/page.css", "text/css"),
    "page.js": ("bulk_unenroll.web", "static/page.js", "text/javascript"),
    "icon.svg": ("bulk_unenroll.web", "static/icon.svg", "image/svg+xml"),
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server needs to know. ``hosts`` are the names, with their port, that it answers to."""

    root: Path
    identity: Identity
    hosts: frozenset[str]
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    most_bytes: int = 2048 << 20
    port: int = 0

    def application(self) -> web.Application:
        """The application of this server."""
        app = web.Application(middlewares=[_guard], client_max_size=FORM_BYTES)
        is_own = isinstance(self.identity, OwnMachine)
        app[SITE] = Site(
            Jobs(self.root), self.destinations, self.hosts, self.most_bytes, self.port, is_own
        )
        app[IDENTITY] = self.identity
        app.add_routes([web.get("/static/{name}", _static), *ROUTES])
        return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    site, identity = request.app[SITE], request.app[IDENTITY]
    asked = _asked(request, site.cookie)
    if refusal := refused_host(asked, site.hosts):
        return answer(web.Response(status=refusal.status, text=f"{refusal.why}\n"))
    if request.path.startswith("/static/"):
        return answer(await _caught(request, handler))
    if isinstance(identity, OwnMachine) and request.path == "/" and "token" in request.query:
        return _opened(request, identity, site)
    person = identity.person(asked, time.monotonic())
    if person is None:
        why = "You are not signed in here." if isinstance(identity, BehindProxy) else NOT_OPENED
        return answer(refused(request, 403, why))
    if refusal := refused_origin(asked, site.hosts):
        return answer(refused(request, refusal.status, refusal.why))
    request[PERSON] = person
    return answer(await _caught(request, handler))


NOT_OPENED: Final = (
    "You are not signed in here. Open the link that `bulk-unenroll serve` printed; it is a new one"
    " each time that the server starts."
)


async def _caught(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Trouble as trouble:
        if request.method == "POST" and trouble.status not in UNREAD:
            told = request.app[SITE].tell(trouble)
            return web.Response(status=303, headers={"Location": told})
        return refused(request, trouble.status, trouble.why, trouble.back, trouble.to)
    except web.HTTPRedirection:
        raise
    except web.HTTPException as error:
        return refused(request, error.status, _WORDS.get(error.status, "This is not possible."))
    except (OSError, ValueError, LookupError, TypeError, TemplateError) as error:
        log.exception("page_failed", kind=type(error).__name__)
        why = "Something in this page broke. What works goes on. Tell who looks after this page."
        return refused(request, 500, why)


_WORDS: Final = {
    404: "There is no such page.",
    405: "This address is not for that.",
    413: "This is larger than this page takes.",
}


def _opened(request: web.Request, identity: OwnMachine, site: Site) -> web.StreamResponse:
    """Exchange the token of the link for a cookie at once, so that it stays in no address."""
    session = identity.open(request.query["token"], time.monotonic())
    if session is None:
        return answer(refused(request, 403, f"This link is an old one. {NOT_OPENED}"))
    response = web.Response(status=303, headers={"Location": "/"})
    response.set_cookie(site.cookie, session, httponly=True, samesite="Strict", path="/")
    return answer(response)


def _asked(request: web.Request, cookie: str) -> Asked:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    session = request.cookies.get(cookie, "")
    return Asked(request.method, headers, request.content_type, session)


async def _static(request: web.Request) -> web.Response:
    found = STATIC.get(request.match_info["name"])
    if found is None:
        raise Trouble(404, "There is no such page.")
    package, path, kind = found
    content = files(package).joinpath(path).read_bytes()
    return web.Response(body=content, content_type=kind, charset="utf-8")
