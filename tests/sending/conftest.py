from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sending.scripted import Job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.ledger.close()
