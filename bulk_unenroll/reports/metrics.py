"""A file for Prometheus' textfile collector, without ids. Needs the extra ``metrics``."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import prometheus_client as prometheus

from bulk_unenroll.files import check_replaceable
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import Call, Decision, State
from bulk_unenroll.observers import Observer

EVERY_S: Final = 10.0
PREFIX: Final = "bulk_unenroll"


class MetricsFile(Observer):
    """An observer that rewrites ``path`` at most every ten seconds as calls end.

    ``counts`` are None if there are none. The file is replaced as a whole. Raises ``OSError`` if it
    cannot be written at the beginning; later the file just gets old, which its
    ``written_timestamp_seconds`` shows.
    """

    def __init__(self, path: Path, folder: str, counts: Counts | None) -> None:
        check_replaceable(path)
        self._path = path
        self._registry = prometheus.CollectorRegistry()
        self._folder = folder
        self._states = self._gauge("customers", "Customers/targets by state.", "state")
        self._calls = self._counter("calls", "Calls of this run by outcome.", "outcome")
        self._pauses = self._counter("pauses", "Pauses of this run, during which no call starts.")
        self._paused_s = self._counter("paused_seconds", "Seconds of these pauses.")
        self._running = self._gauge("running", "Whether a run is going on.")
        self._exit = self._gauge("exit_code", "Exit code of the last run; -1 while it goes on.")
        self._written = self._gauge("written_timestamp_seconds", "When this file was written.")
        if counts is not None:
            self._set_states(counts)
        self._running.labels(folder).set(1)
        self._exit.labels(folder).set(-1)
        self._write()

    def recorded(self, call: Call, decision: Decision) -> None:
        """A call was decided on."""
        self._calls.labels(self._folder, decision.outcome).inc()
        if decision.wait_s is None:
            self._states.labels(self._folder, call.waiting.value).dec()
            self._states.labels(self._folder, decision.state.value).inc()
        if time.monotonic() - self._written_s >= EVERY_S:
            self._update()

    def blocked(self, number: int) -> None:
        """``number`` enrollments will not be sent."""
        self._states.labels(self._folder, State.PENDING.value).dec(number)
        self._states.labels(self._folder, State.BLOCKED.value).inc(number)

    def paused(self, seconds: float, why: str) -> None:
        """No call starts for ``seconds``."""
        self._pauses.labels(self._folder).inc()
        self._paused_s.labels(self._folder).inc(seconds)
        self._update()

    def ended(self, counts: Counts | None, exit_code: int) -> None:
        """The run ended with these counts; None if the ledger cannot be read."""
        if counts is not None:
            self._set_states(counts)
        self._running.labels(self._folder).set(0)
        self._exit.labels(self._folder).set(exit_code)
        self._update()

    def _set_states(self, counts: Counts) -> None:
        for state, number in counts.states.items():
            self._states.labels(self._folder, state.value).set(number)

    def _update(self) -> None:
        with suppress(OSError):
            self._write()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        self._written.labels(self._folder).set_to_current_time()
        prometheus.write_to_textfile(str(self._path), self._registry)

    def _gauge(self, name: str, description: str, *labels: str) -> prometheus.Gauge:
        return prometheus.Gauge(
            f"{PREFIX}_{name}", description, ("folder", *labels), registry=self._registry
        )

    def _counter(self, name: str, description: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(
            f"{PREFIX}_{name}", description, ("folder", *labels), registry=self._registry
        )


def write_end(path: Path, folder: str, exit_code: int) -> None:
    """Write how a command ended before it made a call. Raises ``OSError``."""
    MetricsFile(path, folder, None).ended(None, exit_code)
