"""A scripted API and a real ledger for runs in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from bulk_unenroll.capillary.calls import Fault, Loss, Reply
from bulk_unenroll.capillary.verdicts import Verdict
from bulk_unenroll.ledger.batch import StagedRow, staged_batch
from bulk_unenroll.ledger.counts import count
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import Ledger, Turn
from bulk_unenroll.ledger.loading import SourceInfo
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.model import Call, Decision, Enrollment, Known, State, Target
from bulk_unenroll.observers import Observer
from bulk_unenroll.option_values import Limit, Rate
from bulk_unenroll.sending.clock import Clock
from bulk_unenroll.sending.runner import Runner, Sender
from bulk_unenroll.settings import SendSettings

BASE_URL = "http://127.0.0.1:1/v3.1"
Answer = Reply | Fault


def success(customer: int) -> Reply:
    return Reply(200, json.dumps({"data": customer, "errors": None}).encode())


def error(code: int, status: int = 200) -> Reply:
    document = {"data": None, "errors": [{"code": code, "message": f"about {code}"}]}
    return Reply(status, json.dumps(document).encode())


def http(status: int, *retry_after: str) -> Reply:
    return Reply(status, b"<html></html>", retry_after=retry_after)


REFUSED = Fault(Loss.UNSENT, "unreachable", "connection refused")
LOST = Fault(Loss.UNANSWERED, "connection_lost", "server disconnected")


@dataclass
class ScriptedApi:
    """Answers by ``script(key, attempt, seconds since start)``; None means success.

    ``starts`` holds (loop time, key) of every call; ``applied`` what a real server would have done.
    """

    script: Callable[[Enrollment, int, float], Answer | None] = lambda key, attempt, at_s: None
    latency_s: float = 0.02
    connect_s: Callable[[int], float] = lambda number: 0.0
    starts: list[tuple[float, Enrollment]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def unenroll(
        self, key: Enrollment, headers: Mapping[str, str], connected: Callable[[], Awaitable[None]]
    ) -> Answer:
        loop = asyncio.get_running_loop()
        connect_s = self.connect_s(len(self.starts))
        if connect_s:
            await asyncio.sleep(connect_s)
            await connected()
        self.starts.append((loop.time(), key))
        attempt = sum(1 for _, sent in self.starts if sent == key)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            answer = self.script(key, attempt, loop.time())
        finally:
            self.in_flight -= 1
        return success(key.customer) if answer is None else answer

    def calls(self) -> Counter[Enrollment]:
        return Counter(key for _, key in self.starts)


class Basic:
    """Credentials that are simply there."""

    renewable = False
    generation = 0
    headers: Mapping[str, str] = {}

    def stale(self, now_s: float) -> bool:
        return False

    def invalidate(self, generation: int) -> None: ...

    async def renew(self, now_s: float) -> Verdict | None:
        return None

    def redact(self, text: str | None) -> str | None:
        return text


@dataclass
class Watcher(Observer):
    decisions: list[Decision] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def recorded(self, call: Call, decision: Decision) -> None:
        self.decisions.append(decision)

    def blocked(self, number: int) -> None: ...

    def paused(self, seconds: float, why: str) -> None:
        self.pauses.append(seconds)


def keys(
    customers: Iterable[int], *targets: tuple[int, int], org: int | None = None
) -> list[Enrollment]:
    pairs = targets or ((1001, 2001),)
    return [
        Enrollment(who, Target(org, group, target)) for who in customers for group, target in pairs
    ]


def load(ledger: Ledger, rows: Sequence[Enrollment], name: str = "a.csv") -> int:
    info = SourceInfo(f"/{name}", name, f"sha-{name}-{hash(tuple(rows))}", "{}", ("customerId",))
    staged = [
        StagedRow(number, key, None, None, json.dumps([str(key.customer)]))
        for number, key in enumerate(rows, 1)
    ]
    return ledger.load(info, iter([staged_batch(staged)] if staged else []))


def sending(**changed: Any) -> SendSettings:
    values: dict[str, Any] = {
        "rate": Rate(1000, 1.0),
        "concurrency": 8,
        "max_attempts": 5,
        "read_timeout_s": 75.0,
        "connect_timeout_s": 10.0,
        "canary": 0,
        "max_failures": Limit(100, percent=True),
        "max_not_enrolled": Limit(100, percent=True),
    }
    return SendSettings(**{**values, **changed})


class Job:
    """One folder over several runs."""

    def __init__(self, folder: Path) -> None:
        self.ledger = SqliteLedger.open(folder)
        self.runs = 0
        self.now_s = 1_700_000_000.0
        self.set_by_s = 0.0
        """By so much the system's clock was set, or slept longer than the loop's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def plan(self, rows: Sequence[Enrollment], name: str = "a.csv") -> int:
        source = load(self.ledger, rows, name)
        self.ledger.confirm([source], BASE_URL)
        return source

    async def run(
        self,
        api: Sender,
        *,
        auth: Any = None,
        stop_after_s: float | None = None,
        watcher: Watcher | None = None,
        sources: Sequence[int] | None = None,
        turn_s: float = 0.002,
        late_s: float = 0.0,
        known: Mapping[Target, Known] = MappingProxyType({}),
        **changed: Any,
    ) -> dict[int, str]:
        """Run what is confirmed, on the loop's own (virtual) clock; why it stopped early.

        A turn of the ledger takes ``turn_s``; what it did is known ``late_s`` after that.
        """

        async def turn(*args: Any, **kwargs: Any) -> Turn:
            await asyncio.sleep(turn_s)
            taken = self.ledger.turn(*args, **kwargs)
            if late_s:
                await asyncio.sleep(late_s)
            return taken

        options = sending(**changed)
        loop = asyncio.get_running_loop()
        self.runs += 1
        at_s = loop.time()
        clock = Clock(lambda: self.now_s + self.set_by_s + loop.time() - at_s)
        runner = Runner(
            turn,
            api,
            auth or Basic(),
            options,
            watcher or Watcher(),
            clock,
            known=known,
            dice=lambda: 0.5,
        )
        began_s = loop.time()
        starts = self.ledger.reader.recent_starts(self.now_s - options.rate.unit_s)
        self.ledger.begin_run(
            f"run-{self.runs}",
            "run",
            sources or self.confirmed(),
            now_s=self.now_s,
            resend_after_s=options.resend_after_s(self.now_s),
        )
        if stop_after_s is not None:
            loop.call_later(stop_after_s, runner.stop, 3, "time is up")
        async with asyncio.timeout(10 * 24 * 3600):
            await runner.run(starts)
        self.now_s += loop.time() - began_s
        self.ledger.end_run(0, "")
        return runner.stop_reasons

    def confirmed(self) -> list[int]:
        return confirmed_ids(self.ledger.reader.sources())

    def states(self) -> dict[State, int]:
        counts = count(self.ledger.reader, self.confirmed())
        return {state: number for state, number in counts.states.items() if number}
