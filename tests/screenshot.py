"""Write the README's picture of a report: ``python -m tests.screenshot``. Needs Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.kit.browser import browser
from tests.kit.command import REPO, SAMPLES, Desk

PICTURE = REPO / "docs" / "report.png"
SIZE = (1100, 860)


def main() -> None:
    """Run the sample against the sandbox, and shoot the top of its page."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.environment["LOGNAME"] = "night-shift"
        desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", "--rate", "50/s", "--yes")
        with browser() as chromium:
            chromium.resize(*SIZE)
            chromium.open(desk.folder / "cleanup.unenroll" / "report.html")
            chromium.shoot(PICTURE)


if __name__ == "__main__":
    main()
