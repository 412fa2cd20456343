"""What the parts of a run share: its calls on their way from the ledger to the API and back."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from typing import Final

from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.verdicts import Block, Halt
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.log import get_logger
from bulk_unenroll.model import PROTECTED, Blocked, Call, Entry, State, Target
from bulk_unenroll.observers import Observer, Stage
from bulk_unenroll.sending.clock import Clock
from bulk_unenroll.sending.safeguards import Pilot
from bulk_unenroll.sending.sieve import Sieve
from bulk_unenroll.settings import SendSettings

log = get_logger()

LOOKAHEAD_S: Final = 0.25
"""Calls are claimed this long before the rate lets them start: enough for a commit, few to be in
doubt after a kill."""


class RunState:
    """The calls of one run.

    ``ready`` are claimed and wait to start, at most ``lookahead`` of them. ``entries`` and
    ``blocks`` wait to be recorded. ``stop_reasons``: why the run stopped early, by exit code.
    """

    def __init__(
        self,
        settings: SendSettings,
        clock: Clock,
        observer: Observer,
        sieve: Sieve,
        pilot: Pilot,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.observer = observer
        self.sieve = sieve
        self.pilot = pilot
        ahead = math.ceil(settings.rate.per_s * LOOKAHEAD_S)
        self.lookahead = max(1, min(ahead, settings.concurrency))
        self.ready: deque[Call] = deque()
        self.in_flight = 0
        self.entries: list[Entry] = []
        self.blocks: list[Blocked] = []
        self.stop_reasons: dict[int, str] = {}
        self.others_settled_s = -math.inf
        """When other senders of the run were last seen to settle calls, by ``clock.now_s``."""
        self.clocks_parted = False
        self.keeper_wanted = asyncio.Event()
        self.dispatcher_wanted = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether any call is on its way."""
        return bool(self.ready or self.in_flight or self.entries or self.blocks)

    # ── to the API and back ──────────────────────────────────────────────────────────────────────

    def admit(self, calls: Iterable[Call]) -> None:
        """Take claimed calls: what may leave waits for its start, what may not goes back."""
        for call in calls:
            self.pilot.admit(call)
            if self.sieve.protects(call):
                self._keep_for_good(call, PROTECTED)
            elif self.sieve.passes(call):
                self.ready.append(call)
            else:
                self.give_back(call)
        self.dispatcher_wanted.set()

    def _keep_for_good(self, call: Call, code: str, message: str | None = None) -> None:
        """Return a claimed call that must never leave."""
        state = State.IN_DOUBT if call.doubtful else State.BLOCKED
        self.entries.append(Entry(call, state, old=call.doubtful, code=code, message=message))
        self.pilot.end(call.id)
        self.observer.blocked(1)
        self.keeper_wanted.set()

    def take(self) -> Call:
        """The next call, which starts now."""
        call = self.ready.popleft()
        self.in_flight += 1
        if len(self.ready) <= self.lookahead // 2:
            self.keeper_wanted.set()
        return call

    def give_back(self, call: Call, *, old: bool = False) -> None:
        """Return a claimed call to the ledger, as it did not leave.

        ``old``: it is in doubt, and nobody knows for how long.
        """
        if block := self.sieve.block_of(call):
            self._keep_for_good(call, block.code, block.message)
            return
        not_before_s = None if old else self.clock.wall_s()
        self.entries.append(Entry(call, call.waiting, not_before_s=not_before_s, old=old))
        self.keeper_wanted.set()

    def give_back_ready(self) -> None:
        """Return all calls that wait for their start."""
        while self.ready:
            self.give_back(self.ready.popleft())

    def look_at_clock(self) -> None:
        """Notice if the clocks have parted: what was in doubt before is not sent again then.

        The next turn of the ledger sees to that; what waits for its start goes back at once.
        """
        if not self.clock.look():
            return
        log.warning("clocks_parted", hint="what is in doubt is not sent again by itself")
        self.clocks_parted = True
        for call in [call for call in self.ready if call.doubtful]:
            self.ready.remove(call)
            self.give_back(call, old=True)
        self.keeper_wanted.set()

    # ── what forbids calls ───────────────────────────────────────────────────────────────────────

    def stop(self, code: int, reason: str) -> None:
        """Start nothing more; what is in flight is awaited and recorded."""
        self.stop_reasons.setdefault(code, reason)
        self.sieve.stopped = True
        self.observer.entered(Stage.STOPPING)
        self._sift()

    def give_up(self, reason: str, *, failing_since_s: float) -> None:
        """Stop for an outage of the API: all senders, or this one alone if others get answers."""
        if self.others_settled_s > failing_since_s:
            self.stop(ExitCode.FOLDER_BUSY, f"{reason}; other senders of the run get answers")
        else:
            self.stop(ExitCode.API_FAILS, reason)

    def block(self, target: Target, verdict: Block) -> None:
        """Call nobody else in this target or its group."""
        rule = None if verdict.reach is Reach.GROUP else target.rule
        block = Blocked(target.org, target.group, rule, verdict.code, verdict.message)
        if self.forbid(block):
            self.blocks.append(block)

    def forbid(self, block: Blocked) -> bool:
        """Let no more calls of a target or group leave; True if that is news."""
        is_news = self.sieve.block(block)
        if is_news:
            self._sift()
        return is_news

    def halt(self, verdict: Halt, target: Target | None = None) -> None:
        """Stop the run, or only the calls of the target's org where the verdict says so."""
        code = ExitCode.CREDENTIALS if verdict.credentials else ExitCode.CONFIG
        reason = f"{verdict.code}: {verdict.message}"
        if verdict.reach is Reach.RUN or target is None:
            self.stop(code, reason)
            return
        org = target.org or 0
        self.stop_reasons.setdefault(code, f"{reason} (org {org})" if org else reason)
        self.sieve.halted_orgs.add(org)
        self._sift()

    def _sift(self) -> None:
        """Check all ready calls against the sieve again."""
        ready = list(self.ready)
        self.ready.clear()
        self.admit(ready)
        self.keeper_wanted.set()
