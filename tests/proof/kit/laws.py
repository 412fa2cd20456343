"""What must hold after any crash, seen from two sides: the witness and the ledger's views."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.command import Witness

Key = tuple[int, int, int, int]
"""org (0 for SELF), group, target, customer."""
RESULTS = (
    "SELECT coalesce(org_id, 0), target_group_id, target_id, customer_id, status"
    " FROM results WHERE status NOT IN ('invalid', 'duplicate')"
)
HISTORY = (
    "SELECT coalesce(org_id, 0), target_group_id, target_id, customer_id, outcome"
    " FROM attempt_history"
)


@dataclass(frozen=True)
class Account:
    """What came out. ``twice`` counts customers/targets that the server saw more than once."""

    requests: int
    succeeded: int
    twice: int
    in_doubt: int
    left: int


def key_of(entry: dict[str, Any]) -> Key:
    return entry["org"] or 0, entry["group"], entry["target"], entry["customer"]


@dataclass(frozen=True)
class Views:
    """What a ledger says: states, lines of ``attempt_history``, and who has an unanswered one."""

    states: dict[Key, str]
    lines: Counter[Key]
    unanswered: set[Key]


def check_laws(folder: Path, witness: Witness, wanted: Collection[int]) -> Account:
    """Compare what the server saw of ``wanted`` customers with the ledger in ``folder``.

    ``wanted`` are the customers of the inputs; each must have been used in this folder alone.
    """
    return compare(_ledger(folder), witness, wanted)


def compare(views: Views, witness: Witness, wanted: Collection[int]) -> Account:
    """The same, with what a ledger of any kind says."""
    people = set(wanted)
    seen = Counter(key_of(e) for e in witness.seen() if e["customer"] in people)
    applied = {key_of(e) for e in witness.ask("book")}
    states, lines, unanswered = views.states, views.lines, views.unanswered
    unknown = {key for key, number in seen.items() if number > lines[key]}
    assert not unknown, f"{len(unknown)} were called without a line in the ledger: {unknown}"
    false = {key for key, state in states.items() if state == "succeeded"} - applied
    assert not false, f"{len(false)} succeeded that the server never took out: {false}"
    twice = {key for key, number in seen.items() if number > 1}
    listed = {key for key, number in lines.items() if number > 1 and key in unanswered}
    assert twice <= listed, f"called twice and not listed: {twice - listed}"
    gone = people - {customer for *_, customer in states}
    assert not states or not gone, f"{len(gone)} customers were lost: {gone}"
    counts = Counter(states.values())
    return Account(
        requests=sum(seen.values()),
        succeeded=counts["succeeded"],
        twice=len(twice),
        in_doubt=counts["in_doubt"] + counts["sending"],
        left=counts["pending"],
    )


def check_strangers(witness: Witness, wanted: Collection[int]) -> None:
    """Nobody was called who is not in an input."""
    strangers = {e["customer"] for e in witness.seen() if e["customer"] not in wanted}
    assert not strangers, f"called though in no input: {strangers}"


def _ledger(folder: Path) -> Views:
    path = folder / "ledger.sqlite"
    if not path.exists():
        return Views({}, Counter(), set())
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return views_of(
            connection.execute(RESULTS).fetchall(), connection.execute(HISTORY).fetchall()
        )


def views_of(rows: Iterable[Any], history: Iterable[Any]) -> Views:
    """What ``RESULTS`` and ``HISTORY`` gave."""
    history = list(history)
    lines = Counter((org, group, target, who) for org, group, target, who, _ in history)
    unanswered = {tuple(line[:4]) for line in history if line[4] == "unanswered"}
    states = {(org, group, target, who): state for org, group, target, who, state in rows}
    return Views(states, lines, unanswered)
