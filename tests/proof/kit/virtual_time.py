"""Runs in virtual time that end in every way: by themselves, by a stop, by a kill."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import looptime

from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.sending.runner import Sender
from tests.sending.scripted import Job

T = TypeVar("T")


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on a new event loop whose virtual clock begins at 0."""
    loop: Any = looptime.patch_event_loop(asyncio.SelectorEventLoop())
    loop.setup_looptime()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)


class Mortal(Job):
    """A job whose runs can be killed: it continues with what was on disk at that moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = self._first_folder = folder
        self.kills = 0

    async def live(self, api: Sender, kill_after_s: float | None = None, **how: Any) -> bool:
        """One run, killed after ``kill_after_s``; return whether it was."""
        loop = asyncio.get_running_loop()
        began_s, now_s = loop.time(), self.now_s
        run = asyncio.create_task(self.run(api, **how))
        await asyncio.wait([run], timeout=kill_after_s)
        if run.done():
            run.result()
            return False
        self._die()
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        self._dead.close()
        self.now_s = now_s + loop.time() - began_s
        return True

    def _die(self) -> None:
        self.kills += 1
        left = self._first_folder.with_name(f"{self._first_folder.name}-{self.kills}")
        shutil.copytree(self.folder, left)
        self.folder = left
        self._dead, self.ledger = self.ledger, SqliteLedger.open(left)

    async def rest(self, seconds: float) -> None:
        """Nothing runs for a while."""
        await asyncio.sleep(seconds)
        self.now_s += seconds
