"""The page in a real Chromium without a network: a job by hand, looks, keyboard, tabs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.browser import AXE, CHROMIUM, DRIVER, Browser, browser
from tests.kit.command import Desk, Witness, people
from tests.web.kit import PageServer

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = [
    pytest.mark.needs("selenium"),
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"
    ),
]
WAIT_S = 30
BEYOND = """
const edge = document.documentElement.clientWidth + 1;
if (document.documentElement.scrollWidth <= edge) return [];
return [...document.querySelectorAll('body *')]
    .filter(element => element.getBoundingClientRect().right > edge && !element.closest('.wide'))
    .map(element => element.outerHTML.slice(0, 200)).concat('wider than the page');
"""
CUT_OFF_ON_PAPER = """
const edge = document.documentElement.clientWidth + 1;
return [...document.querySelectorAll('body *')]
    .filter(element => element.getBoundingClientRect().right > edge)
    .map(element => element.outerHTML.slice(0, 200));
"""
MOST_SHEETS = 3
PAPER_WIDTH_PX = 695
"""Of A4 between its margins of 13 mm, at 96 pixels an inch."""
OWN = """
return performance.getEntriesByType('resource')
    .every(entry => entry.name.startsWith(location.origin));
"""
ANSWERED = """
const [entry] = performance.getEntriesByType('navigation');
return performance.timeOrigin > arguments[0] ? entry.responseEnd : 0;
"""
"""How many ms the page that was opened after a moment had to be waited for."""


class Hand:
    """Somebody's hand at a browser that shows the page."""

    def __init__(self, chromium: Browser, server: PageServer) -> None:
        self.browser = chromium
        self.driver = chromium.driver
        self.server = server
        self.address = f"http://{server.address}"
        chromium.open(f"{self.address}/?token={server.token}")

    def find(self, css: str) -> WebElement:
        found: WebElement = self.until(lambda: self.driver.find_elements("css selector", css)[0])
        return found

    def until(self, look: Callable[[], Any]) -> Any:
        """Look again and again; the first result that is not empty."""
        from selenium.common.exceptions import WebDriverException

        end_s = time.monotonic() + WAIT_S
        while True:
            try:
                if found := look():
                    return found
            except (IndexError, WebDriverException):  # the page is just being exchanged
                pass
            assert time.monotonic() < end_s, self.words()[:1000]
            time.sleep(0.1)

    def words(self) -> str:
        return " ".join(self.driver.find_element("css selector", "body").text.split())

    def sees(self, text: str) -> None:
        self.until(lambda: text in self.words())

    def finds_again(self, text: str) -> None:
        """Look again until it is there, as one does without script."""

        def look() -> bool:
            self.driver.refresh()
            return text in self.words()

        self.until(look)

    def type(self, css: str, text: str) -> None:
        box = self.find(css)
        box.clear()
        box.send_keys(text)

    def press(self, words: str) -> None:
        path = f"//button[starts-with(normalize-space(), '{words}')]"
        self.until(lambda: self.driver.find_elements("xpath", path)[0]).click()

    def choose(self, css: str, text: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.find(css)).select_by_visible_text(text)

    def drop(self, path: Path) -> None:
        self.browser.open(f"{self.address}/")
        self.find("#file").send_keys(str(path))
        self.press("Look at this file")
        self.sees("Which column is what?")

    def confirm(self, number: str) -> None:
        self.type("#number", number)
        self.press("Take these customers out")

    def plan(self, rate: int = 60_000) -> None:
        self.type("#rate", str(rate))
        self.choose("#destination", "EU PRODUCTION, at most 120,000 calls a minute")
        self.press("Make the plan")
        self.sees("Confirm")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def hand(chromium: Browser, server: PageServer) -> Hand:
    chromium.complaints()
    return Hand(chromium, server)


def write(desk: Desk, number: int = 60, name: str = "cleanup.csv") -> Path:
    return desk.write(name, [(who, 1001, 2001) for who in people(number)])


def test_a_job_by_hand(hand: Hand, desk: Desk, api: Witness) -> None:
    """The story: drop, plan, a wrong number, the right one, numbers that move, what failed."""
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    hand.drop(write(desk, 300))
    hand.choose("#destination", "EU PRODUCTION, at most 120,000 calls a minute")
    hand.type("#rate", "1800")
    hand.press("Make the plan")
    hand.sees("300 customers would be taken out")
    hand.confirm("299")
    hand.sees("That is not the number of customers")
    assert hand.driver.switch_to.active_element.get_attribute("id") == "number"
    assert not api.seen()
    hand.confirm("300")
    first = hand.until(lambda: re.search(r"(\d+) of 300 done", hand.words()))
    moved = hand.until(lambda: re.search(rf"\b(?!{first[1]} )(\d+) of 300 done", hand.words()))
    assert int(moved[1]) > int(first[1])
    assert " % · cleanup.csv" in hand.driver.title
    hand.sees("300 of 300 customers were taken out")
    assert len(api.seen()) == 300
    assert hand.browser.complaints() == []
    assert hand.browser.ask(OWN)


