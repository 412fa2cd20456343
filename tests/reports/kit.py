"""Ledgers to make report pages of, and a page parsed as a browser would."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bulk_unenroll.errors import Next
from bulk_unenroll.exits import Exit
from bulk_unenroll.ledger.batch import Batch, staged_batch
from bulk_unenroll.ledger.opening import open_ledger, open_reader
from bulk_unenroll.model import Attempt, Call, Entry, Invalid, State
from bulk_unenroll.reports import rendering
from bulk_unenroll.reports.page import write_page
from bulk_unenroll.reports.summary import Summary
from tests.ledger.kit import BASE_URL, NOW_S, RECENT_S, batches, info, key, staged, turn

FIRST_CUSTOMER = 423_000_000
STEP = 20_000
FATES = (
    *[(State.SUCCEEDED, None)] * 94,
    *[(State.FAILED, "310011")] * 3,
    (State.NOT_ENROLLED, "310149"),
    (State.REVIEW, "987"),
    (State.IN_DOUBT, "timeout"),
)
HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "\"' onmouseover=alert(1) x='",
    "</table></main><h1>All is well</h1>",
    "]]><![CDATA[{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<svg/onload=alert(1)>&lt;&amp;&#60;",
    "\u202eevil\u2066 \x1b[31mred\x1b[0m\x00\r\n\t end",
    "'; rm -rf ~; echo '",
    "W" * 3000,
)


def many(folder: Path, number: int, seed: int) -> Path:
    """A ledger in which ``number`` rows were called at a thousand a second, by its own ways."""
    dice = random.Random(f"{seed}/many")
    with open_ledger(folder) as ledger:
        source = ledger.load(info("many.csv"), _batches(number))
        ledger.confirm([source], BASE_URL)
        ledger.begin_run(
            "run-1", "run", [source], now_s=NOW_S, resend_after_s=RECENT_S, started_by="zoe@desk"
        )
        entries: list[Entry] = []
        at_s = NOW_S
        while calls := turn(ledger, *entries, claim=STEP).calls:
            entries = [_ended(call, at_s + place / 1000, dice) for place, call in enumerate(calls)]
            at_s += len(calls) / 1000
        ledger.end_run(1, "some rows failed")
    return folder


def _batches(number: int) -> Iterator[Batch]:
    for first in range(0, number, STEP):
        places = range(first, min(first + STEP, number))
        rows = [key(FIRST_CUSTOMER + place, 1001, 2001 + place % 40) for place in places]
        yield staged_batch(staged(rows, first + 1))


def _ended(call: Call, at_s: float, dice: random.Random) -> Entry:
    state, code = dice.choice(FATES)
    message = f"customer {call.enrollment.customer} said no" if code else None
    if state is State.IN_DOUBT:
        return Entry(call, state, Attempt(at_s, None, "unanswered", code, message))
    answered_s = at_s + dice.lognormvariate(-1.5, 0.6)
    return Entry(call, state, Attempt(at_s, answered_s, state.value, code, message, 200, "r"))


def hostile(folder: Path) -> Path:
    """A ledger in which all text from others is an attack on whoever shows it."""
    rows = [key(FIRST_CUSTOMER + place) for place in range(len(HOSTILE))]
    bad = [Invalid(text[:64], text) for text in HOSTILE]
    with open_ledger(folder) as ledger:
        about = info(f"{HOSTILE[1]}{HOSTILE[7]}.csv")
        source = ledger.load(about, batches([*rows, *bad]))
        ledger.confirm([source], BASE_URL)
        ledger.begin_run(
            HOSTILE[0],
            HOSTILE[4],
            [source],
            now_s=NOW_S,
            resend_after_s=RECENT_S,
            started_by=HOSTILE[3],
        )
        calls = turn(ledger, claim=len(rows)).calls
        turn(ledger, *(_refused(call, text) for call, text in zip(calls, HOSTILE, strict=True)))
        ledger.end_run(69, f"{HOSTILE[0]} {HOSTILE[6]}")
    return folder


def _refused(call: Call, text: str) -> Entry:
    attempt = Attempt(NOW_S, NOW_S + 1, "failed", text[:64], text, 400, text)
    return Entry(call, State.FAILED, attempt)


def page_of(
    folder: Path, to: Path, *, name: str | None = None, summary: Summary | None = None
) -> Path:
    """The page of a ledger, as ``report`` writes it."""
    then = Next("resume", ("job.unenroll",))
    summary = summary or Summary(name or str(folder), Exit(69, HOSTILE[0]), then)
    with open_reader(folder) as reader:
        write_page(reader, to, summary)
    return to


def unsafe_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the page: text of the ledger is taken for HTML."""
    unsafe = rendering.environment_of.__wrapped__(rendering.OWN)
    unsafe.autoescape = False
    monkeypatch.setattr(rendering, "environment_of", lambda _: unsafe)


@dataclass
class Element:
    """An element of a page: its attributes, what it holds, and the text inside."""

    name: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def all(self, *names: str) -> Iterator[Element]:
        for child in self.children:
            if not names or child.name in names:
                yield child
            yield from child.all(*names)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Paper(HTMLParser):
    """A parsed page, as it is read out. Text counts for all elements around it."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == [self.root], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag, f"{tag} closes another element"

    def handle_data(self, data: str) -> None:
        if any(element.attributes.get("aria-hidden") == "true" for element in self._open):
            return
        for element in self._open:
            element.words.append(data)

    def all(self, *names: str) -> list[Element]:
        return list(self.root.all(*names))

    def table(self, id_: str) -> dict[str, list[str]]:
        """A table by its caption's id: the cells of each row under its first one."""
        for table in self.all("table"):
            if any(caption.attributes.get("id") == id_ for caption in table.all("caption")):
                rows = [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")]
                return {cells[0]: cells[1:] for cells in rows[1:]}
        raise AssertionError(f"no table {id_}")
