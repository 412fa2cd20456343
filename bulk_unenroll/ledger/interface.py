"""What every kind of ledger does: ``Ledger`` changes the record, ``LedgerReader`` asks it.

A method is one question or one step. It returns values, never a cursor, and leaves no transaction
open. It does not expect that another method ran in the same process, but for the turns of a run,
which follow its ``begin_run``. Every method raises ``LedgerFailed`` (74) where the ledger is
damaged or fails; nothing may be sent after that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from bulk_unenroll.ledger.facts import (
    Arriving,
    AttemptBin,
    AttemptCount,
    AttemptRow,
    Comparison,
    CustomerAttempt,
    CustomerRow,
    ExampleRow,
    InvalidCount,
    ResultPage,
    RowCounts,
    Run,
    RunCalls,
    SenderFact,
    SentAgain,
    SlowCall,
    Source,
    StateCount,
    Waiting,
    WrittenFile,
)
from bulk_unenroll.ledger.loading import Into, SharedLoading
from bulk_unenroll.ledger.sharing import Beat, Others, SharedRun
from bulk_unenroll.model import Alarm, Blocked, Call, Enrollment, Entry, State


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows to write; None means all.

    ``states`` may name ``invalid`` and ``duplicate``; ``targets`` are ``group/target``.
    """

    sources: Sequence[int] | None = None
    states: Sequence[str] | None = None
    codes: Sequence[str] | None = None
    targets: Sequence[str] | None = None

    def of(self, sources: Iterable[Source]) -> list[Source]:
        """Those of ``sources`` from which rows are written."""
        chosen = None if self.sources is None else frozenset(self.sources)
        return [source for source in sources if chosen is None or source.id in chosen]


@dataclass(frozen=True, slots=True)
class Reopening:
    """Which settled calls to reopen; ``targets`` are ``group/target``.

    Empty ``codes`` or ``targets`` mean any.
    """

    states: Sequence[State]
    codes: Sequence[str] = ()
    targets: Sequence[str] = ()


class Trust(StrEnum):
    """What is required of a shared ledger that is opened to work: is it up to date?

    ``USUAL``: it must have every turn that this folder saw; if its last run did not end, a sender
    must have been seen lately. ``ATTENDED``: a person goes on with it, so the latter is not needed.
    ``RESTORED``: a person goes on although it is an older copy. ``LOOK``: nothing is sent.
    """

    USUAL = "usual"
    ATTENDED = "attended"
    RESTORED = "restored"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Turn:
    """The result of a turn.

    ``calls`` to send; when the next one is due (Unix seconds); whether there are more than these;
    how many were ``blocked`` unsent. Of a shared run also: ``starts_in_s``, when calls may start,
    in seconds after ``granted_s`` (``time.monotonic``); ``stop``, the exit code and reason with
    which all must stop; what ``others`` have settled.
    """

    calls: list[Call]
    next_due_s: float | None
    more: bool
    blocked: int
    starts_in_s: Sequence[float] = ()
    granted_s: float = field(default=0.0, compare=False)
    stop: tuple[int, str] | None = None
    others: Others = field(default_factory=Others)


