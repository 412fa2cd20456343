"""A server of the page, a browser that talks to it, and an API for its destination."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.command import CREDENTIALS, Desk, Witness
from tests.web.kit import PageServer, Visitor, destinations, serving

Start = Callable[..., Witness]


@pytest.fixture
def api(desk: Desk, witness: Start) -> Witness:
    """The sandbox as the API of the destination EU PRODUCTION, which has its credentials."""
    api = witness()
    for name in CREDENTIALS:
        desk.environment.pop(name, None)
    desk.environment.pop("BULK_UNENROLL_BASE_URL", None)
    desk.environment["EU_USER"] = CREDENTIALS["BULK_UNENROLL_USERNAME"]
    desk.environment["EU_PASSWORD"] = CREDENTIALS["BULK_UNENROLL_PASSWORD"]
    return api


@pytest.fixture
def server(desk: Desk, api: Witness) -> Iterator[PageServer]:
    with serving(desk, "--destinations", destinations(desk.folder, api.base_url)) as server:
        yield server


@pytest.fixture
def visitor(server: PageServer) -> Visitor:
    return server.visit()
