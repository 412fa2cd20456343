"""What tests of real run folders share: a job in few words, and what a kill leaves on disk."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bulk_unenroll.ledger.sqlite.ledger import Ledger, SourceInfo, StagedRow, Turn
from bulk_unenroll.model import Attempt, Blocked, Call, Enrollment, Entry, Invalid, State, Target

NOW_S = 1_700_000_000.0
BASE_URL = "https://eu.api.example.com/v3.1"
BAD_ID = Invalid("not_digits", 'customerId: "x" is not a valid id: use digits only')
RECENT_S = NOW_S - 900.0
NEVER_S = float("inf")
_contents = itertools.count(1)


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


def plan(
    ledger: Ledger,
    rows: Sequence[Enrollment | Invalid],
    name: str = "a.csv",
    content: str | None = None,
    chunk: int = 1000,
) -> int:
    """Read rows into the ledger as a planned source, or find the source again."""
    about = info(name, content)
    found = ledger.find_source(about)
    if found is not None:
        return found
    source = ledger.add_source(about)
    for start in range(0, len(rows), chunk):
        ledger.add_rows(source, staged(rows[start : start + chunk], start + 1))
    ledger.source_loaded(source, len(rows))
    return source


def confirm(ledger: Ledger, *sources: int) -> None:
    ledger.confirm(sources, BASE_URL)


def confirmed(ledger: Ledger, rows: Sequence[Enrollment | Invalid], name: str = "a.csv") -> int:
    source = plan(ledger, rows, name)
    confirm(ledger, source)
    return source


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
        sources or ledger.confirmed_sources(),
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
    again_s: float | None = None,
    charged: bool = True,
    mismatch: bool = False,
) -> Entry:
    """The entry of a call that was answered a second after it was sent at ``at_s``."""
    attempt = Attempt(
        at_s,
        at_s + 1,
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


def states(ledger: Ledger) -> dict[int, str]:
    """The state of every customer (tests that ask have one target)."""
    return dict(ledger.connection.execute("SELECT customer_id, state FROM item ORDER BY id"))


def state_counts(ledger: Ledger) -> dict[str, int]:
    return dict(ledger.connection.execute("SELECT state, count(*) FROM item GROUP BY state"))


def history(ledger: Ledger, customer: int) -> list[tuple[Any, ...]]:
    """``attempt_history`` of a customer: attempt, run, outcome, code."""
    return ledger.connection.execute(
        "SELECT attempt, run_id, outcome, code FROM attempt_history WHERE customer_id = ?"
        " ORDER BY attempt",
        (customer,),
    ).fetchall()


# ── accidents ────────────────────────────────────────────────────────────────────────────────────


def after_kill(folder: Path, name: str = "killed") -> Path:
    """A copy of ``folder`` as a kill at this moment would leave it: nothing was closed."""
    to = folder.with_name(f"{folder.name}-{name}-{next(_contents)}")
    shutil.copytree(folder, to)
    return to


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file grows beyond ``most_bytes``: the system refuses such writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write into ``folder``, not even a superuser, whose privilege is laid down."""
    folder.chmod(0o500)
    try:
        with _without_privilege():
            yield
    finally:
        folder.chmod(0o700)


@contextmanager
def any_mask() -> Iterator[None]:
    """A user whose umask would let everyone read and write new files."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _without_privilege() -> Iterator[None]:
    """Lay down what lets a superuser's thread override permissions (capabilities(7))."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    libc.capget(header, before)
    libc.capget(header, without)
    without[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, effective
    if libc.capset(header, without):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, before)
