"""What tests of ledgers share: a job in few words, for whatever kind of ledger."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from bulk_unenroll.ledger.batch import Batch, StagedRow, staged_batch
from bulk_unenroll.ledger.facts import ResultRow, confirmed_ids
from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Reopening, Selection, Turn
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.model import Attempt, Blocked, Call, Enrollment, Entry, Invalid, State, Target

NOW_S = 1_700_000_000.0
NOW_TEXT = "2023-11-14T22:13:20.000Z"
BASE_URL = "https://eu.api.example.com/v3.1"
BAD_ID = Invalid("not_digits", 'customerId: "x" is not a valid id: use digits only')
RECENT_S = NOW_S - 900.0
NEVER_S = float("inf")
_contents = itertools.count(1)


class Place(Protocol):
    """Where a ledger of some kind is. The first opening makes it."""

    def open(self) -> Ledger:
        """Open it to work in it."""

    def reader(self) -> AbstractContextManager[LedgerReader]:
        """Open it to read."""

    def after_kill(self) -> Place:
        """What a kill at this moment leaves. Ledgers that are open are only to be closed then."""


def key(customer: int, group: int = 1001, target: int = 2001, org: int | None = None) -> Enrollment:
    return Enrollment(customer, Target(org, group, target))


def keys(*customers: int) -> list[Enrollment]:
    return [key(customer) for customer in customers]


def staged(rows: Iterable[Enrollment | Invalid], first: int = 1) -> list[StagedRow]:
    """Rows as the loader stages them, in three columns."""
    made = []
    for number, row in enumerate(rows, first):
        if isinstance(row, Enrollment):
            ids = (row.customer, row.target.group, row.target.rule)
            cells = json.dumps(list(map(str, ids)))
            made.append(StagedRow(number, row, None, None, cells))
        else:
            made.append(StagedRow(number, None, row.code, row.message, '["x", "1001", "2001"]'))
    return made


def info(name: str = "a.csv", content: str | None = None, reading: str = "{}") -> SourceInfo:
    """A source; a new content each time unless it is given."""
    sha256 = content or f"content {next(_contents)}"
    header = ("customerId", "targetGroupId", "targetId")
    return SourceInfo(f"/in/{name}", name, sha256, reading, header)


def batches(rows: Sequence[Enrollment | Invalid], chunk: int = 1000) -> Iterator[Batch]:
    """Rows as the loader hands them over."""
    for start in range(0, len(rows), chunk):
        yield staged_batch(staged(rows[start : start + chunk], start + 1))


def plan(
    ledger: Ledger,
    rows: Sequence[Enrollment | Invalid],
    name: str = "a.csv",
    content: str | None = None,
    chunk: int = 1000,
) -> int:
    """Read rows into the ledger as a planned source, or find the source again."""
    return ledger.load(info(name, content), batches(rows, chunk))


def confirm(ledger: Ledger, *sources: int) -> None:
    ledger.confirm(sources, BASE_URL)


def confirmed(ledger: Ledger, rows: Sequence[Enrollment | Invalid], name: str = "a.csv") -> int:
    source = plan(ledger, rows, name)
    confirm(ledger, source)
    return source


def confirmed_sources(ledger: Ledger) -> list[int]:
    return confirmed_ids(ledger.reader.sources())


def begin(
    ledger: Ledger,
    *sources: int,
    now_s: float = NOW_S,
    resend_after_s: float = RECENT_S,
    run_id: str | None = None,
) -> None:
    ledger.begin_run(
        run_id or f"run-{next(_contents)}",
        "run",
        sources or confirmed_sources(ledger),
        now_s=now_s,
        resend_after_s=resend_after_s,
    )


def turn(
    ledger: Ledger,
    *entries: Entry,
    claim: int = 0,
    now_s: float = NOW_S,
    resend_after_s: float = RECENT_S,
    blocked: Sequence[Blocked] = (),
    **more: Any,
) -> Turn:
    return ledger.turn(
        entries, blocked, claim=claim, now_s=now_s, resend_after_s=resend_after_s, **more
    )


def claim(ledger: Ledger, most: int = 1000, **more: Any) -> list[Call]:
    return turn(ledger, claim=most, **more).calls


def customers(calls: Iterable[Call]) -> list[int]:
    return [call.enrollment.customer for call in calls]


def answer(
    call: Call,
    state: State = State.SUCCEEDED,
    *,
    outcome: str | None = None,
    code: str | None = None,
    at_s: float = NOW_S,
    took_s: float = 1.0,
    again_s: float | None = None,
    charged: bool = True,
    mismatch: bool = False,
) -> Entry:
    """The entry of a call that was sent at ``at_s`` and answered ``took_s`` later."""
    attempt = Attempt(
        at_s,
        at_s + took_s,
        outcome or state.value,
        code,
        f"about {code}" if code else None,
        200,
        f"request-{call.enrollment.customer}",
    )
    return Entry(call, state, attempt, again_s, charged, mismatch)


def unanswered(call: Call, *, at_s: float = NOW_S, again_s: float | None = None) -> Entry:
    attempt = Attempt(at_s, None, "unanswered", "timeout", "no answer")
    return Entry(call, State.IN_DOUBT, attempt, again_s)


def unsent(call: Call, *, again_s: float = NOW_S) -> Entry:
    return Entry(call, State.IN_DOUBT if call.doubtful else State.PENDING, None, again_s)


def settle(ledger: Ledger, *customers_: int, state: State = State.SUCCEEDED, **more: Any) -> None:
    """Claim all that is left and settle these customers; the others are given back."""
    calls = claim(ledger)
    chosen = set(customers_) or {call.enrollment.customer for call in calls}
    entries = [
        answer(call, state, **more) if call.enrollment.customer in chosen else unsent(call)
        for call in calls
    ]
    turn(ledger, *entries)


def reopen(
    ledger: Ledger,
    *states: State,
    codes: Sequence[str] = (),
    targets: Sequence[str] = (),
    now_s: float = NOW_S,
) -> int:
    return ledger.reopen(Reopening(states, codes, targets), now_s=now_s)


def some_work(ledger: Ledger, dice: random.Random) -> dict[int, str]:
    """A few turns of a run; the customers that were claimed, and what a kill makes of them."""
    confirmed(ledger, keys(*range(1, 40)))
    begin(ledger)
    known: dict[int, str] = {}
    for _ in range(dice.randrange(1, 6)):
        calls = claim(ledger, dice.randrange(1, 6))
        known |= dict.fromkeys(customers(calls), "in_doubt")
        done = [call for call in calls if dice.random() < 0.5]
        turn(ledger, *map(answer, done))
        known |= dict.fromkeys(customers(done), "succeeded")
    return known


# ── what is on record ────────────────────────────────────────────────────────────────────────────


class Shown(NamedTuple):
    """A row as ``results`` shows it, in short."""

    row: int
    customer: int | None
    status: str
    message: str | None


def rows_of(ledger: Ledger, source: int) -> list[Shown]:
    return [
        Shown(row.row, row.customer_id, row.status, row.message)
        for page in ledger.reader.result_pages(Selection(sources=[source]))
        for row in page
    ]


def states(ledger: Ledger) -> dict[int, str]:
    """The state of every customer (tests that ask have one target)."""
    pages = ledger.reader.result_pages(Selection(states=list(State)))
    return {row.customer_id or 0: row.status for page in pages for row in page}


def state_counts(ledger: Ledger) -> dict[str, int]:
    return Counter(states(ledger).values())


def results(ledger: Ledger) -> list[ResultRow]:
    """All rows of ``results``."""
    return [row for page in ledger.reader.result_pages(Selection()) for row in page]


class Line(NamedTuple):
    """An attempt as ``attempt_history`` shows it, in short."""

    attempt: int
    run_id: str
    outcome: str
    code: str | None


def history(ledger: Ledger, customer: int) -> list[Line]:
    found = ledger.reader.attempts_of(customer)
    return sorted(Line(line.attempt, line.run_id, line.outcome, line.code) for line in found)