class LedgerReader(Protocol):
    """Asks the record. ``sources`` are ids; with an empty list the answer is about no rows."""

    def at_one_moment(self) -> AbstractContextManager[LedgerReader]:
        """A reader of a snapshot: all its answers are of one moment, also while a run goes on.

        It has a connection of its own, and blocks nobody.
        """

    def base_url(self) -> str | None:
        """The base URL that the sources were confirmed for."""

    def settings(self) -> Mapping[str, Any]:
        """The settings of the last run, as it noted them; nothing for those of older versions."""

    def has_judged(self) -> bool:
        """Whether a call was answered with more than a halt or a refusal of the credentials.

        One that was not answered counts, too: it may have been applied.
        """

    def pace(self) -> str | None:
        """How an adaptive pace went, as the last run noted it."""

    def sources(self) -> list[Source]:
        """Every source that was read to its end, the oldest first."""

    def noticed(self, sources: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """What was noticed while each of ``sources`` was read; nothing for those of version 3."""

    def line(self, source: int, row: int) -> int | None:
        """The line of a text file in which a row begins, counted from 1; None where not known."""

    def note(self, name: str) -> str | None:
        """What was noted under ``name``, such as ``history`` or ``asked_targets``."""

    def plans(self) -> dict[str, dict[str, Any]]:
        """What the last plans were made of, by their ids, the oldest first."""

    def failed_file(self) -> WrittenFile | None:
        """The file of failed rows that was written last, if it was noted."""

    def alarms(self) -> list[Alarm]:
        """The alarms of the last plan or run."""

    def runs(self) -> list[Run]:
        """Every run, the oldest first."""

    def senders(self) -> list[SenderFact] | None:
        """Who sends for a shared run now; None where a ledger is not shared."""

    def arriving(self) -> Arriving | None:
        """How much is in of an order whose parts are being loaded now; None where none is."""

    def recent_starts(self, since_s: float) -> list[float]:
        """When calls of earlier runs were sent after ``since_s``, newest first (Unix seconds)."""

    # how rows and customers are accounted for; ``counts`` adds them up

    def row_counts(self, sources: Sequence[int]) -> RowCounts:
        """How many rows were read, and how many are invalid."""

    def counts_by_target(self, sources: Sequence[int]) -> list[StateCount]:
        """The customers/targets, each once, by target, state and code; in order of targets."""

    def withdrawn_count(self) -> int:
        """How many customers/targets are withdrawn, in whatever source."""

    def doubts_left(self) -> int:
        """How many customers/targets are in doubt, in whatever source."""

    def callable_doubts(self, sources: Sequence[int], resend_after_s: float) -> int:
        """How many in doubt a run would call: unanswered since then, or reopened by a person."""

    def has_other_orgs(self) -> bool:
        """Whether a customer of a connected org is left to call."""

    # what a plan shows beside

    def invalid_counts(self, sources: Sequence[int]) -> list[InvalidCount]:
        """Why rows are invalid, the most frequent reason first."""

    def readings(self, sources: Sequence[int]) -> list[str]:
        """How the sources were read, each way once."""

    def compare(self, sources: Sequence[int], given: Collection[str] = ()) -> Comparison:
        """How many were confirmed before in other sources, and how many would be withdrawn.

        ``given``: the folders and globs that the sources are parts of now.
        """

    def swapped_before(self, sources: Sequence[int]) -> bool:
        """Whether customers were taken out of a target whose two ids are these, swapped."""

    # rows

    def result_pages(self, selection: Selection) -> Iterator[ResultPage]:
        """The selected rows in the order of sources and rows, some ten thousand at a time.

        Each page is asked for when it is wanted; the ledger may be used in between.
        """

    def attempt_pages(self, selection: Selection) -> Iterator[list[AttemptRow]]:
        """The attempts of the selected customers/targets, as recorded, some thousand at a time.

        Those that may be on their way come last. They are asked for as ``result_pages`` are.
        """

    def example(self, enrollment: Enrollment, sources: Sequence[int]) -> ExampleRow | None:
        """The first row of a customer/target in these sources."""

    def rows_of(self, customer: int) -> list[CustomerRow]:
        """Every row of a customer."""

    def attempts_of(self, customer: int) -> list[CustomerAttempt]:
        """Every attempt of a customer, in the order in which they were sent."""

    # calls

    def run_calls(self) -> list[RunCalls]:
        """The runs that made calls."""

    def attempt_bins(self, run_id: str, begin_s: float, width_s: float) -> list[AttemptBin]:
        """A histogram of all attempts; those of ``run_id`` also by slots of ``width_s``."""

    def attempt_counts(self) -> list[AttemptCount]:
        """How many customers/targets were called once, twice, and so on."""

    def sent_again(self, most: int) -> list[SentAgain]:
        """After which outcomes calls were sent again, the most frequent first."""

    def waiting(self) -> Waiting:
        """Who waits to be called again."""

    def slowest(self, most: int) -> list[SlowCall]:
        """The calls whose answers took longest."""

    # proof: an empty list means that all is well

    def conservation_faults(self) -> list[str]:
        """What does not add up in the ledger as a whole."""

    def integrity_faults(self) -> list[str]:
        """What is damaged, does not follow from the attempts, or does not add up."""


class Ledger(Into, Protocol):
    """Changes the record. Used by one thread at a time; a step is durable once it returns."""

    @property
    def reader(self) -> LedgerReader:
        """Asks the same record; it sees each change at once."""

    @property
    def shared(self) -> SharedRun | None:
        """What senders on several machines share; None: this process alone sends."""

    @property
    def loading(self) -> SharedLoading | None:
        """How several processes load one order; None: this process alone loads."""

    def confirm(
        self,
        sources: Sequence[int],
        base_url: str,
        given: Collection[str] = (),
        *,
        settings: Mapping[str, object] | None = None,
        anew: bool = False,
    ) -> None:
        """Confirm ``sources`` for ``base_url``; what they replace is superseded.

        That is: other contents of their paths, and earlier parts of the folders and globs that are
        ``given`` now. ``settings`` are remembered with it: values that JSON has. ``anew``: others
        of the folder's sources were confirmed for a wrong API, and are only planned from now on.
        """

    def remember(self, settings: Mapping[str, object]) -> None:
        """Remember the settings with which a confirmed folder goes on: values that JSON has."""

    def note_failed_file(self, written: WrittenFile) -> None:
        """Note which file of failed rows was written."""

    def note(self, name: str, text: str) -> None:
        """Note ``text`` under ``name``; see ``LedgerReader.note``."""

    def note_plan(self, plan_id: str, parts: Mapping[str, object]) -> None:
        """Note what a plan was made of: values that JSON has. The last few are kept."""

    def note_alarms(self, alarms: Sequence[Alarm], *, now_s: float, noted_by: str | None) -> None:
        """Note which alarms a plan or run raised, if any; ``user@host`` looked at it."""

    def reopen(
        self, which: Reopening, *, now_s: float, check: Callable[[], object] = lambda: None
    ) -> int:
        """Reopen settled calls; return how many.

        ``check`` is called once they are open. What it raises is raised, and nothing is reopened.
        """

    def begin_run(
        self,
        run_id: str,
        command: str,
        sources: Sequence[int],
        *,
        now_s: float,
        resend_after_s: float,
        started_by: str | None = None,
        joinable: bool = True,
    ) -> None:
        """Begin a run over ``sources``, started by ``user@host``.

        Calls in doubt are scheduled again if their unanswered attempt was sent after
        ``resend_after_s`` (Unix seconds; infinity: none) and before now, or if a person reopened
        them. What a clock that was ahead put off for long is due at once. ``joinable``: other
        processes may send for it, where the ledger is shared.
        """

    def turn(
        self,
        entries: Sequence[Entry],
        blocked: Sequence[Blocked] = (),
        *,
        claim: int,
        now_s: float,
        resend_after_s: float,
        halted_orgs: Iterable[int] = (),
        only: Collection[int] | None = None,
        spread: bool = False,
        pace: str | None = None,
        clocks_parted: bool = False,
        beat: Beat | None = None,
    ) -> Turn:
        """Record ``entries``, block what is blocked, claim up to ``claim`` calls: one commit.

        When this returns, the intent of every claimed call is durable. ``only`` claims again from
        among these calls alone; ``spread`` takes the calls from as many targets as there are.
        ``pace`` is how an adaptive pace goes, for ``status``. ``clocks_parted``: nobody knows how
        long ago calls were sent, so what is in doubt is sent again only if a person says so.
        ``beat`` is for the others of a shared run. Raises ``Fenced`` (75) where they gave this
        sender up: then nothing is recorded or claimed.
        """

    def end_run(self, exit_code: int, reason: str, *, for_all: bool = True) -> None:
        """Note that the run ended, and how. A shared run ends with its last sender.

        Unless it is ``for_all``: then this sender alone ends, and the run waits for the next one,
        if it was not stopped for all.
        """

    def close(self) -> None:
        """Close it. One that failed is left as it is: the next opening finds what it holds."""
