"""The values that pass between the parts, and the legal changes of an enrollment's state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

XLSX_ENDINGS: Final = (".xlsx", ".xlsm")
MAX_ID: Final = 9_223_372_036_854_775_807
"""The largest id: the API's ids are int64, and so are SQLite's integers."""


class State(StrEnum):
    """The state of an enrollment."""

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
    """What a state means: for a table, and as a phrase that follows a number."""

    meaning: str
    phrase: str


STATES: Final[dict[State, StateMeaning]] = {
    State.PENDING: StateMeaning(
        "not called yet, or certainly not applied and waiting to be sent again", "wait"
    ),
    State.SENDING: StateMeaning("being called now", "are being called"),
    State.SUCCEEDED: StateMeaning(
        "the API's answer says that the customer was taken out", "were taken out"
    ),
    State.NOT_ENROLLED: StateMeaning(
        "the API has no such enrollment: nothing to do", "were not enrolled"
    ),
    State.FAILED: StateMeaning(
        "refused by the API, or not applied within the allowed attempts", "failed"
    ),
    State.BLOCKED: StateMeaning(
        "its target or group does not exist; no more rows of it are called", "are blocked"
    ),
    State.REVIEW: StateMeaning(
        "the answer is not documented: check it by hand; never sent again automatically",
        "must be checked by hand",
    ),
    State.IN_DOUBT: StateMeaning(
        "perhaps applied, but not answered: `resume` within 15 min, or decide by hand",
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
"""Every legal change of state. The ledger's trigger refuses any other; a test compares the two.

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


PROTECTED: Final = "protected"
"""The code of a row whose customer is on a never-list."""


class Known(NamedTuple):
    """What a folder knows of the calls for a target: how many are settled, and how."""

    settled: int
    succeeded: int
    not_enrolled: int


class Enrollment(NamedTuple):
    """A customer in a target. One call ends one enrollment, and the ledger counts enrollments."""

    customer: int
    target: Target


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why a row is invalid: a stable ``code`` to count by, and a message for a person."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about the inputs that looks wrong: its name, and what was seen.

    ``allowed``: a person said that it may pass.
    """

    name: str
    text: str
    allowed: bool = False

    def as_json(self) -> dict[str, object]:
        """The object in ``--json``."""
        return {"name": self.name, "text": self.text, "allowed": self.allowed}


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an input file.

    ``row`` counts from 1 in file order, without the header. ``cells`` are as in the file: text from
    CSV; int, str, Decimal or None from Parquet. ``flaw`` says why a record could not be split into
    cells, if it could not. ``line`` is the line of a text file in which it begins, or the row that
    a spreadsheet shows.
    """

    row: int
    cells: tuple[object, ...]
    flaw: Invalid | None = None
    line: int | None = None


def row_name(row: int, line: int | None, file: str) -> str:
    """What a person is told of a row: its number, and where an editor or Excel shows it.

    ``line`` as in ``Record``; ``file`` is the name of its input, whose ending counts.
    """
    if line is None:
        return f"row {row}"
    where = f"row {line} in Excel" if file.lower().endswith(XLSX_ENDINGS) else f"line {line}"
    return f"row {row} ({where})"


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed enrollment whose intent is durable: it may be sent, once.

    ``tries`` counts the attempts charged in this run so far. ``doubtful``: an earlier attempt may
    have been applied and was not answered.
    """

    id: int
    enrollment: Enrollment
    tries: int = 0
    doubtful: bool = False

    @property
    def waiting(self) -> State:
        """The state it was claimed from, and returns to until an answer settles it."""
        return State.IN_DOUBT if self.doubtful else State.PENDING

    def tells(self, state: State) -> bool:
        """Whether its end in ``state`` tells anything of the list that it is from.

        Not enrolled after an attempt without an answer does not: that may have been applied.
        """
        return not (self.doubtful and state is State.NOT_ENROLLED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened to one request, as in ``attempt_history``. Times are Unix seconds."""

    sent_at_s: float
    answered_at_s: float | None
    outcome: str
    code: str | None = None
    message: str | None = None
    http_status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What to record about a call.

    ``attempt`` is None if the request was not sent. ``not_before_s`` is when it may be sent again
    (Unix seconds; None: not in this run). ``charged``: the attempt counts for ``--max-attempts``.
    ``old``: nobody knows how long ago the attempt was sent, so it is not sent again by itself.
    ``code`` and ``message``: why a call that did not leave never will.
    """

    call: Call
    state: State
    attempt: Attempt | None = None
    not_before_s: float | None = None
    charged: bool = True
    mismatch: bool = False
    old: bool = False
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """A target, or with ``rule`` None a whole group, whose pending enrollments are blocked."""

    org: int | None
    group: int
    rule: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next with a call.

    ``wait_s`` is the time until it may be sent again, None for not in this run. ``left``: the
    request may have been sent, so it is recorded. ``charged``: it counts for ``--max-attempts``.
    """

    state: State
    outcome: str
    code: str | None = None
    message: str | None = None
    wait_s: float | None = None
    left: bool = True
    charged: bool = True
    mismatch: bool = False
