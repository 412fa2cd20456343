"""The report page of real ledgers: its figures are the ledger's, and it can be mailed around."""

from __future__ import annotations

import itertools
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bulk_unenroll.exits import Exit
from bulk_unenroll.ledger.folder import ledger_path, who_works
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.ledger.opening import open_ledger
from bulk_unenroll.model import Alarm, State
from bulk_unenroll.reports import page
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.reports.timeline import Calls, Timeline, calls_over_time
from tests.kit.accidents import any_mask
from tests.ledger.kit import (
    BAD_ID,
    NOW_S,
    answer,
    begin,
    claim,
    confirmed,
    key,
    keys,
    plan,
    turn,
    unanswered,
)
from tests.reports.kit import (
    FIRST_CUSTOMER,
    HOSTILE,
    Element,
    Paper,
    hostile,
    many,
    page_of,
    unsafe_page,
)

ROWS = 3_000
MOST_BYTES = 500_000


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("busy") / "job.unenroll", ROWS, 7)


@pytest.fixture(scope="module")
def paper(busy: Path, tmp_path_factory: pytest.TempPathFactory) -> Paper:
    return Paper(page_of(busy, tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    root = tmp_path_factory.mktemp("attacked")
    folder = hostile(root / "job.unenroll")
    return Paper(page_of(folder, root / "report.html", name=f"/x/{HOSTILE[1]}"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "job") as made:
        yield made


def paper_of(ledger: Ledger, tmp_path: Path) -> Paper:
    return Paper(page_of(tmp_path / "job", tmp_path / "report.html"))


@contextmanager
def tool(folder: Path) -> Iterator[sqlite3.Connection]:
    """The ledger as any tool sees it that opens SQLite files."""
    uri = ledger_path(folder).as_uri()
    with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as connection:
        yield connection


def number(text: str) -> int:
    return int(text.replace(",", ""))


class TestFigures:
    def test_the_accounting_is_that_of_the_promised_views(self, busy: Path, paper: Paper) -> None:
        with tool(busy) as connection:
            counted = connection.execute("SELECT status, count(*) FROM results GROUP BY 1")
            found = dict(counted.fetchall())
        rows = paper.table("rows")
        assert number(rows["read"][0]) == number(rows["sum"][0]) == ROWS
        for state in State:
            if state is not State.WITHDRAWN:
                assert number(rows[state.value][0]) == found.get(state.value, 0)

    def test_codes_and_targets_are_counted_as_in_the_views(self, busy: Path, paper: Paper) -> None:
        with tool(busy) as connection:
            codes = connection.execute(
                "SELECT code, count(*) FROM results"
                " WHERE status NOT IN ('succeeded', 'not_enrolled') GROUP BY 1"
            ).fetchall()
            targets = connection.execute(
                "SELECT target_group_id || '/' || target_id, count(*) FROM results GROUP BY 1"
            ).fetchall()
        assert {code: number(cells[1]) for code, cells in paper.table("codes").items()} == dict(
            codes
        )
        shown = {target: number(cells[0]) for target, cells in paper.table("targets").items()}
        assert shown == dict(targets)

    def test_the_calls_of_a_run_are_counted_and_timed(self, busy: Path, paper: Paper) -> None:
        with tool(busy) as connection:
            latencies = sorted(
                took
                for (took,) in connection.execute(
                    "SELECT answered_at - sent_at FROM attempt WHERE answered_at IS NOT NULL"
                )
            )
        by, *_, calls, per_min, median_s, most_s, ended = paper.table("runs")["run-1 run"]
        assert (by, number(calls), ended) == ("zoe@desk", ROWS, "exit 1: some rows failed")
        assert number(per_min) == 60_000
        assert float(median_s) == pytest.approx(latencies[len(latencies) // 2], rel=0.11)
        assert float(most_s) == pytest.approx(latencies[len(latencies) * 95 // 100], rel=0.11)
        steps = paper.table("line").values()
        assert sum(number(cells[1]) + number(cells[2]) + number(cells[3]) for cells in steps) == (
            ROWS
        )

    def test_an_example_is_an_input_row_with_that_state_and_code(
        self, busy: Path, paper: Paper
    ) -> None:
        ((code, target, state, example),) = paper_examples(paper)[:1]
        row = number(example.split()[1])
        with tool(busy) as connection:
            found = connection.execute(
                "SELECT code, target_group_id || '/' || target_id, status FROM results"
                " WHERE row = ?",
                (row,),
            ).fetchone()
        assert found == (code, target, state)

    def test_the_slowest_calls_come_first(self, busy: Path, paper: Paper) -> None:
        with tool(busy) as connection:
            ((slowest_s,),) = connection.execute("SELECT max(answered_at - sent_at) FROM attempt")
        assert float(next(iter(paper.table("slowest")))) == pytest.approx(slowest_s, abs=0.06)

    def test_retries_and_waits_are_shown_by_the_outcome_before(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        calls = claim(ledger)
        turn(
            ledger,
            answer(calls[0], State.PENDING, outcome="not_applied", code="521", again_s=NOW_S + 5),
            answer(calls[1], State.FAILED, code="310011"),
            unanswered(calls[2]),
        )
        (again,) = claim(ledger, now_s=NOW_S + 6)
        turn(ledger, answer(again, at_s=NOW_S + 6))
        paper = paper_of(ledger, tmp_path)
        assert paper.table("attempts") == {"1": ["2"], "2": ["1"]}
        assert paper.table("again") == {"521": ["not_applied", "1", "5.0", "5.0", "0"]}

    def test_inputs_are_listed_with_their_fingerprint(self, ledger: Ledger, tmp_path: Path) -> None:
        source = plan(ledger, [*keys(1, 2), BAD_ID], name="a.csv", content="ab" * 32)
        ledger.confirm([source], "https://eu.api.example.com/v3.1")
        name, rows, sha256, status = next(
            [key, *cells] for key, cells in paper_of(ledger, tmp_path).table("sources").items()
        )
        assert (name, rows, sha256) == ("a.csv", "3", "ab" * 32)
        assert status.startswith("confirmed 20")

    def test_all_figures_are_of_one_moment_while_a_run_goes_on(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        confirmed(ledger, keys(*range(1, 21)))
        begin(ledger)
        calls = claim(ledger)
        asked = calls_over_time

        def meanwhile(reader: LedgerReader) -> tuple[dict[str, Calls], Timeline | None]:
            turn(ledger, *(answer(call) for call in calls))
            return asked(reader)

        monkeypatch.setattr(page, "calls_over_time", meanwhile)
        paper = paper_of(ledger, tmp_path)
        assert paper.table("targets") == {"1001/2001": ["20", "20"]}
        assert paper.table("rows")["sending"][0] == "20"
        assert "No call was made." in paper.root.text

    def test_only_customers_of_the_sources_in_force_are_counted(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        confirmed(ledger, keys(1, 2, 3))
        begin(ledger)
        for call in claim(ledger):
            turn(ledger, answer(call, State.FAILED, code="310011"))
        confirmed(ledger, keys(3, 4))
        paper = paper_of(ledger, tmp_path)
        assert paper.table("codes")["310011"][1] == "1"
        assert paper.table("rows")["failed"][0] == "1"

    def test_many_targets_and_codes_are_cut_with_what_is_left_out(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        confirmed(ledger, [key(customer, 1, customer) for customer in range(1, 301)])
        begin(ledger)
        for call in claim(ledger):
            turn(ledger, answer(call, State.FAILED, code=f"c{call.enrollment.customer}"))
        paper = paper_of(ledger, tmp_path)
        assert len(paper.table("targets")) == page.SHOWN_TARGETS
        assert "and 250 more targets, with 250 customers" in paper.root.text
        assert len(paper.table("codes")) == page.SHOWN_CODES
        assert "and 280 more codes" in paper.root.text


def paper_examples(paper: Paper) -> list[tuple[str, str, str, str]]:
    return [(code, cells[0], cells[1], cells[3]) for code, cells in paper.table("problems").items()]


class TestTop:
    """What somebody sees who opens the page and does not scroll."""

    def top(self, paper: Paper) -> str:
        (header,) = paper.all("header")
        return header.text

    def test_it_says_what_when_how_long_who_and_where(self, ledger: Ledger, tmp_path: Path) -> None:
        source = plan(ledger, keys(1, 2), name="drop/may.csv")
        ledger.confirm([source], "https://eu.api.example.com/v3.1")
        begin(ledger)
        turn(ledger, *(answer(call) for call in claim(ledger)))
        ledger.end_run(0, "all settled")
        with tool(tmp_path / "job") as connection:
            ((began_s, by),) = connection.execute("SELECT started_at, started_by FROM run")
        paper = self.paper_at_exit(tmp_path, 0)
        (title,) = paper.all("h1")
        assert title.text == "may.csv"
        top = self.top(paper)
        assert "Destination eu.api.example.com/v3.1" in top
        assert "All done" in top
        assert "2 of 2 customers/targets were taken out." in top
        assert f"Began (UTC) {time.strftime('%a %-d %b %Y, %H:%M', time.gmtime(began_s))}" in top
        assert re.search(r"Took \d", top)
        assert f"Started by {by or 'unknown'}" in top
        assert "REHEARSAL" not in top

    def paper_at_exit(self, tmp_path: Path, code: int, reason: str = "") -> Paper:
        summary = Summary("job", Exit(code, reason))
        return Paper(page_of(tmp_path / "job", tmp_path / "report.html", summary=summary))

    def test_a_rehearsal_is_said_first(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.confirm([plan(ledger, keys(1, 2))], "http://127.0.0.1:8080/v3.1")
        begin(ledger)
        turn(ledger, *(answer(call) for call in claim(ledger)))
        ledger.end_run(0, "all settled")
        top = self.top(self.paper_at_exit(tmp_path, 0))
        assert top.startswith("REHEARSAL")
        assert "No customer was taken out." in top
        assert "In a rehearsal, 2 of 2 " in top

    def test_a_plan_and_a_killed_run_are_no_end(self, ledger: Ledger, tmp_path: Path) -> None:
        confirmed(ledger, keys(1, 2))
        assert "Planned only: nothing was sent" in self.top(paper_of(ledger, tmp_path))
        begin(ledger)
        assert "Cut off: the last run was killed" in self.top(paper_of(ledger, tmp_path))

    def test_several_files_are_counted_and_a_long_name_is_shortened(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        long = f"{'customers ' * 30}of May.csv"
        sources = [
            plan(ledger, keys(number), name=name, content=f"{number}" * 64)
            for number, name in enumerate((long, "b.csv", "c.csv", "d.csv"), start=1)
        ]
        ledger.confirm(sources, "https://eu.api.example.com/v3.1")
        paper = paper_of(ledger, tmp_path)
        (title,) = paper.all("h1")
        assert len(title.text) < 120
        assert title.text.endswith("May.csv and 3 more files")
        assert long in paper.root.text

    def test_alarms_are_said_with_whether_they_were_allowed(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        confirmed(ledger, keys(1, 2))
        alarms = [
            Alarm("phones", "They are <b>phone</b> numbers.", True),
            Alarm("swapped", "Look."),
        ]
        summary = Summary("job", Exit(0, ""), alarms=alarms)
        top = self.top(Paper(page_of(tmp_path / "job", tmp_path / "r.html", summary=summary)))
        assert "Alarm phones, allowed They are <b>phone</b> numbers." in top
        assert "Alarm swapped, not allowed Look." in top

    def test_what_to_do_comes_before_all_details(self, paper: Paper, attacked: Paper) -> None:
        for one in (paper, attacked):
            assert [heading.text for heading in one.all("h2")][:2] == [
                "Every row is accounted for",
                "What to do next",
            ]


class TestPrivacy:
    def test_it_shows_no_customer_id(self, paper: Paper) -> None:
        assert not re.findall(rf"{str(FIRST_CUSTOMER)[:5]}\d{{4}}", paper.source)
        assert "customer … said no" in paper.root.text

    def test_a_page_with_ids_would_be_noticed(
        self, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "message_of", lambda found: found.message)
        leaking = Paper(page_of(busy, tmp_path / "report.html"))
        assert re.findall(rf"{str(FIRST_CUSTOMER)[:5]}\d{{4}}", leaking.source)

    def test_a_short_id_in_a_message_is_masked_too(self, ledger: Ledger, tmp_path: Path) -> None:
        confirmed(ledger, keys(4711))
        begin(ledger)
        (call,) = claim(ledger)
        turn(ledger, answer(call, State.REVIEW, code="4711"))
        assert "“about …”" in paper_of(ledger, tmp_path).root.text

    def test_it_is_private_on_disk(self, busy: Path, tmp_path: Path) -> None:
        with any_mask():
            made = page_of(busy, tmp_path / "report.html")
        assert stat.S_IMODE(made.stat().st_mode) == 0o600


class TestHostileText:
    def test_it_brings_no_element_of_its_own(self, attacked: Paper, paper: Paper) -> None:
        known = {element.name for element in paper.all()}
        assert {element.name for element in attacked.all()} <= known
        assert not {"script", "img", "iframe", "object", "form", "a", "link"} & known
        assert [heading.text for heading in attacked.all("h2")] == [
            heading.text for heading in paper.all("h2")
        ]

    def test_it_is_shown_unchanged(self, attacked: Paper) -> None:
        codes = attacked.table("codes")
        assert {text[:64] for text in HOSTILE if text.isprintable()} <= set(codes)
        assert "{{ 7 * 7 }}" in attacked.root.text

    def test_nothing_that_turns_text_around_or_ends_a_line_is_left(self, attacked: Paper) -> None:
        assert not set(attacked.source) & set("\u202e\u2066\x1b\x00\r")

    def test_a_page_without_escaping_would_be_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unsafe_page(monkeypatch)
        folder = hostile(tmp_path / "job.unenroll")
        path = page_of(folder, tmp_path / "report.html")
        assert "<script>" in path.read_text("utf-8")

    def test_only_a_plain_code_is_put_into_a_command(self, attacked: Paper) -> None:
        for code, cells in attacked.table("codes").items():
            by = f"--code {code}" if code.isalnum() else "--state failed"
            assert cells[-1].endswith(f" {by}")


class TestAlone:
    def test_it_needs_nothing_else_and_holds_no_script(self, paper: Paper) -> None:
        assert not paper.all("script", "link", "img", "iframe", "object")
        for element in paper.all():
            for name, value in element.attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href", "xlink:href", "action", "data"):
                    assert value is not None
                    assert value.startswith("#")
        assert "@import" not in paper.source
        assert not re.search(r"url\((?!#)", paper.source)

    def test_its_policy_lets_no_script_run_and_nothing_load(self, paper: Paper) -> None:
        policies = [
            element.attributes["content"]
            for element in paper.all("meta")
            if element.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]

    def test_it_stays_small(self, paper: Paper, attacked: Paper) -> None:
        assert len(paper.source.encode()) < MOST_BYTES
        assert len(attacked.source.encode()) < MOST_BYTES

    def test_a_short_run_has_its_figures_and_no_chart(self, attacked: Paper) -> None:
        assert not attacked.all("figure")
        assert "too short for a chart" in attacked.root.text
        assert attacked.table("line")

    def test_a_folder_in_which_nothing_was_read_has_a_page(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        paper = paper_of(ledger, tmp_path)
        assert "There was no customer/target to call." in paper.root.text
        assert not paper.all("svg")


class TestReaders:
    """What WCAG 2.2 asks and a parser can see; the browser's test asks axe-core for the rest."""

    def test_it_has_a_language_a_title_and_landmarks(self, paper: Paper) -> None:
        (html,) = paper.all("html")
        assert html.attributes["lang"] == "en"
        assert [title.text for title in paper.all("title")[:1]] != [""]
        for landmark in ("header", "main", "footer"):
            assert len(paper.all(landmark)) == 1

    def test_headings_go_down_one_by_one(self, paper: Paper) -> None:
        levels = [int(h.name[1]) for h in paper.all("h1", "h2", "h3", "h4", "h5", "h6")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))

    def test_every_table_has_a_caption_and_headers_with_a_scope(self, paper: Paper) -> None:
        tables = paper.all("table")
        assert len(tables) >= 8
        for table in tables:
            assert [caption.text for caption in table.all("caption")] != [""]
            headers = list(table.all("th"))
            assert headers
            assert all(head.attributes.get("scope") in ("col", "row") for head in headers)
            widths = {len(list(row.all("th", "td"))) for row in table.all("tr")}
            assert len(widths) == 1

    def test_charts_have_captions_and_their_figures_are_in_a_table(self, paper: Paper) -> None:
        charts = [svg for svg in paper.all("svg") if "aria-hidden" not in svg.attributes]
        assert [svg.attributes["role"] for svg in charts] == ["img", "img"]
        named = [svg.attributes["aria-labelledby"] for svg in charts]
        captions = [e.text for e in paper.all() if e.attributes.get("id") in named]
        assert [caption.split(" in ")[0] for caption in captions] == [
            "Calls a second",
            "Seconds to the answer",
        ]
        assert len(paper.table("line")) >= 2

    def test_no_element_id_is_repeated(self, paper: Paper) -> None:
        ids = [e.attributes["id"] for e in paper.all() if "id" in e.attributes]
        assert len(ids) == len(set(ids))

    def test_text_contrasts_with_its_background(self, paper: Paper) -> None:
        light, dark = (
            dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
            for block in re.findall(r":root \{(.*?)\}", paper.source, re.DOTALL)
        )
        assert set(light) == set(dark)
        for colours in (light, dark):
            for behind in ("paper", "shade"):
                for text in ("ink", "soft", "good", "bad", "warn", "wait"):
                    assert contrast(colours[text], colours[behind]) >= 4.5
            for tone in ("good", "bad", "warn", "wait"):
                for text in ("ink", tone):
                    assert contrast(colours[text], colours[f"{tone}-shade"]) >= 4.5

    def test_every_sign_has_a_word_beside_it(self, paper: Paper, attacked: Paper) -> None:
        for one in (paper, attacked):
            inside = [e for e in one.all() if any(_is_sign(child) for child in e.children)]
            assert inside
            assert all(element.text for element in inside)


def _is_sign(element: Element) -> bool:
    return "sign" in (element.attributes.get("class") or "").split()


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (_linear(part) for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


class TestWho:
    def test_a_run_keeps_who_started_it(self, busy: Path) -> None:
        with tool(busy) as connection:
            assert connection.execute("SELECT started_by FROM run").fetchall() == [("zoe@desk",)]

    def test_it_is_user_and_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "night-shift")
        user, _, host = who_works().partition("@")
        assert user == "night-shift"
        assert host

    def test_a_user_without_a_name_is_shown_by_number(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nobody() -> str:
            raise KeyError("getpwuid(): uid not found: 4711")

        monkeypatch.setattr("getpass.getuser", nobody)
        assert re.fullmatch(r"\d+@.+", who_works())
