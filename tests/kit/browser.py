"""A real Chromium, headless and offline, and axe-core to check a page."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")
AXE: Final = os.environ.get("AXE_CORE")
"""Path of ``axe.min.js`` from the npm package axe-core."""

RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

JUDGE: Final = """
const [rules, done] = arguments;
axe.run({runOnly: rules}).then(found => done(JSON.stringify(found.violations)));
"""


class Browser:
    """Opens pages from files and servers, and reports what they do."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def open(self, page: Path | str) -> None:
        """Open a file or an address."""
        self._driver.get(page if isinstance(page, str) else page.absolute().as_uri())

    @property
    def driver(self) -> Chrome:
        """Selenium's driver, for what people do with a page."""
        return self._driver

    def ask(self, script: str, *values: object) -> Any:
        """Run ``script`` in the page, outside its policy, and return the result."""
        return self._driver.execute_script(script, *values)

    def complaints(self) -> list[str]:
        """Return what the page logged: refused resources, errors, policy violations."""
        found = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in found]

    def fetched(self) -> list[str]:
        """Return the other resources that the page loaded."""
        listed = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        found: list[str] = self.ask(listed)
        return found

    def violations(self, axe: str) -> list[str]:
        """Return what axe-core, at the path ``axe``, reports about the page."""
        self.ask(Path(axe).read_text("utf-8"))
        found = self._driver.execute_async_script(JUDGE, RULES)
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in json.loads(found)
        ]

    def sheets(self) -> int:
        """Return the number of sheets that the page has when printed."""
        printed = base64.b64decode(self._driver.print_page())
        return len(re.findall(rb"/Type\s*/Page\b", printed))

    def resize(self, width: int, height: int) -> None:
        """Make the page so large, smaller than any window too."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def show(self, medium: str = "screen", *, dark: bool = False) -> None:
        """Show pages as on a screen or on paper (``print``)."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": medium, "features": [scheme]}
        )

    def shoot(self, to: Path) -> None:
        """Save a screenshot of the window to ``to``."""
        assert self._driver.save_screenshot(str(to))


@contextmanager
def browser(*, script: bool = True) -> Iterator[Browser]:
    """Start Chromium without a network: no host name is resolved. Needs the package selenium."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    assert CHROMIUM
    assert DRIVER
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        "--force-device-scale-factor=1",
        "--hide-scrollbars",
        "--window-size=1100,900",
    ):
        options.add_argument(argument)
    if not script:
        forbidden = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", forbidden)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
