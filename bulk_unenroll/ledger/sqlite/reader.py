"""Questions to a ledger in SQLite, none of which changes it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from bulk_unenroll.ledger.facts import (
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
    SentAgain,
    SlowCall,
    Source,
    StateCount,
    Waiting,
    WrittenFile,
)
from bulk_unenroll.ledger.interface import LedgerReader, Selection
from bulk_unenroll.ledger.sqlite.connection import Connection
from bulk_unenroll.ledger.sqlite.failures import damaged, translated
from bulk_unenroll.ledger.sqlite.file import connect_read_only
from bulk_unenroll.ledger.sqlite.proof import conservation_faults, integrity_faults
from bulk_unenroll.ledger.sqlite.results import attempt_pages, result_pages
from bulk_unenroll.model import Alarm, Enrollment, State, Target
from bulk_unenroll.settings import RESEND_WINDOW_S


class SqliteReader:
    """See ``LedgerReader``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def at_one_moment(self) -> Iterator[LedgerReader]:
        """See ``LedgerReader.at_one_moment``."""
        with translated(self._connection.path):
            connection = connect_read_only(self._connection.path)
        with closing(connection):
            connection.raw.execute("BEGIN")
            yield SqliteReader(connection)

    # ── sources and runs ─────────────────────────────────────────────────────────────────────────

    def base_url(self) -> str | None:
        """See ``LedgerReader.base_url``."""
        return self._connection.meta("base_url")

    def settings(self) -> Mapping[str, Any]:
        """See ``LedgerReader.settings``."""
        settings: dict[str, Any] = json.loads(self._connection.meta("settings") or "{}")
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
            Source._make((*row[:5], _header(row[5]), *row[6:]))
            for row in self._connection.fetch_all("sources")
        ]

    def noticed(self, sources: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """See ``LedgerReader.noticed``."""
        found = self._connection.fetch_all("facts_noticed", sources=_ids(sources))
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
        noted = self._connection.meta("plans")
        plans: dict[str, dict[str, Any]] = json.loads(noted) if noted else {}
        return plans

    def failed_file(self) -> WrittenFile | None:
        """See ``LedgerReader.failed_file``."""
        noted = self._connection.meta("failed_file")
        return WrittenFile(*json.loads(noted)) if noted else None

    def alarms(self) -> list[Alarm]:
        """See ``LedgerReader.alarms``."""
        found = self._connection.fetch_all("last_alarms")
        return [Alarm(**alarm) for alarm in json.loads(found[0][0])] if found else []

    def runs(self) -> list[Run]:
        """See ``LedgerReader.runs``."""
        return [Run(*row) for row in self._connection.fetch_all("runs")]

    def recent_starts(self, since_s: float) -> list[float]:
        """See ``LedgerReader.recent_starts``."""
        starts: list[float] = []
        with (
            translated(self._connection.path),
            closing(self._connection.execute("recent_starts")) as attempts,
        ):
            for sent_s, answered_s in attempts:
                if answered_s is not None and answered_s < since_s:
                    break  # what was recorded before was sent before; one unanswered says nothing
                starts.append(sent_s)
        return sorted((start for start in starts if start > since_s), reverse=True)

    # ── the accounting ───────────────────────────────────────────────────────────────────────────

    def row_counts(self, sources: Sequence[int]) -> RowCounts:
        """See ``LedgerReader.row_counts``."""
        return RowCounts(*self._connection.fetch_one("row_counts", sources=_ids(sources)))

    def counts_by_target(self, sources: Sequence[int]) -> list[StateCount]:
        """See ``LedgerReader.counts_by_target``."""
        found = self._connection.fetch_all("counts_by_target", sources=_ids(sources))
        return [StateCount(Target(*row[:3]), _state(row[3]), *row[4:]) for row in found]

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
            sources=_ids(sources),
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
        found = self._connection.fetch_all("invalid_counts", sources=_ids(sources))
        return [InvalidCount(*row) for row in found]

    def readings(self, sources: Sequence[int]) -> list[str]:
        """See ``LedgerReader.readings``."""
        found = self._connection.fetch_all("readings", sources=_ids(sources))
        return [reading for (reading,) in found]

    def compare(self, sources: Sequence[int], given: Collection[str] = ()) -> Comparison:
        """See ``LedgerReader.compare``."""
        (known,) = self._connection.fetch_one("known_before", sources=_ids(sources))
        names = json.dumps(sorted(given))
        (gone,) = self._connection.fetch_one("gone", sources=_ids(sources), given=names)
        return Comparison(known, gone)

    def swapped_before(self, sources: Sequence[int]) -> bool:
        """See ``LedgerReader.swapped_before``."""
        return bool(self._connection.fetch_one("swapped_before", sources=_ids(sources))[0])

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────

    def result_pages(self, selection: Selection) -> Iterator[ResultPage]:
        """See ``LedgerReader.result_pages``."""
        sources = [source.id for source in selection.of(self.sources())]
        return result_pages(self._connection, sources, selection)

    def attempt_pages(self, selection: Selection) -> Iterator[list[AttemptRow]]:
        """See ``LedgerReader.attempt_pages``."""
        sources = [source.id for source in selection.of(self.sources())]
        return attempt_pages(self._connection, sources, selection)

    def example(self, enrollment: Enrollment, sources: Sequence[int]) -> ExampleRow | None:
        """See ``LedgerReader.example``."""
        org, group, rule = enrollment.target
        found = self._connection.fetch_all(
            "example",
            customer=enrollment.customer,
            org=org,
            group=group,
            target=rule,
            sources=_ids(sources),
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
            "attempt_bins", run_id=run_id, begin=begin_s, width=float(width_s)
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

    # ── proof ────────────────────────────────────────────────────────────────────────────────────

    def conservation_faults(self) -> list[str]:
        """See ``LedgerReader.conservation_faults``."""
        return conservation_faults(self._connection)

    def integrity_faults(self) -> list[str]:
        """See ``LedgerReader.integrity_faults``."""
        return integrity_faults(self._connection)


def _ids(sources: Sequence[int]) -> str:
    return json.dumps(list(sources))


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise damaged(f"{text!r} is not a state") from None


def _header(text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except (ValueError, TypeError):
        raise damaged("the header of a source cannot be read") from None
