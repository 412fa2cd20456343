"""Ways to start a sandbox: until a signal, or in a thread of this process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from bulk_unenroll.sandbox.scenario import Scenario, load_scenario
from bulk_unenroll.sandbox.server import Sandbox


async def serve(
    port: int, scenario: Path | None, journal: Path | None, announce: Callable[[str], object]
) -> None:
    """Serve until a signal, or until cancelled. Raises ``OSError``, ``ScenarioError``.

    ``announce`` is called with each line that a person needs to use the sandbox.
    """
    loaded = load_scenario(scenario) if scenario else Scenario()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, ended.set)
    try:
        async with Sandbox(loaded, port=port, journal=journal) as sandbox:
            announce(f"sandbox at {sandbox.base_url} (Ctrl-C stops it)")
            announce(f"BULK_UNENROLL_BASE_URL={sandbox.base_url}")
            announce(f"BULK_UNENROLL_USERNAME={loaded.credentials.username}")
            announce(f"BULK_UNENROLL_PASSWORD={loaded.credentials.password}")
            await ended.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def start_in_thread(
    scenario: Scenario | None = None, journal: Path | None = None
) -> tuple[str, Callable[[], None]]:
    """Serve in a new thread. Return the base URL, and a function to stop. Raises ``OSError``."""
    started: Future[tuple[str, Callable[[], object]]] = Future()

    async def serve_until_ended() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with Sandbox(scenario, journal=journal) as sandbox:
            started.set_result((sandbox.base_url, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve_until_ended())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    base_url, end = started.result()

    def stop() -> None:
        with suppress(RuntimeError):  # already stopped: its loop is closed
            end()
        thread.join(timeout=5)

    return base_url, stop
