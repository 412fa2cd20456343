"""The program without its protection against hostile servers."""

from __future__ import annotations

import re
from typing import Any

from bulk_unenroll.capillary import client, redaction
from bulk_unenroll.capillary.calls import Reply


def read_it_all() -> None:
    """Answers are read whole, however long they are."""

    async def read(response: Any) -> Reply:
        return Reply(response.status, await response.read())

    client._read = read


def show_as_it_is() -> None:
    """What a server says reaches the terminal unchanged."""
    redaction.UNPRINTABLE = re.compile("(?!)")  # type: ignore[misc]
