"""Put a run together: event loop, client, credentials, the ledger's thread, what may stop it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from bulk_unenroll.capillary.auth import make_auth
from bulk_unenroll.capillary.base_url import host_of
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.capillary.credentials import Endpoint
from bulk_unenroll.ledger.interface import Ledger, Turn
from bulk_unenroll.ledger.sharing import Part, SharedRun
from bulk_unenroll.model import Enrollment, Known, Target
from bulk_unenroll.observers import Observer
from bulk_unenroll.sending.clock import Clock
from bulk_unenroll.sending.granted_rate import interval_of
from bulk_unenroll.sending.keeper import TakeTurn
from bulk_unenroll.sending.runner import Runner
from bulk_unenroll.sending.stopping import (
    StopRequest,
    stopped_by_itself,
    stopped_by_request,
    stopped_by_signals,
)
from bulk_unenroll.settings import SendSettings
from bulk_unenroll.worker import Worker

T = TypeVar("T")
COLLECT_AFTER: Final = 20_000
"""The garbage collector looks after this many objects were made beyond those freed: some 2 MB."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run: what to call it, which sources, and what may stop it.

    ``known`` is what the folder knows of the targets; ``protected`` says who must never be called;
    at most ``limit`` customers/targets are. ``hold`` says why the run stops after its canary;
    empty: it does not. ``joined``: others began the run, and this sender has joined it.
    ``why_stop`` is asked why the run must stop by itself. ``end_now`` says that the process is the
    run's own: signals then stop it, a second one calls ``end_now`` with the exit code (it must not
    return), and the garbage collector is set up for it. Without ``end_now``, or outside the main
    thread, the process is left as it is.
    """

    run_id: str
    command: str
    started_by: str
    sources: Sequence[int]
    known: Mapping[Target, Known] = field(default_factory=dict)
    protected: Callable[[Enrollment], bool] | None = None
    limit: int | None = None
    hold: str = ""
    joined: bool = False
    why_stop: Callable[[], str] | None = None
    end_now: Callable[[int], None] | None = None
    stop: StopRequest | None = None

    @property
    def joinable(self) -> bool:
        """Whether other senders may join: not if this one must leave most calls to a later run.

        Should it be killed, they would make those calls.
        """
        return self.limit is None and not self.hold

    @property
    def owns_process(self) -> bool:
        """Whether signals and the garbage collector are the run's to set up."""
        return self.end_now is not None and threading.current_thread() is threading.main_thread()


def send(
    ledger: Ledger,
    api: Endpoint,
    settings: SendSettings,
    request: RunRequest,
    observer: Observer,
) -> dict[int, str]:
    """Send; return why it stopped early, by exit code. Raises ``LedgerFailed``.

    It runs an event loop of its own, so it must not be called where one is running: call it in a
    thread there.
    """
    with ExitStack() as stack:
        if request.owns_process:
            stack.enter_context(_settled_heap())
        runner = stack.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        return runner.run(_send(ledger, api, settings, request, observer))


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Spare the garbage collector all modules, and what lives for a call only.

    With its defaults it takes an eighth of a run's CPU, walking the modules again and again.
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
    ledger: Ledger, api: Endpoint, settings: SendSettings, request: RunRequest, observer: Observer
) -> dict[int, str]:
    client = Client(
        api.base_url,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    with Worker("ledger") as thread:
        async with client:
            clock, auth = Clock(), make_auth(api.credentials, client)
            turn = _in_thread(thread, ledger.turn)
            shared = ledger.shared
            runner = Runner(
                turn,
                client,
                auth,
                settings,
                observer,
                clock,
                known=request.known,
                protected=request.protected,
                limit=request.limit,
                hold=request.hold,
                sharing=shared.sharing if shared else None,
            )
            with _stoppable(runner, request, ledger, thread):
                starts = _begin(ledger, clock, settings, request)
                if shared:
                    interval_s = interval_of(settings.rate)
                    await _asked(thread, partial(shared.share_rate, _credential(api), interval_s))
                    await _until_it_may_send(shared, runner, thread)
                await runner.run(starts)
                if shared:
                    await _asked(thread, shared.leave)
    return runner.stop_reasons


def _credential(api: Endpoint) -> str:
    """What a rate is kept for: host and user, never a secret."""
    return f"{api.credentials.user}@{host_of(api.base_url)}"


async def _until_it_may_send(shared: SharedRun, runner: Runner, thread: Worker) -> None:
    """Wait while another sender makes the first calls; those are made once."""
    while not runner.stop_reasons:
        part = await _asked(thread, shared.part)
        if part is not Part.WAIT:
            if part is Part.SEND:
                runner.go_without_canary()
            return
        await asyncio.sleep(shared.sharing.beat_s / 4)


@contextmanager
def _stoppable(
    runner: Runner, request: RunRequest, ledger: Ledger, thread: Worker
) -> Iterator[None]:
    def stop_and_note(code: int, reason: str) -> None:
        # a second signal may leave no time for it
        thread.submit(partial(ledger.end_run, code, reason, for_all=not request.joined))
        runner.stop(code, reason)

    with ExitStack() as stack:
        stack.enter_context(stopped_by_itself(request.why_stop, runner.stop))
        if request.stop:
            stack.enter_context(stopped_by_request(request.stop, runner.stop))
        if request.end_now and request.owns_process:
            stack.enter_context(stopped_by_signals(stop_and_note, request.end_now))
        yield


def _begin(
    ledger: Ledger, clock: Clock, settings: SendSettings, request: RunRequest
) -> list[float]:
    """Begin the run in the ledger; when calls of earlier runs started that count for the rate.

    Where senders share the run, the ledger itself counts them.
    """
    if request.joined:
        return []
    now_s = clock.wall_s()
    starts = ledger.reader.recent_starts(now_s - settings.rate.unit_s)
    ledger.begin_run(
        request.run_id,
        request.command,
        request.sources,
        now_s=now_s,
        resend_after_s=settings.resend_after_s(now_s),
        started_by=request.started_by,
        joinable=request.joinable,
    )
    return [] if ledger.shared else starts


def _in_thread(thread: Worker, turn: Callable[..., Turn]) -> TakeTurn:
    """``turn`` in the one thread that uses the ledger, so that no fsync holds up the loop."""

    async def call(*args: Any, **kwargs: Any) -> Turn:
        return await _asked(thread, partial(turn, *args, **kwargs))

    return call


async def _asked(thread: Worker, ask: Callable[[], T]) -> T:
    """What the ledger answers in its thread: its server may be waited for, and signals come."""
    return await asyncio.wrap_future(thread.submit(ask))
