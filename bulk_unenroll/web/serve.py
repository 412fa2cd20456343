"""Run the server until a signal ends it. What it started goes on without it."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web

from bulk_unenroll.errors import FolderUnusable, UsageError
from bulk_unenroll.web import processes
from bulk_unenroll.web.app import Server
from bulk_unenroll.web.jobs import Jobs

FIRST_PORT: Final = 8520
PORTS_TRIED: Final = 20
LINGER_S: Final = 2.0
DAY_S: Final = 86_400.0


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on this port, or on the first free one. Raises ``UsageError`` (2)."""
    wanted = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + PORTS_TRIED), 0]
    for number in wanted:
        try:
            return socket.create_server((host, number))
        except OSError as error:
            if number in (wanted[-1], None):
                raise UsageError(
                    f"cannot listen on {host}, port {number}: {error.strerror}", "give another port"
                ) from None
    raise AssertionError


def make_root(root: Path) -> Path:
    """The folder of all jobs, which only its owner can read. Raises ``FolderUnusable`` (73)."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
    except OSError as error:
        raise FolderUnusable(f"cannot make {root}: {error.strerror}", "give another") from None
    return root.resolve()


async def serve(
    server: Server, listening: socket.socket, ready: Callable[[], object], keep_days: int | None
) -> None:
    """Serve until SIGINT or SIGTERM."""
    runner = web.AppRunner(
        server.application(), access_log=None, shutdown_timeout=LINGER_S, handle_signals=False
    )
    await runner.setup()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await web.SockSite(runner, listening).start()
        ready()
        while not stopped.is_set():
            if keep_days is not None:
                await asyncio.to_thread(sweep, Jobs(server.root), keep_days)
            try:
                await asyncio.wait_for(stopped.wait(), DAY_S)
            except TimeoutError:
                continue
    finally:
        await runner.cleanup()


def sweep(jobs: Jobs, keep_days: int) -> None:
    """Delete jobs on which nothing works and that are older than this."""
    for job in jobs.all():
        age_s = time.time() - datetime.fromisoformat(job.facts["at"]).astimezone(UTC).timestamp()
        if age_s > keep_days * DAY_S and not processes.works_on(job):
            jobs.delete(job, f"--keep-days {keep_days}")
