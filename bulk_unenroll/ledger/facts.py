"""The types of a ledger's answers. Moments are Unix seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

from bulk_unenroll.model import Enrollment, State, Target, row_name

# ── sources and runs ─────────────────────────────────────────────────────────────────────────────


class WrittenFile(NamedTuple):
    """A file of results as this program wrote it last: its name in the folder, and its content."""

    name: str
    sha256: str


class Source(NamedTuple):
    """One input in one content that was read to its end. ``header``: the input's own columns."""

    id: int
    name: str
    path: str
    sha256: str
    row_count: int
    header: tuple[str, ...]
    confirmed_s: float | None
    superseded_s: float | None


def confirmed_ids(sources: Iterable[Source]) -> list[int]:
    """The sources that ``resume`` and ``retry`` may send."""
    return [
        source.id
        for source in sources
        if source.confirmed_s is not None and source.superseded_s is None
    ]


def ids_in_force(sources: Sequence[Source]) -> list[int]:
    """What a folder is about: its confirmed sources, or as long as there are none the planned."""
    planned = [source.id for source in sources if source.superseded_s is None]
    return confirmed_ids(sources) or planned


class Run(NamedTuple):
    """One run. ``started_by`` is ``user@host``; ``exit_code`` is None until it ended."""

    run_id: str
    command: str
    started_by: str | None
    started_s: float
    ended_s: float | None
    exit_code: int | None
    reason: str | None


class Arriving(NamedTuple):
    """How much of an order is in that processes load now: of its parts, and how many rows."""

    parts: int
    loaded: int
    rows: int

    def __str__(self) -> str:
        return f"loading: {self.loaded:,} of {self.parts:,} parts are in, {self.rows:,} rows"


class SenderFact(NamedTuple):
    """A process that sends for a shared run now. ``name`` is ``user@host``.

    ``settled`` counts the calls that it settled, ``seen_s`` when it took its last turn, which is
    ``silent_s`` seconds ago.
    """

    name: str
    joined_s: float
    seen_s: float
    settled: int
    silent_s: float

    @property
    def settled_a_minute(self) -> float:
        """How many calls it settled a minute, since it joined."""
        return self.settled / max(self.seen_s - self.joined_s, 1.0) * 60

    def as_json(self) -> dict[str, object]:
        """The object of ``status --json``."""
        return {
            "name": self.name,
            "joined_at": self.joined_s,
            "seen_at": self.seen_s,
            "settled": self.settled,
            "settled_a_minute": round(self.settled_a_minute, 1),
            "silent_s": round(self.silent_s, 1),
        }


# ── rows and customers ───────────────────────────────────────────────────────────────────────────


class RowCounts(NamedTuple):
    """How many rows were read from some sources, and how many of them are invalid."""

    read: int
    invalid: int


class StateCount(NamedTuple):
    """How many customers of a target have a state and a code. ``customer`` is one of them.

    Of those pending it is None.
    """

    target: Target
    state: State
    code: str | None
    number: int
    customer: int | None
    attempts: int
    mismatches: int


class InvalidCount(NamedTuple):
    """One reason why rows are invalid: how many, the first of them, and its message.

    ``source`` is the name of the first one's input, ``line`` as in ``Record``.
    """

    code: str
    number: int
    first_row: int
    example: str
    source: str = ""
    line: int | None = None

    @property
    def row_name(self) -> str:
        """What a person is told of the first row."""
        return row_name(self.first_row, self.line, self.source)


@dataclass(frozen=True, slots=True)
class IdFacts:
    """How the customer ids of some rows look; ``noticed`` has it under ``ids``.

    ``digits[n]`` counts the ids of n digits. ``thousands``: they end in 000. ``cut``: over 15
    digits, with zeros after the 15th. ``steps``: each is the one before plus or minus
    1; ``changes``: it is another one than that before. ``dates``: 8 digits
    that are a day. ``mobile``: they begin as mobile numbers do. ``customers`` is how many there
    are, and ``width`` how wide the range is from which those of 10 to 12 digits seem to be taken;
    both are estimates.
    ``shortest_row`` is the first row with the least digits; 0 where several inputs are together.
    """

    rows: int = 0
    digits: Sequence[int] = (0,) * 20
    thousands: int = 0
    cut: int = 0
    steps: int = 0
    dates: int = 0
    mobile: int = 0
    customers: int = 0
    width: int = 0
    shortest_row: int = 0
    changes: int = 0

    def __add__(self, other: IdFacts) -> IdFacts:
        """The facts of both sets of rows together."""
        return IdFacts(
            self.rows + other.rows,
            tuple(a + b for a, b in zip(self.digits, other.digits, strict=True)),
            self.thousands + other.thousands,
            self.cut + other.cut,
            self.steps + other.steps,
            self.dates + other.dates,
            self.mobile + other.mobile,
            self.customers + other.customers,
            max(self.width, other.width),
            changes=self.changes + other.changes,
        )


