"""The plan: counts, what earlier runs settled, what changed, and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bulk_unenroll.errors import InputRefused, Next, Stop
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.history.record import Customers, Record
from bulk_unenroll.ledger.counts import Counts, callable_count, count
from bulk_unenroll.ledger.facts import IdFacts, InvalidCount, Source, StateCount
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import PROTECTED, Alarm, State, Target
from bulk_unenroll.option_values import Limit, Rate
from bulk_unenroll.reports.alarms.raising import alarms
from bulk_unenroll.reports.alarms.seen import Seen, ids_seen
from bulk_unenroll.reports.plan_id import plan_id, plan_parts
from bulk_unenroll.reports.problems import TargetFact
from bulk_unenroll.settings import RUN_MAX_INVALID

SHOWN_ORGS: Final = 3
Noticed = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where calls would go. ``base_url`` is None if none was given; ``user`` is no secret."""

    base_url: str | None = None
    user: str | None = None
    rehearsal: bool = False

    @property
    def place(self) -> str:
        """Host and prefix, or the sandbox."""
        if self.rehearsal:
            return "the sandbox on this machine"
        return (self.base_url or "").partition("://")[2]

    def __str__(self) -> str:
        if self.rehearsal:
            return f"REHEARSAL: to {self.place}"
        if not self.base_url:
            return "no destination given"
        return f"to {self.place}" + (f" as {self.user}" if self.user else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a plan shows. ``to_call`` customers/targets would be called.

    ``id`` changes with its ``parts``: the contents of the inputs, how they are read, never-lists,
    targets with counts, destination and alarms. ``others`` are files that the folder holds beside
    those of the plan. ``known`` counts enrollments that the ledger had before, ``gone`` those no
    longer in the file. ``protected`` rows are on a never-list, and invalid for that; ``listed`` is
    how many customers the never-lists name, None without such a list. ``exit`` is
    how ``plan`` ends; ``run_refuses``: too many rows are invalid for a run. ``estimate_s`` is how
    long the calls take at ``rate``. ``remembered`` are settings that nobody gave, but which the
    folder remembers from its last run. ``held`` are in doubt, and so many that they are not sent
    again by themselves. ``until`` is what a clock on the wall shows when the run would end; None:
    it has no such time.
    """

    folder: str
    id: str
    parts: Mapping[str, object]
    exit: Exit
    destination: Destination
    sources: list[Source]
    others: list[Source]
    counts: Counts
    targets: list[TargetFact]
    invalid: list[InvalidCount]
    to_call: int
    known: int
    gone: int
    alarms: list[Alarm]
    protected: int
    listed: int | None
    run_refuses: bool
    estimate_s: float
    rate: Rate
    remembered: Mapping[str, object]
    held: int = 0
    until: datetime | None = None

    def as_json(self) -> dict[str, object]:
        """The object of ``plan --json``."""
        return {
            "id": self.id,
            "destination": {
                "base_url": self.destination.base_url,
                "user": self.destination.user,
                "rehearsal": self.destination.rehearsal,
                "scope": self.scope,
            },
            "sources": [
                {"name": s.name, "path": s.path, "rows": s.row_count, "sha256": s.sha256}
                for s in self.sources
            ],
            "targets": [
                {
                    "org": fact.target.org,
                    "target": str(fact),
                    "customers": fact.unique,
                    "states": {state.value: number for state, number in fact.states.items()},
                }
                for fact in self.targets
            ],
            "invalid": [
                {
                    "reason": fact.code,
                    "rows": fact.number,
                    "first_row": fact.first_row,
                    "first_line": fact.line,
                    "example": fact.example,
                }
                for fact in self.invalid
            ],
            "known": self.known,
            "new": self.counts.unique - self.known,
            "gone": self.gone,
            "settled": self.counts.unique - self.counts.left,
            "held": self.held,
            "never": None
            if self.listed is None
            else {"listed": self.listed, "rows": self.protected},
            "alarms": [alarm.as_json() for alarm in self.alarms],
            "run_refuses": self.run_refuses,
            "to_call": self.to_call,
            "estimate_s": round(self.estimate_s, 3),
        }

    @property
    def alarms_raised(self) -> list[Alarm]:
        """The alarms that nobody allowed; without calls to make there is nothing to refuse."""
        return [alarm for alarm in self.alarms if not alarm.allowed] if self.to_call else []

    @property
    def scope(self) -> str:
        """The orgs whose customers would be called."""
        orgs = sorted({fact.target.org or 0 for fact in self.targets}) or [0]
        names = [str(org or "SELF") for org in orgs[:SHOWN_ORGS]]
        more = [f"{len(orgs) - SHOWN_ORGS} more"] if len(orgs) > SHOWN_ORGS else []
        return ("org " if len(orgs) == 1 else "orgs ") + ", ".join(names + more)

    def allowing(self, names: Collection[str]) -> Plan:
        """The same plan, with the alarms of these names allowed."""
        told = [replace(a, allowed=a.allowed or a.name in names) for a in self.alarms]
        return replace(self, alarms=told)


def list_invalid(folder: str) -> Next:
    """The command that lists the invalid rows of a folder."""
    return Next("export", (folder,), {"to": "invalid.csv", "state": "invalid"})


class TooManyInvalid(InputRefused):
    """More rows are invalid than ``--max-invalid`` allows."""

    def __init__(self, invalid: int, read: int, folder: str | None = None) -> None:
        """``folder``: the run folder that holds the rows, if there is one."""
        super().__init__(
            f"{invalid} of {read} rows are invalid: more than --max-invalid allows",
            "fix the file, or allow more",
            list_invalid(folder) if folder else None,
        )


@contextmanager
def refusing(plan: Plan) -> Iterator[None]:
    """Let a refusal from within carry the plan that is refused."""
    try:
        yield
    except Stop as stop:
        stop.plan = plan
        raise


def survey(
    reader: LedgerReader,
    folder: str,
    sources: Sequence[int],
    parts_of: Collection[str],
    *,
    destination: Destination,
    reading: str,
    rate: Rate,
    remembered: Mapping[str, object],
    resend_after_s: float,
    max_invalid: Limit | None,
    allow: Collection[str],
    noticed_of_pending: Callable[[LedgerReader, Sequence[int]], Noticed],
    here: Record | None = None,
    records: Sequence[Record] = (),
    held: int = 0,
    listed: int | None = None,
    never: Mapping[str, IdFacts] | None = None,
    until: datetime | None = None,
) -> Plan:
    """Return the plan of ``sources`` in the ledger of ``folder``.

    ``parts_of`` are the folders and globs that they are parts of; ``reading`` is the signature of
    how they were read; ``remembered``, ``held``, ``listed`` and ``until`` see ``Plan``;
    ``here``, ``records`` and ``never`` see ``Seen``. With ``max_invalid``
    None no number of invalid rows is refused. ``allow`` names the alarms that may pass.
    ``noticed_of_pending`` says, by source, how the customers look who are left to call.
    """
    by_target = reader.counts_by_target(sources)
    counts = count(reader, sources, by_target)
    to_call = callable_count(reader, sources, resend_after_s, counts)
    targets = target_facts(by_target)
    compared = reader.compare(sources, parts_of)
    every_source, planned = reader.sources(), frozenset(sources)
    shown = [source for source in every_source if source.id in planned]
    invalid = reader.invalid_counts(sources)
    noticed = reader.noticed(sources)
    some_done = 0 < counts.states[State.PENDING] < counts.unique
    if some_done:
        rest = noticed_of_pending(reader, sources)
        noticed = {source: {**facts, **rest[source]} for source, facts in noticed.items()}
    seen = Seen(
        counts,
        ids_seen(noticed.values()),
        targets,
        shown,
        every_source,
        noticed,
        invalid,
        reader.swapped_before(sources),
        here,
        records,
        {source: Customers(**facts.get("sample", {})) for source, facts in noticed.items()},
        some_done=some_done,
        never=never or {},
    )
    told = alarms(seen)
    parts = plan_parts(shown, reading, destination, targets, told)
    protected = sum(fact.number for fact in invalid if fact.code == PROTECTED)
    found = Plan(
        folder=folder,
        id=plan_id(parts),
        parts=parts,
        exit=_exit(counts, protected, to_call, max_invalid),
        destination=destination,
        sources=shown,
        others=[
            source
            for source in every_source
            if source.superseded_s is None and source.path not in {one.path for one in shown}
        ],
        counts=counts,
        targets=targets,
        invalid=invalid,
        to_call=to_call,
        known=compared.known,
        gone=compared.gone,
        alarms=told,
        protected=protected,
        listed=listed,
        run_refuses=(max_invalid or RUN_MAX_INVALID).exceeded(
            counts.invalid - protected, counts.read
        ),
        estimate_s=to_call / rate.per_s,
        rate=rate,
        remembered=remembered,
        held=held,
        until=until,
    )
    return found.allowing(allow)


def _exit(counts: Counts, protected: int, to_call: int, max_invalid: Limit | None) -> Exit:
    wrong = counts.invalid - protected
    if max_invalid is not None and max_invalid.exceeded(wrong, counts.read):
        return Exit(ExitCode.INPUT_REFUSED, str(TooManyInvalid(wrong, counts.read)))
    if counts.invalid:
        return Exit(ExitCode.ROWS_FAILED, f"{counts.invalid} invalid rows")
    return Exit(ExitCode.FINISHED, f"{to_call} to call")


def target_facts(by_target: Iterable[StateCount]) -> list[TargetFact]:
    """The targets, each with its customers by state."""
    facts: dict[Target, TargetFact] = {}
    for some in by_target:
        facts.setdefault(some.target, TargetFact(some.target)).add(some)
    return list(facts.values())
