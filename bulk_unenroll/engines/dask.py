"""Dask: each sender is a task. The only module that imports ``distributed``.

Dask moves the task of a lost worker to another one by itself, but gives a task up once more than
``allowed-failures`` of its workers were lost (3 by default, a setting of the scheduler): in a job
of weeks that says nothing about the task, so it is placed anew. ``retries`` would not help, as they
count errors that a task raises.

A task that Dask calls cancelled may go on: its process knows nothing of it. Senders are stopped in
the ledger, never here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from distributed import Client, Future, KilledWorker

from bulk_unenroll.engines.sender import SenderEnd, send
from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.log import get_logger

CONNECT_TIMEOUT_S: Final = 10
CLOSE_TIMEOUT_S: Final = 2

log = get_logger()


class Cluster:
    """The senders of one job on a Dask cluster. Made by ``Cluster.connect``; to be closed.

    What becomes of a sender is logged; nothing that happens to the cluster raises here.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._futures: list[Future] = []
        self._is_closed = self._is_lost = False

    @classmethod
    def connect(cls, address: str) -> Self:
        """Connect to the scheduler at ``dask://HOST:PORT``. Raises ``Misconfigured`` (78)."""
        tcp = address.replace("dask://", "tcp://")
        try:
            return cls(Client(tcp, timeout=CONNECT_TIMEOUT_S, set_as_default=False))
        except (OSError, ValueError):
            raise Misconfigured(
                f"no Dask scheduler answers at {address}: nothing was sent",
                "start one with `dask scheduler`, or correct --on",
            ) from None

    def place(self, job: str, senders: int) -> None:
        """Place so many senders of a job. A worker has as many at once as it has threads."""
        try:
            threads = sum(self._client.nthreads().values())
            for _ in range(senders):
                self._place_one(job)
        except Exception:  # of many kinds: the scheduler was lost since, and so was the client
            self._tell_of_loss(job)
            return
        log.info("senders_placed", senders=senders, engine="dask", threads=threads)
        if threads < senders:
            hint = "the others begin once the cluster has more threads"
            log.warning("senders_wait", senders=senders - threads, hint=hint)

    def close(self) -> None:
        """Leave the cluster. Senders that go on there are not stopped by it."""
        self._is_closed = True
        with suppress(Exception):  # whatever state the cluster is in, the run has ended
            self._client.cancel(self._futures)
        with suppress(Exception):
            self._client.close(CLOSE_TIMEOUT_S)

    def _place_one(self, job: str) -> None:
        # pure=False: otherwise equal tasks are one
        future = self._client.submit(send, job, pure=False)
        self._futures.append(future)
        future.add_done_callback(self._watching(job))

    def _watching(self, job: str) -> Callable[[Future], None]:
        def ended(future: Future) -> None:
            if self._is_closed:
                return
            if future.status == "finished":
                _tell_of_end(future.result())
                return
            error = future.exception() if future.status == "error" else None
            if isinstance(error, KilledWorker):
                log.warning("sender_placed_anew", hint="its workers were lost several times")
                self._place_one(job)
            elif error is not None:
                _tell_of_error(error)
            else:
                self._tell_of_loss(job)

        return ended

    def _tell_of_loss(self, job: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            log.warning(
                "scheduler_lost",
                hint="the run goes on here, and wherever its senders do; for more of them:"
                f" bulk-unenroll work --job {job}",
            )


def _tell_of_end(end: SenderEnd) -> None:
    if end.code != ExitCode.FINISHED:
        log.warning("sender_ended", exit_code=end.code, reason=end.reason, host=end.host)


def _tell_of_error(error: BaseException) -> None:
    hint = "see the log of its worker"
    if isinstance(error, ImportError):
        hint = "pip install 'bulk-unenroll[dask,postgres]' on the workers, in the same version"
    log.warning("sender_failed", error=type(error).__name__, hint=hint)
