"""The report page in a real Chromium without a network, judged by axe-core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
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


UNFOLD = "document.querySelectorAll('details').forEach(part => { part.open = true; })"
FOLDED = """
return [...document.querySelectorAll('details:not([open]) table')]
    .filter(table => !table.checkVisibility() || table.offsetHeight < 20)
    .map(table => table.textContent.slice(0, 60));
"""
BEYOND = """
const edge = document.documentElement.clientWidth + 1;
if (document.documentElement.scrollWidth <= edge) return [];
return [...document.querySelectorAll('body *')]
    .filter(element => element.getBoundingClientRect().right > edge && !element.closest('.wide'))
    .map(element => element.outerHTML.slice(0, 200)).concat('wider than the page');
"""
CUT = """
return [...document.querySelectorAll('.wide')]
    .filter(element => element.scrollWidth > element.clientWidth + 1)
    .map(element => element.getAttribute('aria-labelledby'));
"""
A4_PIXELS = 695
"""The width of A4 between margins of 13 mm, at 96 pixels an inch."""


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


LOOKS = [(320, False), (320, True), (1280, False), (1280, True), (1920, False)]
"""Widths in pixels, and whether it is dark."""


def test_it_opens_offline_shows_all_prints_and_is_accessible(page: Path, chromium: Browser) -> None:
    for width, dark in LOOKS:
        chromium.show(dark=dark)
        chromium.resize(width, 800)
        chromium.open(page)
        assert chromium.complaints() == []
        assert chromium.fetched() == []
        chromium.ask(UNFOLD)
        assert chromium.ask(HIDDEN_PARTS) == []
        assert chromium.ask(BEYOND) == [], f"{width} pixels are too few"
        if width >= 1280:
            assert chromium.ask(CUT) == []
        if AXE:
            assert chromium.violations(AXE) == []
    chromium.show()
    assert 1 <= chromium.sheets() <= MOST_SHEETS


def test_the_answer_is_on_the_first_screen(tmp_path: Path, chromium: Browser, seed: int) -> None:
    chromium.show()
    chromium.resize(1280, 800)
    folder = many(tmp_path / "job.unenroll", 2_000, seed)
    chromium.open(page_of(folder, tmp_path / "report.html"))
    ends = "return document.querySelector('.columns').getBoundingClientRect().bottom"
    assert chromium.ask(ends) <= 800


@pytest.mark.parametrize("make", [partial(many, number=2_000, seed=1), hostile])
def test_on_paper_nothing_is_cut_and_all_is_unfolded(
    tmp_path: Path, chromium: Browser, make: Callable[[Path], Path]
) -> None:
    path = page_of(make(tmp_path / "job.unenroll"), tmp_path / "report.html")
    try:
        chromium.show("print", dark=True)
        chromium.resize(A4_PIXELS, 1000)
        chromium.open(path)
        assert chromium.ask("return document.querySelectorAll('details').length") > 3
        assert chromium.ask(FOLDED) == []
        assert (chromium.ask(BEYOND), chromium.ask(CUT)) == ([], [])
        white = "return getComputedStyle(document.body).backgroundColor"
        assert chromium.ask(white) == "rgb(255, 255, 255)"
    finally:
        chromium.show()


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
    chromium.show()
    text = path.read_text("utf-8")
    broken = text.replace('lang="en"', "").replace("--soft: #4d5661", "--soft: #b0b0b0")
    path.write_text(broken, "utf-8")
    chromium.open(path)
    found = {violation.partition(":")[0] for violation in chromium.violations(AXE)}
    assert {"html-has-lang", "color-contrast"} <= found
