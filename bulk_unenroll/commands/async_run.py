"""Runs for callers inside an event loop: each works in a thread, and its events are awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self, Unpack

from bulk_unenroll.commands import run as sync
from bulk_unenroll.commands.events import Event, OnEvent
from bulk_unenroll.commands.options import RunOptions, SendOptions
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.stopping import StopRequest


def arun(
    *inputs: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    **options: Unpack[RunOptions],
) -> AsyncRun:
    """``run`` inside a running event loop: enter what this returns, and iterate over it."""
    return AsyncRun(partial(sync.run, *inputs, out=out, plan=plan, **options))


def aresume(folder: str | os.PathLike[str], **options: Unpack[SendOptions]) -> AsyncRun:
    """``resume`` inside a running event loop; see ``arun``."""
    return AsyncRun(partial(sync.resume, folder, **options))


def aretry(
    folder: str | os.PathLike[str],
    *,
    states: str | Sequence[str] = (State.FAILED, State.BLOCKED),
    codes: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    **options: Unpack[SendOptions],
) -> AsyncRun:
    """``retry`` inside a running event loop; see ``arun``."""
    chosen = partial(sync.retry, folder, states=states, codes=codes, targets=targets)
    return AsyncRun(partial(chosen, **options))


class _Work(Protocol):
    def __call__(self, *, on_event: OnEvent, stop: StopRequest) -> Summary: ...


class AsyncRun:
    """A run in a thread: an async context manager, and an async iterator of its events.

    Entering it starts the run. Leaving it early, also by cancellation, stops the run cleanly and
    waits until calls in flight are recorded. An error of the run is raised where its events are
    awaited, or on leaving.
    """

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._stop = StopRequest()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task: asyncio.Future[Summary] | None = None
        self._has_raised = False

    @property
    def end(self) -> Summary:
        """How the run ended. Raises ``RuntimeError`` before that, and the error of a failed run."""
        if self._task is None or not self._task.done():
            raise RuntimeError("the run has not ended")
        return self._task.result()

    def stop(self) -> None:
        """Ask for a clean stop, and return at once: calls in flight are awaited and recorded."""
        self._stop.stop()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def on_event(event: Event) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, event)

        task = asyncio.ensure_future(
            asyncio.to_thread(self._work, on_event=on_event, stop=self._stop)
        )
        task.add_done_callback(lambda _: self._events.put_nowait(None))
        self._task = task
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        self._stop.stop()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            await asyncio.wait([self._task])
            raise
        except Exception:
            if error is None and not self._has_raised:
                raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            self._has_raised = True
            self.end  # noqa: B018 - raises the error of the run
            raise StopAsyncIteration
        return event
