"""Put a run together: event loop, client, credentials, ledger thread, signals."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from bulk_unenroll.capillary.auth import make_auth
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.capillary.credentials import Endpoint
from bulk_unenroll.errors import EXIT_LEFT_OVER, EXIT_SIGINT, EXIT_SIGTERM
from bulk_unenroll.ledger.interface import Ledger, Turn
from bulk_unenroll.sending.runner import Observer, Runner
from bulk_unenroll.settings import SendSettings

SIGNALS: Final = {
    signal.SIGINT: EXIT_SIGINT,
    signal.SIGTERM: EXIT_SIGTERM,
    signal.SIGHUP: EXIT_SIGTERM,
}

COLLECT_AFTER: Final = 20_000
"""Objects made beyond those freed before the collector looks: some 2 MB."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run: what to call it, which sources, and the seconds after which it stops by itself."""

    run_id: str
    command: str
    started_by: str
    sources: Sequence[int]
    stop_in_s: float | None
    end_now: Callable[[int], None]
    """Called at a second signal; must not return."""


def send(
    ledger: Ledger, api: Endpoint, sending: SendSettings, order: RunRequest, watch: Observer
) -> dict[int, str]:
    """Send; the reasons why it stopped early, by exit code. Raises ``LedgerFailed``."""
    with _settled_heap(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_send(ledger, api, sending, order, watch))


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Spare the garbage collector all modules, and what lives for a call only.

    With its defaults it takes an eighth of a run's CPU, walking the modules time and again.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _send(
    ledger: Ledger, api: Endpoint, sending: SendSettings, order: RunRequest, watch: Observer
) -> dict[int, str]:
    client = Client(
        api.base_url,
        connect_timeout_s=sending.connect_timeout_s,
        read_timeout_s=sending.read_timeout_s,
    )
    with ThreadPoolExecutor(1, "ledger") as executor:
        async with client:
            turn = _in_thread(executor, ledger.turn)
            runner = Runner(turn, client, make_auth(api.credentials, client), sending, watch)

            def note(code: int, reason: str) -> object:
                return executor.submit(ledger.end_run, code, reason)

            with _Stops(runner, order, note):
                await runner.run(_begin(ledger, runner, sending, order))
    return runner.endings


def _begin(ledger: Ledger, runner: Runner, sending: SendSettings, order: RunRequest) -> list[float]:
    now_s = runner.wall_s()
    starts = ledger.reader.recent_starts(now_s - sending.rate.unit_s)
    ledger.begin_run(
        order.run_id,
        order.command,
        order.sources,
        now_s=now_s,
        resend_after_s=runner.resend_after_s(),
        started_by=order.started_by,
    )
    return starts


def _in_thread(
    executor: ThreadPoolExecutor, turn: Callable[..., Turn]
) -> Callable[..., Awaitable[Turn]]:
    """``turn`` in the one thread that uses the ledger, so that no fsync holds up the loop."""
    loop = asyncio.get_running_loop()

    async def call(*args: Any, **kwargs: Any) -> Turn:
        return await loop.run_in_executor(executor, partial(turn, *args, **kwargs))

    return call


class _Stops:
    """While open: signals and ``--stop-after`` end the run cleanly; a second signal ends it now."""

    def __init__(
        self, runner: Runner, order: RunRequest, note: Callable[[int, str], object]
    ) -> None:
        self._runner = runner
        self._order = order
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._seen = False

    def __enter__(self) -> None:
        for number, code in SIGNALS.items():
            self._loop.add_signal_handler(number, self._signalled, number, code)
        if self._order.stop_in_s is not None:
            delay_s = max(self._order.stop_in_s, 0.0)
            self._loop.call_later(delay_s, self._runner.stop, EXIT_LEFT_OVER, "time is up")

    def __exit__(self, *_: object) -> None:
        for number in SIGNALS:
            self._loop.remove_signal_handler(number)

    def _signalled(self, number: signal.Signals, code: int) -> None:
        if self._seen:
            self._order.end_now(code)
            os._exit(code)
        self._seen = True
        log.warning("stopping", signal=number.name, hint="waiting for calls in flight")
        sys.stderr.flush()
        reason = f"stopped by {number.name}"
        self._note(code, reason)  # should a second signal leave no time for it
        self._runner.stop(code, reason)
