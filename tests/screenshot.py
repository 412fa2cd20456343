"""Write the pictures of the documentation: ``python -m tests.screenshot``. Needs Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.kit.browser import Browser, browser
from tests.kit.command import CREDENTIALS, REPO, SAMPLES, Desk, Witness
from tests.web.kit import Visitor, destinations, serving

DOCS: Final = REPO / "docs"
SIZE: Final = (1100, 860)
EU: Final = "EU PRODUCTION"


def main() -> None:
    """Shoot the top of a report, and three steps of the page."""
    with browser() as chromium:
        chromium.resize(*SIZE)
        with tempfile.TemporaryDirectory() as folder:
            shoot_report(chromium, Desk(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            shoot_page(chromium, Desk(Path(folder)))


def shoot_report(chromium: Browser, desk: Desk) -> None:
    """The sample, run against the sandbox."""
    desk.environment["LOGNAME"] = "night-shift"
    desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", "--rate", "50/s", "--yes")
    chromium.open(desk.folder / "cleanup-rehearsal.unenroll" / "report.html")
    chromium.shoot(DOCS / "report.png")


def shoot_page(chromium: Browser, desk: Desk) -> None:
    """The sample on the page, as if the sandbox were an API."""
    desk.environment |= {"LOGNAME": "anna", "XDG_STATE_HOME": str(desk.folder / "state")}
    desk.environment["EU_USER"] = CREDENTIALS["BULK_UNENROLL_USERNAME"]
    desk.environment["EU_PASSWORD"] = CREDENTIALS["BULK_UNENROLL_PASSWORD"]
    api = Witness(desk.folder, "[[rule]]\nprobability = 1\ndelay_s = 0.2\n")
    to = destinations(desk.folder, api.base_url)
    with serving(desk, "--destinations", to) as server:
        chromium.open(f"http://{server.address}/?token={server.token}")
        visitor = server.visit()
        visitor.drop(SAMPLES / "cleanup.csv")
        columns = {
            "customerId": "column:Customer ID",
            "targetGroupId": "column:Target Group ID",
            "targetId": "column:Target ID",
        }
        visitor.plan(EU, **columns, rate=1200)
        show(chromium, visitor, "/plan", "page-plan.png")
        visitor.confirm(998)
        visitor.post(f"{visitor.job}/resume") if "Go on" in visitor.end().text else None
        api.wait_for_calls(400)
        show(chromium, visitor, "", "page-run.png")
        visitor.end()
        show(chromium, visitor, "", "page-results.png")
    api.stop()


def show(chromium: Browser, visitor: Visitor, more: str, name: str) -> None:
    """Shoot the top of one page of a job."""
    chromium.open(f"http://{visitor.address}{visitor.job}{more}")
    chromium.shoot(DOCS / name)


if __name__ == "__main__":
    main()
