"""How a command ended: exit code, reason, next command, the ``--json`` object. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Self

from bulk_unenroll.errors import Next
from bulk_unenroll.exits import PRECEDENCE, Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import Arriving, SenderFact, StateCount
from bulk_unenroll.model import BAD, Alarm, State, Target
from bulk_unenroll.reports.problems import Problems

if TYPE_CHECKING:
    from bulk_unenroll.reports.plan import Plan

SHOWN_PROBLEMS: Final = 4
"""How many problems a command shows at its end, besides the line for invalid rows."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many rows still pending ``results.csv`` lacks, and the command that writes them too."""

    rows: int
    export: Next


@dataclass(frozen=True, slots=True)
class WouldCall:
    """How many customers of a target, with a state and a code, would be called."""

    target: Target
    state: State
    code: str | None
    number: int

    @classmethod
    def of(cls, some: StateCount) -> Self:
        """These customers."""
        return cls(some.target, some.state, some.code, some.number)

    def as_json(self) -> dict[str, object]:
        """The object of ``--json``."""
        return {
            "org": self.target.org,
            "target": str(self.target),
            "state": self.state.value,
            "code": self.code,
            "customers": self.number,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """How a command ended. ``next`` is the next command; None when all is done.

    ``folder`` is empty where it is not known.

    ``pace`` is the state of an adaptive pace: ``rate_per_s``, ``ceiling_per_s``, ``cuts``.
    ``problems`` are what did not succeed; ``fix`` is the command for invalid rows once they are
    fixed. ``rehearsal``: the calls went to the sandbox, and nobody was taken out of anything.
    ``alarms`` are those of the last plan or run, ``settings`` what the folder remembers.
    ``left_out`` says what the results lack, if so. ``plan`` is what was planned, ``plan_id`` its
    id. ``senders`` are those of a shared run; ``loading`` is how much is in of an order that is on
    its way. After a dry run ``to_call`` and ``would_call`` say what would be called.
    """

    folder: str
    exit: Exit
    next: Next | None = None
    run_id: str | None = None
    counts: Counts | None = None
    seconds: float = 0.0
    pace: Mapping[str, float] | None = None
    problems: Problems | None = None
    fix: Next | None = None
    rehearsal: bool = False
    alarms: Sequence[Alarm] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: LeftOut | None = None
    plan: Plan | None = None
    plan_id: str = ""
    senders: Sequence[SenderFact] | None = None
    loading: Arriving | None = None
    to_call: int | None = None
    would_call: Sequence[WouldCall] = ()

    @property
    def failed_file(self) -> str:
        """The name of the file in which rows are to be fixed."""
        return PurePath(self.fix.arguments[0]).name if self.fix else "failed.csv"

    def _sending(self) -> dict[str, Any]:
        """How an adaptive pace and a shared run go, if they are that."""
        senders = self.senders if self.senders is None else [one.as_json() for one in self.senders]
        loading = self.loading and self.loading._asdict()
        known = {"pace": self.pace and dict(self.pace), "senders": senders, "loading": loading}
        return {name: value for name, value in known.items() if value is not None}

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        head = {"folder": self.folder or None, "run_id": self.run_id}
        tail: dict[str, Any] = {"seconds": round(self.seconds, 3), "next": str(self.next or "")}
        tail["alarms"] = [alarm.as_json() for alarm in self.alarms]
        tail["rehearsal"] = self.rehearsal
        tail["advice"] = self.next.advice if self.next else ""
        if self.settings:
            tail["settings"] = dict(self.settings)
        if self.plan:
            tail["plan"] = self.plan.as_json()
        if self.plan_id:
            tail["plan_id"] = self.plan_id
        if self.to_call is not None:
            tail["to_call"] = self.to_call
            tail["would_call"] = [one.as_json() for one in self.would_call]
        if self.left_out:
            tail["left_out"] = {"rows": self.left_out.rows, "export": str(self.left_out.export)}
        tail |= self._sending()
        end = {"exit": {"code": self.exit.code, "reason": self.exit.reason}}
        if self.counts is None:
            return {**head, **end, **tail}
        counts = self.counts
        return {
            **head,
            **end,
            "rows": {
                "read": counts.read,
                "invalid": counts.invalid,
                "duplicate": counts.duplicate,
                "unique": counts.unique,
            },
            "status": {state.value: number for state, number in counts.states.items()}
            | {"withdrawn": counts.withdrawn},
            "codes": counts.codes,
            "attempts": counts.attempts,
            "warnings": {"data_mismatch": counts.mismatches},
            **tail,
        }


def conclude(counts: Counts, stop_reasons: Mapping[int, str], doubts: int) -> Exit:
    """The exit of a run: the first that applies, in the order of ``PRECEDENCE``.

    ``stop_reasons`` hold why it stopped early, by exit code; ``doubts`` counts calls in doubt in
    the whole folder, including superseded sources.
    """
    for code in PRECEDENCE:
        if code in stop_reasons:
            return Exit(code, stop_reasons[code])
    left, states = counts.left, counts.states
    if left or doubts:
        parts = [_many(left - states[State.IN_DOUBT], "row left"), _many(doubts, "row in doubt")]
        why = stop_reasons.get(ExitCode.LEFT_OVER)
        return Exit(ExitCode.LEFT_OVER, ", ".join(filter(None, [why, *parts])))
    bad = [f"{_rows(states[state])} {state}" for state in State if state in BAD and states[state]]
    if counts.invalid:
        bad.append(f"{_rows(counts.invalid)} invalid")
    if bad:
        return Exit(ExitCode.ROWS_FAILED, ", ".join(bad))
    return Exit(ExitCode.FINISHED, f"all {counts.unique} customers/targets settled")


def _rows(number: int) -> str:
    return f"{number} row{'s' * (number != 1)}"


def _many(number: int, what: str) -> str:
    noun, _, rest = what.partition(" ")
    return f"{number} {noun}{'s' * (number != 1)} {rest}" if number else ""
