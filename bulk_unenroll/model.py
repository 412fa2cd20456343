"""The values that pass between stages, and the legal transitions of a customer/target."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

MAX_ID: Final = 9_223_372_036_854_775_807
"""The largest id: the API's ids are int64, and so are SQLite's integers."""


class State(StrEnum):
    """Where a customer/target stands."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCEEDED = "succeeded"
    NOT_ENROLLED = "not_enrolled"
    FAILED = "failed"
    BLOCKED = "blocked"
    REVIEW = "review"
    IN_DOUBT = "in_doubt"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StateMeaning:
    """What a state means, for a table of states, and after a number in a sentence."""

    meaning: str
    phrase: str


STATES: Final[dict[State, StateMeaning]] = {
    State.PENDING: StateMeaning(
        "not called yet, or certainly not applied and waiting to be sent again", "wait"
    ),
    State.SENDING: StateMeaning("being called now", "are being called"),
    State.SUCCEEDED: StateMeaning("the API's answer was read and says so", "were taken out"),
    State.NOT_ENROLLED: StateMeaning(
        "the API has no record of it: nothing to do", "had no record to take out"
    ),
    State.FAILED: StateMeaning(
        "refused for a reason of its own, or refused until attempts ran out", "failed"
    ),
    State.BLOCKED: StateMeaning(
        "its target or group does not exist; the rest of that target is not called", "are blocked"
    ),
    State.REVIEW: StateMeaning(
        "an answer that no document explains: never sent again by itself", "need a look by hand"
    ),
    State.IN_DOUBT: StateMeaning(
        "may have been applied, but no answer came: a person decides, or `resume` within 15 min",
        "are in doubt",
    ),
    State.WITHDRAWN: StateMeaning("never called, and no longer in the file", "were withdrawn"),
}

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.SENDING, State.BLOCKED, State.WITHDRAWN}),
    State.SENDING: frozenset(
        {
            State.PENDING,
            State.SUCCEEDED,
            State.NOT_ENROLLED,
            State.FAILED,
            State.BLOCKED,
            State.REVIEW,
            State.IN_DOUBT,
        }
    ),
    State.IN_DOUBT: frozenset({State.SENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.BLOCKED: frozenset({State.PENDING}),
    State.REVIEW: frozenset({State.PENDING, State.IN_DOUBT}),
    State.WITHDRAWN: frozenset({State.PENDING}),
    State.SUCCEEDED: frozenset(),
    State.NOT_ENROLLED: frozenset(),
}
"""Every change of state there is. The ledger's trigger refuses any other; a test compares the two.

``in_doubt`` never goes back to ``pending``: a call that may have been applied stays visible as such
until an answer is read.
"""

GOOD: Final = frozenset({State.SUCCEEDED, State.NOT_ENROLLED})
BAD: Final = frozenset({State.FAILED, State.BLOCKED, State.REVIEW})
TROUBLED: Final = BAD | {State.IN_DOUBT}
REOPENABLE: Final = TROUBLED


class Target(NamedTuple):
    """What a customer is enrolled in: a rule of a target group. ``org`` is None for SELF."""

    org: int | None
    group: int
    rule: int

    def __str__(self) -> str:
        return f"{self.group}/{self.rule}"


class Enrollment(NamedTuple):
    """A customer in a target: the unit of all accounting, and what one call ends."""

    customer: int
    target: Target


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why a row cannot be called: a stable ``code`` to count by, and a sentence for a person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an input file.

    ``row`` counts from 1 in file order without the header. ``cells`` are as they stand in the file:
    text from CSV; int, str, Decimal or None from Parquet. ``flaw`` is set where the record could
    not even be split into cells.
    """

    row: int
    cells: tuple[object, ...]
    flaw: Invalid | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed customer/target whose intent is durable: it may be sent, once.

    ``tries`` are the attempts already charged in this run; ``doubtful`` says that an earlier
    attempt may have been applied and was never answered.
    """

    id: int
    enrollment: Enrollment
    tries: int = 0
    doubtful: bool = False

    @property
    def waiting(self) -> State:
        """The state it was claimed from, and goes back to as long as nothing settles it."""
        return State.IN_DOUBT if self.doubtful else State.PENDING


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened to one request, as it stands in ``attempt_history``. Times are Unix seconds."""

    sent_at_s: float
    answered_at_s: float | None
    outcome: str
    code: str | None = None
    message: str | None = None
    http_status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger shall record of a call.

    ``attempt`` is None if it never left. ``not_before_s`` schedules it again (Unix seconds; None:
    not in this run). ``charged``: the attempt counts against ``--max-attempts``.
    """

    call: Call
    state: State
    attempt: Attempt | None = None
    not_before_s: float | None = None
    charged: bool = True
    mismatch: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """Every pending enrollment in a target, or with ``rule`` None in a group."""

    org: int | None
    group: int
    rule: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a call.

    ``wait_s`` until it may be sent again, None if this run is done with it. ``left``: the request
    may have left this machine, so it goes on record. ``charged``: it counts as one of the attempts.
    """

    state: State
    outcome: str
    code: str | None = None
    message: str | None = None
    wait_s: float | None = None
    left: bool = True
    charged: bool = True
    mismatch: bool = False
