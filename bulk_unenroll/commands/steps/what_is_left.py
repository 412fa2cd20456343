"""What ``resume`` and ``retry`` would call, compared with what was ordered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bulk_unenroll.commands.options import Settings
from bulk_unenroll.commands.steps.order import broken_order, not_as_planned, pending_by_target
from bulk_unenroll.errors import InputRefused, Next
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.inputs.mapping import with_never
from bulk_unenroll.ledger.counts import callable_count, count
from bulk_unenroll.ledger.facts import StateCount
from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Reopening
from bulk_unenroll.model import State
from bulk_unenroll.reports.plan import Destination, target_facts
from bulk_unenroll.reports.plan_id import plan_parts
from bulk_unenroll.reports.summary import Summary, WouldCall


class _OnlyShown(Exception):
    """All was looked at; nothing shall be reopened."""


@dataclass(frozen=True, slots=True)
class WhatIsLeft:
    """The calls that a folder would go on with. ``reopening`` is None for ``resume``.

    ``never`` is the SHA-256 of the never-lists as they are now.
    """

    reader: LedgerReader
    folder: Path
    sources: list[int]
    settings: Settings
    reopening: Reopening | None
    to: Destination
    never: str

    @property
    def name(self) -> str:
        """The command."""
        return "retry" if self.reopening else "resume"

    def reopen(self, ledger: Ledger, plan_id: str | None) -> int:
        """Reopen what was asked for; return how many calls.

        Raises ``InputRefused`` (65), and reopens nothing, if that is not what was ordered.
        """
        if self.reopening is None:
            self._check(plan_id)
            return 0
        return ledger.reopen(self.reopening, now_s=time.time(), check=lambda: self._check(plan_id))

    def dry_run(self, ledger: Ledger, plan_id: str | None) -> Summary:
        """What would be called. Nothing is reopened or sent."""
        before = self.reader.counts_by_target(self.sources)
        chosen = [WouldCall.of(some) for some in before if self._chosen(some)]
        to_call = 0

        def look() -> None:
            nonlocal to_call
            self._check(plan_id)
            to_call = self._to_call()
            raise _OnlyShown

        try:
            if self.reopening is None:
                look()
            else:
                ledger.reopen(self.reopening, now_s=time.time(), check=look)
        except _OnlyShown:
            pass
        limit = self.settings.run.limit
        to_call = to_call if limit is None else min(to_call, limit)
        but = ", but for those on the never-lists" if self.never else ""
        return Summary(
            str(self.folder),
            Exit(ExitCode.FINISHED, f"nothing was sent: {to_call} would be called{but}"),
            None,
            counts=count(self.reader, self.sources, before),
            rehearsal=self.settings.run.sandbox,
            to_call=to_call,
            would_call=chosen,
        )

    def nothing(self, reopened: int) -> str:
        """Why there is nothing to do; "" if there is."""
        if self.reopening:
            return "" if reopened else f"no row {self._asked_for()}, so none was reopened"
        return "" if self._to_call() else "nothing is left to call"

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _to_call(self) -> int:
        resend_after_s = self.settings.send.resend_after_s(time.time())
        return callable_count(self.reader, self.sources, resend_after_s)

    def _check(self, plan_id: str | None) -> None:
        facts = target_facts(self.reader.counts_by_target(self.sources))
        again = self.reopening is not None and State.IN_DOUBT in self.reopening.states
        by_target = pending_by_target(facts, doubts=again or self.settings.send.resend)
        broken = broken_order(self.settings.run, self._to_call(), by_target)
        if plan_id is not None and not broken:
            readings = self.reader.readings(self.sources)
            parts = plan_parts(
                [source for source in self.reader.sources() if source.id in self.sources],
                with_never(readings[0], self.never) if len(readings) == 1 else "",
                self.to,
                facts,
                self.reader.alarms(),
            )
            broken = not_as_planned(self.reader, plan_id, parts)
        if broken:
            then = Next("status", (str(self.folder),))
            raise InputRefused(broken, "look at what is left", then)

    def _chosen(self, some: StateCount) -> bool:
        """Whether these would be called: what was asked for, and what is pending anyway."""
        if some.state in (State.PENDING, State.IN_DOUBT) and not self.reopening:
            return some.state is State.PENDING or self.settings.send.resend
        if some.state is State.PENDING:
            return True
        which = self.reopening
        return (
            which is not None
            and some.state in which.states
            and (not which.codes or some.code in which.codes)
            and (not which.targets or str(some.target) in which.targets)
        )

    def _asked_for(self) -> str:
        """The rows that were asked for: ``is failed or blocked with code 310011``."""
        which = self.reopening or Reopening(())
        chosen = f"is {_either(which.states)}"
        if which.codes:
            chosen += f" with code {_either(which.codes)}"
        return chosen + (f" in target {_either(which.targets)}" if which.targets else "")


def _either(texts: Sequence[str]) -> str:
    return " or ".join(map(str, texts))