def test_a_browser_that_is_closed_and_opened_again(hand: Hand, desk: Desk, api: Witness) -> None:
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    hand.drop(write(desk, 600))
    hand.plan(1200)
    hand.confirm("600")
    hand.sees("of 600 done")
    address = hand.driver.current_url
    done = hand.until(lambda: re.search(r"(\d+) of 600 done", hand.words()))
    hand.browser.open("about:blank")
    time.sleep(1)
    hand.browser.open(address)
    again = hand.until(lambda: re.search(r"(\d+) of 600 done", hand.words()))
    assert int(again[1]) > int(done[1])
    hand.press("Stop")
    hand.sees("left")
    hand.sees("Stopped")
    assert len(api.seen()) < 600


def test_eight_tabs_do_not_keep_a_stop_from_its_run(
    server: PageServer, desk: Desk, api: Witness
) -> None:
    with browser() as opened:
        stop_among_tabs(Hand(opened, server), desk, api)


def stop_among_tabs(hand: Hand, desk: Desk, api: Witness) -> None:
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    hand.drop(write(desk, 600))
    hand.plan(1200)
    hand.confirm("600")
    hand.sees("of 600 done")
    address, first = hand.driver.current_url, hand.driver.current_window_handle
    for _ in range(7):
        hand.driver.switch_to.new_window("tab")
        hand.browser.open(address)
    hand.driver.switch_to.window(first)
    before_ms = hand.browser.ask("return performance.timeOrigin")
    hand.press("Stop")
    answered_ms = hand.until(lambda: hand.browser.ask(ANSWERED, before_ms))
    assert answered_ms < 2000, "an idle machine takes some 20 ms"
    hand.sees("Go on with the")
    assert len(api.seen()) < 600


def test_a_server_that_is_away_is_said_and_found_again(
    hand: Hand, desk: Desk, api: Witness
) -> None:
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    hand.drop(write(desk, 600))
    hand.plan(1200)
    hand.confirm("600")
    hand.sees("of 600 done")
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    hand.driver.execute_cdp_cmd("Network.enable", {})
    hand.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    hand.sees("The server of this page does not answer")
    again = {**offline, "offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    hand.driver.execute_cdp_cmd("Network.emulateNetworkConditions", again)
    hand.until(lambda: "does not answer" not in hand.words())
    hand.press("Stop")
    hand.sees("Go on with the")
    hand.browser.complaints()


class Looks:
    """What is wrong with how pages look.

    For axe-core, light and dark; at 320 pixels and 4k; on paper, where nothing scrolls.
    """

    def __init__(self, hand: Hand) -> None:
        self.wrong: list[str] = []
        self._browser = hand.browser

    def __call__(self, name: str) -> None:
        """Look at the page that is shown."""
        for dark in (False, True):
            self._browser.show(dark=dark)
            if AXE:
                self.wrong += [f"{name}: {found}" for found in self._browser.violations(AXE)]
        self._browser.show()
        for width in (320, 3840):
            self._browser.resize(width, 900)
            self.wrong += [f"{name} at {width}: {found}" for found in self._browser.ask(BEYOND)]
        self._browser.show("print")
        self._browser.resize(PAPER_WIDTH_PX, 900)
        lost = self._browser.ask(CUT_OFF_ON_PAPER)
        self.wrong += [f"{name} on paper: {found}" for found in lost]
        if self._browser.sheets() > MOST_SHEETS:
            self.wrong.append(f"{name} takes {self._browser.sheets()} sheets")
        self._browser.show()
        self._browser.resize(1100, 900)


def test_it_looks_well_everywhere(hand: Hand, desk: Desk, api: Witness) -> None:
    """Each page: axe-core finds nothing, light and dark, and 320 pixels are wide enough."""
    codes = [{"customers": [people(60)[5]], "code": 310011}]
    api.ask("teach", {"rules": codes})
    rows = [(who, 1001, 2001 + n % 3) for n, who in enumerate(people(60))]
    hand.drop(desk.write("a list with a rather long name of May 2026.csv", [*rows, ("x", 1, 1)]))
    job = hand.driver.current_url.removesuffix("/columns")
    hand.plan()
    look = Looks(hand)
    look("plan")
    hand.confirm("1")
    hand.sees("That is not the number")
    look("plan with a wrong number")
    hand.browser.open(f"{job}/columns")
    look("columns")
    hand.type("#rate", "x")
    hand.press("Make the plan")
    hand.sees("Type how many calls a minute")
    look("columns with a mistake")
    hand.browser.open(f"{job}/plan")
    hand.confirm("60")
    hand.sees("59 of 60 customers were taken out")
    look("results")
    hand.find("input[name=code]").click()
    hand.press("Run the ticked again")
    hand.sees("Call 1 customer again")
    look("again")
    hand.browser.open(job)
    hand.type("#customer", "423000007")
    hand.press("Look up")
    hand.sees("Customer 423000007")
    look("customer")
    hand.browser.open(f"{hand.address}/")
    look("home")
    hand.browser.open(f"{hand.address}/jobs/nothing")
    look("refused")
    mine = desk.folder / "mine.csv"
    mine.write_text("customerId,targetGroupId,targetId\n423000700,1001,2001\n")
    hand.browser.open(job)
    hand.find("#mended").send_keys(str(mine))
    hand.press("Plan them")
    hand.sees("1 customer would be taken out")
    look("a plan of mended rows")
    hand.browser.open(job)
    hand.sees("is planned and not confirmed")
    look("results with mended rows")
    assert look.wrong == []


def test_it_looks_well_while_it_works_and_where_it_cannot(
    hand: Hand, desk: Desk, api: Witness
) -> None:
    look = Looks(hand)
    (desk.folder / "pdf.csv").write_text("%PDF-1.7 and so on")
    hand.browser.open(f"{hand.address}/")
    look("an empty home")
    swapped = "targetId,targetGroupId,customerId\n2001,1001,423000777\n"
    path = write(desk, 40, "joined.csv")
    path.write_text(path.read_text() + swapped)
    hand.drop(path)
    hand.press("Make the plan")
    hand.sees("This file was refused")
    look("refused by its plan")
    hand.browser.open(f"{hand.address}/")
    hand.find("#file").send_keys(str(desk.folder / "pdf.csv"))
    hand.press("Look at this file")
    hand.sees("This file could not be read")
    look("unreadable")
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.5}]})
    hand.drop(write(desk, 900))
    hand.plan(1200)
    hand.confirm("900")
    hand.sees("of 900 done")
    look("a run")
    hand.press("Stop")
    hand.sees("Go on with the")
    look("a run that was stopped")
    hand.type("#name", "x")
    hand.press("Delete")
    why = hand.until(lambda: hand.driver.find_elements("css selector", "[role=alert]")[0])
    assert hand.browser.ask("return arguments[0].getBoundingClientRect().top < innerHeight", why)
    assert hand.browser.ask("return arguments[0].getBoundingClientRect().bottom > 0", why)
    look("a wrong name")
    assert look.wrong == []


