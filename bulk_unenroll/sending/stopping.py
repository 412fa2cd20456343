"""What stops a run early: signals, a request from another thread, a time limit."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bulk_unenroll.exits import ExitCode
from bulk_unenroll.log import get_logger
from bulk_unenroll.signals import SIGNALS, heeded

LOOKED_AT_EVERY_S: Final = 0.25
"""How often the run looks at the wall clock."""

Stop = Callable[[int, str], None]
"""Ends the run cleanly, given the exit code and the reason. Not thread-safe."""

log = get_logger()


class StopRequest:
    """Asks one run to stop cleanly. Made by whoever starts the run; any thread may use it.

    A request that comes before the run begins is met as soon as it does; one after its end does
    nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask while the same thread does
        self._listener: Callable[[], object] | None = None
        self.requested = False

    def stop(self) -> None:
        """Start no more calls; those in flight are awaited and recorded. Returns at once."""
        with self._lock:
            self.requested = True
            if self._listener:
                self._listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call ``listener`` at every request, in the thread that made it."""
        with self._lock:
            self._listener = listener
            if self.requested:
                listener()
        try:
            yield
        finally:
            with self._lock:
                self._listener = None


@contextmanager
def stopped_by_request(request: StopRequest, stop: Stop) -> Iterator[None]:
    """While open, ``request`` stops the run: exit 3."""
    loop = asyncio.get_running_loop()

    def listener() -> None:
        loop.call_soon_threadsafe(stop, ExitCode.LEFT_OVER, "stopped by the caller")

    with request.heard_by(listener):
        yield


@contextmanager
def stopped_by_itself(why: Callable[[], str] | None, stop: Stop) -> Iterator[None]:
    """While open, stop the run (exit 3) once ``why`` gives a reason. None: never.

    It is asked again and again, for the wall clock may be set, and the machine may sleep.
    """
    if why is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.Handle

    def look() -> None:
        nonlocal timer
        if reason := why():
            stop(ExitCode.LEFT_OVER, reason)
        else:
            timer = loop.call_later(LOOKED_AT_EVERY_S, look)

    timer = loop.call_soon(look)
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def stopped_by_signals(stop: Stop, end_now: Callable[[int], None]) -> Iterator[None]:
    """While open, INT, TERM and HUP stop the run cleanly: exit 130 and 143.

    A second one calls ``end_now`` with the exit code, which must not return. For the main thread.
    """
    loop = asyncio.get_running_loop()
    seen: list[signal.Signals] = []

    def signalled(number: signal.Signals, code: int) -> None:
        if seen:
            end_now(code)
            os._exit(code)
        seen.append(number)
        stop(code, f"stopped by {number.name}")  # before anything that may fail
        log.warning("stopping", signal=number.name, hint="waiting for calls in flight")

    before = {number: signal.getsignal(number) for number in heeded()}
    for number in before:
        loop.add_signal_handler(number, signalled, number, SIGNALS[number])
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)  # results are still to be written
