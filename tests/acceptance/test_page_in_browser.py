"""The report page in a real Chromium without a network, judged by axe-core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.browser import AXE, CHROMIUM, DRIVER, Browser, browser
from tests.kit.tiers import long
from tests.reports.kit import hostile, many, page_of, unsafe_page

pytestmark = [
    pytest.mark.needs("selenium"),
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"
    ),
]
MOST_BYTES = 500_000
MOST_SECONDS = 60  # some six on an idle machine; this one may be busy
MOST_SHEETS = 12
ROWS = [0, 2_000, *long(1_000_000)]
INJECTED = "script, img, iframe, object, embed, form, link, base, main main, [onload], [onerror]"
HIDDEN_PARTS = """
return [...document.querySelectorAll('h1, h2, p, td, th, code, svg')].filter(element => {
    const box = element.getBoundingClientRect();
    return element.textContent.trim() && (box.width < 1 || box.height < 1);
}).map(element => element.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(params=ROWS, ids=lambda rows: f"{rows} rows")
def page(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> Path:
    rows: int = request.param
    folder = many(tmp_path / "job.unenroll", rows, seed)
    began_s = time.monotonic()
    made = page_of(folder, tmp_path / "report.html")
    took_s = time.monotonic() - began_s
    print(f"{rows} rows: {made.stat().st_size} bytes in {took_s:.1f} s")
    assert took_s < MOST_SECONDS
    assert made.stat().st_size < MOST_BYTES
    return made


def test_it_opens_offline_shows_all_prints_and_is_accessible(page: Path, chromium: Browser) -> None:
    for width in (360, 1100):
        chromium.resize(width, 900)
        chromium.open(page)
        assert chromium.complaints() == []
        assert chromium.fetched() == []
        assert chromium.ask("return document.querySelector('h1').textContent") == "job.unenroll"
        assert chromium.ask(HIDDEN_PARTS) == []
        overflows = "return document.documentElement.scrollWidth > window.innerWidth"
        assert not chromium.ask(overflows), f"{width} pixels are too few"
        if AXE:
            assert chromium.violations(AXE) == []
    assert 1 <= chromium.sheets() <= MOST_SHEETS


def test_hostile_text_is_text(tmp_path: Path, chromium: Browser) -> None:
    path = page_of(hostile(tmp_path / "job.unenroll"), tmp_path / "report.html")
    chromium.open(path)
    assert chromium.complaints() == []
    assert chromium.ask(f"return document.querySelectorAll('{INJECTED}').length") == 0
    assert chromium.ask("return document.title") == "job.unenroll: report of bulk-unenroll"
    assert "<script>document.title" in chromium.ask("return document.body.innerText")
    if AXE:
        assert chromium.violations(AXE) == []


def test_were_it_not_escaped_the_browser_would_show_it_and_the_policy_stop_it(
    tmp_path: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsafe_page(monkeypatch)
    chromium.open(page_of(hostile(tmp_path / "job.unenroll"), tmp_path / "report.html"))
    assert chromium.ask(f"return document.querySelectorAll('{INJECTED}').length") > 0
    assert any("Content Security Policy" in said for said in chromium.complaints())
    assert chromium.ask("return document.title") != "taken"


@pytest.mark.skipif(not AXE, reason="AXE_CORE names no axe.min.js: npm install axe-core")
def test_axe_finds_what_is_wrong(tmp_path: Path, chromium: Browser, seed: int) -> None:
    assert AXE
    path = page_of(many(tmp_path / "job.unenroll", 20, seed), tmp_path / "report.html")
    text = path.read_text("utf-8")
    broken = text.replace('lang="en"', "").replace("--soft: #4a5058", "--soft: #b0b0b0")
    path.write_text(broken, "utf-8")
    chromium.open(path)
    found = {violation.partition(":")[0] for violation in chromium.violations(AXE)}
    assert {"html-has-lang", "color-contrast"} <= found
