"""Where shared jobs are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.many_machines.kit import Start
from tests.kit.command import Desk, Witness


@pytest.fixture
def shared(desk: Desk, witness: Start, ledger_url: str) -> Callable[..., Witness]:
    """Starts an API, and lets the desk know where the ledger is."""

    def start(scenario: str = "") -> Witness:
        api = witness(scenario)
        desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
        return api

    return start