def test_times_are_also_those_of_the_place(hand: Hand, desk: Desk) -> None:
    hand.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Manila"})
    hand.drop(write(desk))
    hand.browser.open(f"{hand.address}/")
    found = re.search(r"\d{4}-\d\d-\d\d (\d\d):(\d\d) \((\d\d):(\d\d) here\)", hand.words())
    hand.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "UTC"})
    assert found, hand.words()
    assert (int(found[1]) + 8) % 24 == int(found[3])
    assert found[2] == found[4]


def test_by_keyboard_alone(hand: Hand, desk: Desk, api: Witness) -> None:
    from selenium.webdriver import ActionChains, Keys

    hand.drop(write(desk))
    hand.plan()

    def tab_to(css: str) -> None:
        for _ in range(60):
            ActionChains(hand.driver).send_keys(Keys.TAB).perform()
            if hand.driver.execute_script(f"return document.activeElement.matches('{css}')"):
                return
        raise AssertionError(f"{css} is not reached")

    tab_to(".skip")
    tab_to("#number")
    ActionChains(hand.driver).send_keys("60").perform()
    tab_to("button.danger")
    ActionChains(hand.driver).send_keys(Keys.ENTER).perform()
    hand.sees("60 of 60 customers were taken out")
    assert len(api.seen()) == 60


def test_without_script(server: PageServer, desk: Desk, api: Witness) -> None:
    """From the file over a stop to the results: numbers move when one looks again."""
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    with browser(script=False) as plain:
        hand = Hand(plain, server)
        hand.drop(write(desk, 300))
        hand.plan(1200)
        hand.sees("300 customers would be taken out")
        hand.confirm("300")
        hand.press("Stop")
        hand.finds_again("Stopped")
        api.ask("teach", {"rules": []})
        hand.press("Go on")
        hand.finds_again("300 of 300 customers were taken out")
        assert hand.find("a[href$='results.csv']").get_attribute("download") is not None
        assert len(api.seen()) == 300


def test_nothing_is_fetched_from_elsewhere_and_no_policy_is_broken(
    hand: Hand, desk: Desk, api: Witness
) -> None:
    hand.drop(write(desk))
    hand.plan()
    hand.confirm("60")
    hand.sees("60 of 60 customers were taken out")
    assert hand.browser.ask(OWN)
    hand.find("a[href$='report.html']")
    hand.browser.open(f"{hand.driver.current_url}/files/report.html")
    hand.sees("Every row is accounted for")
    assert hand.browser.ask("return getComputedStyle(document.body).maxWidth") != "none"
    assert hand.browser.complaints() == []