class Comparison(NamedTuple):
    """Of some sources: how many customers/targets were confirmed before, and how many are gone."""

    known: int
    gone: int


class ExampleRow(NamedTuple):
    """A row of a customer/target, and its message. ``line`` as in ``Record``."""

    source: str
    row: int
    message: str | None
    line: int | None = None

    @property
    def row_name(self) -> str:
        """What a person is told of the row."""
        return row_name(self.row, self.line, self.source)


class ResultRow(NamedTuple):
    """An input row and what became of it: as in the view ``results``, then the row as it was."""

    source: str
    row: int
    org_id: int | None
    target_group_id: int | None
    target_id: int | None
    customer_id: int | None
    status: str
    code: str | None
    message: str | None
    http_status: int | None
    attempts: int
    updated_at: str | None
    request_id: str | None
    cells: Sequence[Any]
    source_id: int


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Rows of one source that follow each other, by columns: each under its name in ``ResultRow``.

    A row is made only where it is wanted: ten thousand named rows at a time would keep the garbage
    collector busy, for a fifth of the time of an export.
    """

    source_id: int
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.columns["row"])

    def __iter__(self) -> Iterator[ResultRow]:
        return map(ResultRow._make, zip(*self.columns.values(), strict=True))

    def where(self, keep: Iterable[bool]) -> ResultPage:
        """The rows for which ``keep``, in their order, is true."""
        kept = list(keep)
        columns = {name: list(compress(values, kept)) for name, values in self.columns.items()}
        return ResultPage(self.source_id, columns)


class CustomerRow(NamedTuple):
    """A row of one customer, in a source that is ``planned``, ``confirmed`` or ``superseded``.

    ``line`` as in ``Record``.
    """

    source: str
    sha256: str
    row: int
    target: Target
    status: str
    code: str | None
    message: str | None
    source_status: str
    line: int | None = None

    @property
    def row_name(self) -> str:
        """What a person is told of the row."""
        return row_name(self.row, self.line, self.source)


class CustomerAttempt(NamedTuple):
    """An attempt of one customer, as in the view ``attempt_history``; times as text, in UTC."""

    target: Target
    attempt: int
    run_id: str
    sent_at: str
    answered_at: str | None
    outcome: str
    code: str | None
    http_status: int | None
    request_id: str | None


class AttemptRow(NamedTuple):
    """An attempt, as in the view ``attempt_history``; times as text, in UTC."""

    org_id: int | None
    target_group_id: int
    target_id: int
    customer_id: int
    attempt: int
    run_id: str
    sent_at: str
    answered_at: str | None
    outcome: str
    code: str | None
    http_status: int | None
    request_id: str | None


# ── calls ────────────────────────────────────────────────────────────────────────────────────────


class RunCalls(NamedTuple):
    """The calls of a run that made any: how many, and when the first and the last started."""

    run_id: str
    number: int
    first_s: float
    last_s: float


class AttemptBin(NamedTuple):
    """How many attempts of a run were alike.

    ``slot`` is their stretch of time, for the run that was asked for. ``kind``: ``done``,
    ``refused`` or ``unanswered``. ``bin_ms`` is the lower bound of their latencies, None without
    an answer: bins are 2 ms wide below 0.1 s, 20 ms below 1 s, 0.2 s below 10 s, and 2 s beyond.
    """

    run_id: str
    slot: int | None
    kind: str
    bin_ms: int | None
    number: int


class AttemptCount(NamedTuple):
    """How many customers/targets have this number of attempts on record."""

    attempts: int
    number: int


class SentAgain(NamedTuple):
    """Calls that followed an attempt with this outcome and code, in the same run and in later ones.

    The waits are those of the same run, in seconds.
    """

    outcome: str
    code: str | None
    same_run: int
    later_run: int
    mean_wait_s: float | None
    longest_wait_s: float | None


class Waiting(NamedTuple):
    """How many customers/targets wait to be called again, and when the first is due."""

    number: int
    until_s: float | None


class SlowCall(NamedTuple):
    """A call, and how many seconds its answer took."""

    enrollment: Enrollment
    took_s: float
    sent_s: float
    outcome: str
    code: str | None
    http_status: int | None
