"""``--progress-file``: the whole state of a command as one JSON object, once a second.

A page or a script reads it instead of counting the ledger. Its cost does not grow with the run.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from bulk_unenroll.errors import Stop, UsageError
from bulk_unenroll.exits import Exit, ExitCode
from bulk_unenroll.files import check_replaceable
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision
from bulk_unenroll.observers import Observer, Stage
from bulk_unenroll.reports.progress import ProgressCounter

EVERY_S: Final = 1.0
RATE_OVER_S: Final = 60.0
Phase = Literal["reading", "confirming", "writing results", "ended"]


class ProgressFile(Observer):
    """What a command does now, written to ``path``; None: nowhere. Also an observer of its run.

    The file is replaced as a whole, and says in ``written_at`` how old it is.
    """

    def __init__(self, path: Path | None, folder: Path) -> None:
        self.path = path
        self._head = {"folder": str(folder), "pid": os.getpid()}
        self._phase: str = "reading"
        self._read = {"rows_read": 0, "bytes_read": 0, "bytes": 0}
        self._counter: ProgressCounter | None = None
        self._codes: Counter[str] = Counter()
        self._calls = 0
        self._recent: deque[tuple[float, int, int]] = deque()
        self._paused_until_s = 0.0
        self._paused_why = ""
        self._exit: Exit | None = None
        self._writing = threading.RLock()  # a signal may end the process meanwhile

    # ── what the command does ────────────────────────────────────────────────────────────────────

    def enter(self, phase: Phase) -> None:
        """The command begins ``phase``; those of sending are told by the run itself."""
        self._phase = phase

    def found(self, size_bytes: int) -> None:
        """The inputs have so many bytes, as far as that is known."""
        self._read["bytes"] = size_bytes

    def read(self, rows: int, read_bytes: int) -> None:
        """So many rows and bytes of the inputs were read."""
        self._read |= {"rows_read": rows, "bytes_read": read_bytes}

    def begin(self, before: Counts, to_call: int) -> None:
        """A run begins, which would make ``to_call`` calls; ``before`` are the folder's counts."""
        self._counter = ProgressCounter(before, to_call, time.monotonic())
        self._codes = Counter(before.codes)
        self._recent.clear()

    def entered(self, stage: Stage) -> None:
        """The run begins ``stage``."""
        self._phase = stage.value

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        self._calls += 1
        if self._counter:
            self._counter.recorded(call, decision)
        if decision.wait_s is None and decision.code:
            self._codes[decision.code] += 1

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        if self._counter:
            self._counter.blocked(number)

    def others_settled(self, settled: int, not_enrolled: int, bad: int) -> None:
        """Other senders of the run have settled so many by now."""
        if self._counter:
            self._counter.others_settled(settled, not_enrolled, bad)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``."""
        self._paused_until_s = time.time() + seconds
        self._paused_why = why

    def end(self, exit_: Exit) -> None:
        """The command ended; where that cannot be written, the file just gets old."""
        self._exit = exit_
        self._phase = "ended"
        with suppress(OSError):
            self.write()

    # ── the file ─────────────────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Replace the file by what is known now. Raises ``OSError``."""
        if self.path is not None:
            with self._writing:
                _replace(self.path, self._state(time.time(), time.monotonic()))

    def _state(self, wall_s: float, now_s: float) -> dict[str, Any]:
        pause = self._paused_until_s if wall_s < self._paused_until_s else None
        is_paused = pause is not None and self._phase in ("canary", "sending")
        return {
            "phase": "paused" if is_paused else self._phase,
            **self._head,
            "written_at": _utc(wall_s),
            **self._read,
            **self._sent(now_s),
            "paused_until": _utc(pause) if pause and is_paused else None,
            "paused_why": self._paused_why if is_paused else None,
            "exit": None if self._exit is None else self._exit.code,
            "reason": self._exit and self._exit.reason,
        }

    def _sent(self, now_s: float) -> dict[str, Any]:
        if self._counter is None:
            nothing = {"states": {}, "codes": {}, "calls_a_minute": 0.0, "left_s": None}
            return {"done": 0, "of": None, **nothing}
        found = self._counter.progress(now_s)
        self._recent.append((now_s, self._calls, found.done))
        while now_s - self._recent[0][0] > RATE_OVER_S:
            self._recent.popleft()
        then_s, calls, done = self._recent[0]
        over_s = max(now_s - then_s, EVERY_S)
        per_s = (found.done - done) / over_s
        return {
            "done": found.done,
            "of": found.of,
            "states": {state.value: number for state, number in found.states.items()},
            "codes": dict(self._codes),
            "calls_a_minute": round((self._calls - calls) / over_s * 60, 1),
            "left_s": round((found.of - found.done) / per_s, 1) if per_s else found.left_s,
        }


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _replace(path: Path, state: Mapping[str, Any]) -> None:
    """Not durable: after a power cut nothing works that it could tell of."""
    check_replaceable(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(state, opened)
    part.replace(path)


@contextmanager
def progress_file(path: Path | None, folder: Path) -> Iterator[ProgressFile]:
    """The progress of a command that works in ``folder``, written while it does and as it ends.

    The caller tells a good end by ``end``. Raises ``UsageError`` (2) if the file cannot be written.
    """
    progress = ProgressFile(path, folder)
    if path is None:
        yield progress
        return
    try:
        progress.write()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    over = threading.Event()
    thread = threading.Thread(target=_write_on, args=(progress, over), daemon=True)
    thread.start()
    try:
        yield progress
    except Stop as stop:
        progress.end(Exit(stop.code, str(stop)))
        raise
    except BaseException:
        progress.end(Exit(ExitCode.INTERNAL, "it broke off"))
        raise
    finally:
        over.set()
        thread.join()


def _write_on(progress: ProgressFile, over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        with suppress(OSError):
            progress.write()
