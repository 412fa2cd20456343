"""The state of a job, from what its files say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bulk_unenroll.exits import ExitCode
from bulk_unenroll.reports.marks import BAD, GOOD, WAIT, WARN, Mark
from bulk_unenroll.web.jobs import SENDING, current

Facts = Mapping[str, Any]


class Stage(StrEnum):
    """How far a job is; the value is what a list of jobs says."""

    NEW = "columns to choose"
    UNREADABLE = "could not be read"
    READING = "reading the file"
    REFUSED = "the file was refused"
    PLANNED = "planned, not confirmed"
    RUNNING = "running"
    CUT_OFF = "was cut off"
    STOPPED = "stopped, some are left"
    FINISHED = "finished"
    LOOK = "finished, some need a look"

    @property
    def mark(self) -> Mark:
        """The sign and colour of this stage."""
        return _MARKS.get(self, WAIT)


_MARKS: Final = {
    Stage.FINISHED: GOOD,
    Stage.LOOK: WARN,
    Stage.REFUSED: BAD,
    Stage.UNREADABLE: BAD,
    Stage.CUT_OFF: BAD,
    Stage.STOPPED: WARN,
}


@dataclass(frozen=True, slots=True)
class JobState:
    """What the files of a job say.

    ``working`` is the command that works now, ``last`` the one that sent last, or planned where
    none ever sent; ``plan`` and ``outcome`` what a plan, and the last command that sends, said at
    their end; ``now`` how far the command is. ``mended_plan`` is the plan of mended rows that wait
    beside the results of the job; ``known`` how far the command before was.
    """

    name: str
    facts: Facts
    working: str | None = None
    last: str | None = None
    plan: Facts | None = None
    outcome: Facts | None = None
    now: Facts | None = None
    mended_plan: Facts | None = None
    known: Facts | None = None

    @property
    def is_mending(self) -> bool:
        """Whether mended rows were given, and not confirmed yet."""
        return bool(self.facts.get("mended"))

    @property
    def mended_runs(self) -> int:
        """How often mended rows were called."""
        return int(self.facts.get("mended_runs", 0))

    @property
    def file(self) -> Facts:
        """The facts of the file that is planned: the mended rows, or the job's own file."""
        return current(self.facts)

    @property
    def proposed(self) -> Facts | None:
        """The plan that somebody may confirm."""
        return self.mended_plan if self.is_mending else self.plan

    @property
    def stage(self) -> Stage:
        """How far the job is."""
        if self.working:
            return Stage.RUNNING if self.working in SENDING else Stage.READING
        if self.last is None:
            return Stage.UNREADABLE if self.facts.get("unreadable") else Stage.NEW
        if self.last == "plan":
            if self.plan is None:
                return Stage.CUT_OFF
            return Stage.PLANNED if self.is_planned else Stage.REFUSED
        if self.outcome is None:
            return Stage.CUT_OFF
        if self.left or self.can_begin_again:
            return Stage.STOPPED
        return Stage.FINISHED if code_of(self.outcome) == ExitCode.FINISHED else Stage.LOOK

    @property
    def is_planned(self) -> bool:
        """Whether there is a plan that can be confirmed."""
        good = (ExitCode.FINISHED, ExitCode.ROWS_FAILED)
        return self.proposed is not None and code_of(self.proposed) in good

    @property
    def has_begun(self) -> bool:
        """Whether a run was ever begun."""
        return self.last in SENDING

    @property
    def can_begin_again(self) -> bool:
        """Whether the last run ended before it sent anything, for a reason that may be gone."""
        if self.outcome is None or "status" in self.outcome:
            return False
        final = (ExitCode.INPUT_REFUSED, ExitCode.USAGE, ExitCode.INPUT_MISSING)
        return code_of(self.outcome) not in final

    @property
    def left(self) -> int:
        """How many customers/targets still wait for their call."""
        status = (self.outcome or {}).get("status", {})
        return int(status.get("pending", 0) + status.get("sending", 0))

    @property
    def in_doubt(self) -> int:
        """How many were called without an answer."""
        return int((self.outcome or {}).get("status", {}).get("in_doubt", 0))


def code_of(outcome: Facts) -> int:
    """The exit code of a command that has ended."""
    return int(outcome["exit"]["code"])
