"""The events that docs/watching.md lists are those that the program logs."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).parents[1]


def test_every_event_is_listed_and_every_listed_one_is_logged() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (REPO / "bulk_unenroll").rglob("*.py"))
    logged = re.findall(r"(?:\blog\.\w+|\bsay)\(\s*\"(\w+)\"", code)
    table = (
        (REPO / "docs/watching.md")
        .read_text("utf-8")
        .partition("## Log events")[2]
        .partition("\n## ")[0]
    )
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(logged)
