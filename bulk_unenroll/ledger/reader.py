"""Questions to a ledger, none of which changes it, by statements that every kind has.

Statements of one name take the same values and give the same columns, whatever the kind.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from bulk_unenroll.ledger.facts import (
    AttemptBin,
    AttemptCount,
    Comparison,
    CustomerAttempt,
    CustomerRow,
    ExampleRow,
    InvalidCount,
    ResultPage,
    RowCounts,
    Run,
    RunCalls,
    SentAgain,
    SlowCall,
    Source,
    StateCount,
    Waiting,
    WrittenFile,
)
from bulk_unenroll.ledger.interface import Selection
from bulk_unenroll.ledger.notes import FAILED_FILE, PLANS, SETTINGS
from bulk_unenroll.ledger.results import result_pages
from bulk_unenroll.ledger.statements import StatementConnection
from bulk_unenroll.model import Alarm, Enrollment, State, Target
from bulk_unenroll.settings import RESEND_WINDOW_S

PAGE_ROWS: Final = 10_000
"""So many attempts are fetched at a time."""
ConnectionT = TypeVar("ConnectionT", bound=StatementConnection)


class StatementReader(Generic[ConnectionT]):
    """See ``LedgerReader``: all but what each kind of ledger answers in a way of its own."""

    def __init__(self, connection: ConnectionT) -> None:
        self._connection = connection

    # ── sources and runs ─────────────────────────────────────────────────────────────────────────

    def base_url(self) -> str | None:
        """See ``LedgerReader.base_url``."""
        return self._connection.meta("base_url")

    def settings(self) -> Mapping[str, Any]:
        """See ``LedgerReader.settings``."""
        settings: dict[str, Any] = json.loads(self._connection.meta(SETTINGS) or "{}")
        return settings

    def has_judged(self) -> bool:
        """See ``LedgerReader.has_judged``."""
        return bool(self._connection.fetch_one("has_judged")[0])

    def pace(self) -> str | None:
        """See ``LedgerReader.pace``."""
        return self._connection.meta("pace") or None

    def sources(self) -> list[Source]:
        """See ``LedgerReader.sources``."""
        return [
            Source._make((*row[:5], self._header(row[5]), *row[6:]))
            for row in self._connection.fetch_all("sources")
        ]

    def noticed(self, sources: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """See ``LedgerReader.noticed``."""
        found = self._connection.fetch_all("facts_noticed", sources=list(sources))
        facts = {source: json.loads(text) for source, text in found}
        return {source: facts.get(source, {}) for source in sources}

    def line(self, source: int, row: int) -> int | None:
        """See ``LedgerReader.line``."""
        (line,) = self._connection.fetch_one("line_of_row", source=source, row=row)
        return None if line is None else int(line)

    def note(self, name: str) -> str | None:
        """See ``LedgerReader.note``."""
        return self._connection.meta(name)

    def plans(self) -> dict[str, dict[str, Any]]:
        """See ``LedgerReader.plans``."""
        noted = self._connection.meta(PLANS)
        plans: dict[str, dict[str, Any]] = json.loads(noted) if noted else {}
        return plans

    def failed_file(self) -> WrittenFile | None:
        """See ``LedgerReader.failed_file``."""
        noted = self._connection.meta(FAILED_FILE)
        return WrittenFile(*json.loads(noted)) if noted else None

    def alarms(self) -> list[Alarm]:
        """See ``LedgerReader.alarms``."""
        found = self._connection.fetch_all("last_alarms")
        return [Alarm(**alarm) for alarm in json.loads(found[0][0])] if found else []

    def runs(self) -> list[Run]:
        """See ``LedgerReader.runs``."""
        return [Run(*row) for row in self._connection.fetch_all("runs")]

    # ── the accounting ───────────────────────────────────────────────────────────────────────────

    def row_counts(self, sources: Sequence[int]) -> RowCounts:
        """See ``LedgerReader.row_counts``."""
        return RowCounts(*self._connection.fetch_one("row_counts", sources=list(sources)))

    def counts_by_target(self, sources: Sequence[int]) -> list[StateCount]:
        """See ``LedgerReader.counts_by_target``."""
        found = self._connection.fetch_all("counts_by_target", sources=list(sources))
        return [StateCount(Target(*row[:3]), self._state(row[3]), *row[4:]) for row in found]

    def withdrawn_count(self) -> int:
        """See ``LedgerReader.withdrawn_count``."""
        return int(self._connection.fetch_one("withdrawn_count")[0])

    def doubts_left(self) -> int:
        """See ``LedgerReader.doubts_left``."""
        return int(self._connection.fetch_one("doubts_left")[0])

    def callable_doubts(self, sources: Sequence[int], resend_after_s: float) -> int:
        """See ``LedgerReader.callable_doubts``."""
        (doubts,) = self._connection.fetch_one(
            "callable_doubts",
            sources=list(sources),
            resend=resend_after_s != float("inf"),
            cutoff=resend_after_s,
            now=resend_after_s + RESEND_WINDOW_S,
        )
        return int(doubts)

    def has_other_orgs(self) -> bool:
        """See ``LedgerReader.has_other_orgs``."""
        return bool(self._connection.fetch_one("has_other_orgs")[0])

    # ── a plan ───────────────────────────────────────────────────────────────────────────────────

    def invalid_counts(self, sources: Sequence[int]) -> list[InvalidCount]:
        """See ``LedgerReader.invalid_counts``."""
        found = self._connection.fetch_all("invalid_counts", sources=list(sources))
        return [InvalidCount(*row) for row in found]

    def readings(self, sources: Sequence[int]) -> list[str]:
        """See ``LedgerReader.readings``."""
        found = self._connection.fetch_all("readings", sources=list(sources))
        return [reading for (reading,) in found]

    def compare(self, sources: Sequence[int], given: Collection[str] = ()) -> Comparison:
        """See ``LedgerReader.compare``."""
        (known,) = self._connection.fetch_one("known_before", sources=list(sources))
        (gone,) = self._connection.fetch_one("gone", sources=list(sources), given=sorted(given))
        return Comparison(known, gone)

    def swapped_before(self, sources: Sequence[int]) -> bool:
        """See ``LedgerReader.swapped_before``."""
        return bool(self._connection.fetch_one("swapped_before", sources=list(sources))[0])

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────

    def result_pages(self, selection: Selection) -> Iterator[ResultPage]:
        """See ``LedgerReader.result_pages``."""
        return result_pages(self._connection, self._sources_of(selection), selection)

    def example(self, enrollment: Enrollment, sources: Sequence[int]) -> ExampleRow | None:
        """See ``LedgerReader.example``."""
        org, group, rule = enrollment.target
        found = self._connection.fetch_all(
            "example",
            customer=enrollment.customer,
            org=org,
            group=group,
            target=rule,
            sources=list(sources),
        )
        return ExampleRow(*found[0]) if found else None

    def rows_of(self, customer: int) -> list[CustomerRow]:
        """See ``LedgerReader.rows_of``."""
        found = self._connection.fetch_all("rows_of_customer", customer=customer)
        return [CustomerRow._make((*row[:3], Target(*row[3:6]), *row[6:])) for row in found]

    def attempts_of(self, customer: int) -> list[CustomerAttempt]:
        """See ``LedgerReader.attempts_of``."""
        found = self._connection.fetch_all("attempts_of_customer", customer=customer)
        return [CustomerAttempt(Target(*row[:3]), *row[3:]) for row in found]

    # ── calls ────────────────────────────────────────────────────────────────────────────────────

    def run_calls(self) -> list[RunCalls]:
        """See ``LedgerReader.run_calls``."""
        return [RunCalls(*row) for row in self._connection.fetch_all("run_calls")]

    def attempt_bins(self, run_id: str, begin_s: float, width_s: float) -> list[AttemptBin]:
        """See ``LedgerReader.attempt_bins``."""
        found = self._connection.fetch_all(
            "attempt_bins", run_id=run_id, begin=float(begin_s), width=float(width_s)
        )
        return [AttemptBin(*row) for row in found]

    def attempt_counts(self) -> list[AttemptCount]:
        """See ``LedgerReader.attempt_counts``."""
        return [AttemptCount(*row) for row in self._connection.fetch_all("attempt_counts")]

    def sent_again(self, most: int) -> list[SentAgain]:
        """See ``LedgerReader.sent_again``."""
        return [SentAgain(*row) for row in self._connection.fetch_all("sent_again", most=most)]

    def waiting(self) -> Waiting:
        """See ``LedgerReader.waiting``."""
        return Waiting(*self._connection.fetch_one("waiting"))

    def slowest(self, most: int) -> list[SlowCall]:
        """See ``LedgerReader.slowest``."""
        return [
            SlowCall(Enrollment(row[8], Target(*row[5:8])), *row[:5])
            for row in self._connection.fetch_all("slowest", most=most)
        ]

    def _sources_of(self, selection: Selection) -> list[int]:
        return [source.id for source in selection.of(self.sources())]

    def _header(self, text: str) -> tuple[str, ...]:
        try:
            return tuple(json.loads(text))
        except (ValueError, TypeError):
            raise self._connection.damaged("the header of a source cannot be read") from None

    def _state(self, text: str) -> State:
        try:
            return State(text)
        except ValueError:
            raise self._connection.damaged(f"{text!r} is not a state") from None
