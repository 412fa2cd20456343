"""Senders that an engine places on other machines, for as long as a run goes on here.

The run is planned, confirmed and begun here, and this process sends as well. So the run does not
depend on the engine: whatever happens to that, the run goes on, and is shown, here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulk_unenroll.commands.options import Settings
from bulk_unenroll.errors import Stop, UsageError
from bulk_unenroll.ledger.job_address import shared_job
from bulk_unenroll.ledger.opening import ask_to_stop, works_now
from bulk_unenroll.log import get_logger
from bulk_unenroll.observers import Observer, Stage
from bulk_unenroll.worker import Worker

if TYPE_CHECKING:
    from bulk_unenroll.engines.dask import Cluster

LOOKED_EVERY_S: Final = 0.2
GIVEN_UP_AFTER_S: Final = 30.0
"""A sender that was killed is not waited for longer than this, beyond ``--read-timeout``."""

log = get_logger()


@contextmanager
def engine_of(folder: Path, settings: Settings) -> Iterator[Engine | None]:
    """What ``--on`` names, reached before anybody is asked; None where nothing is placed.

    Raises ``UsageError`` (2) and ``Misconfigured`` (78).
    """
    address = settings.run.on
    if address is None:
        if "senders" in settings.given:
            raise UsageError("--senders says how many, but not where", "add --on dask://HOST:PORT")
        yield None
        return
    if settings.run.limit is not None:
        raise UsageError(
            "--on would have others call, and --limit is of one command alone", "use one of them"
        )
    shared = shared_job(folder)
    if shared is None:
        raise UsageError(
            "only the senders of a shared job can be on other machines", "add --job NAME"
        )
    try:
        from bulk_unenroll.engines.dask import Cluster
    except ImportError:
        raise UsageError("--on needs an extra", "pip install 'bulk-unenroll[dask]'") from None
    with closing(Cluster.connect(address)) as cluster:
        patience_s = settings.send.read_timeout_s + GIVEN_UP_AFTER_S
        yield Engine(cluster, folder, shared.job, settings.run.senders, patience_s)


class Engine:
    """Senders to be placed: ``senders`` of them, of the job that ``folder`` names."""

    def __init__(
        self, cluster: Cluster, folder: Path, job: str, senders: int, patience_s: float
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._job = job
        self._senders = senders
        self._patience_s = patience_s

    @contextmanager
    def placing(self) -> Iterator[Observer]:
        """Place senders once the first calls were good; when the run ends here, it ends there.

        Returns once no sender makes calls, so that the results are final.
        """
        with Worker("engine") as thread:
            yield _Placer(thread, self)
        self._await_senders()

    def place(self) -> None:
        """Place them."""
        self._cluster.place(self._job, self._senders)

    def stop(self) -> None:
        """Stop all senders of the job, in the ledger: an engine can only forget about them."""
        try:
            ask_to_stop(self._folder)
        except Stop as failed:
            hint = f"stop the others: bulk-unenroll stop --job {self._job}"
            log.warning("not_stopped", reason=str(failed), hint=hint)

    def _await_senders(self) -> None:
        until_s = time.monotonic() + self._patience_s
        try:
            while works_now(self._folder):
                if time.monotonic() > until_s:
                    hint = f"look at them: bulk-unenroll status --job {self._job}"
                    log.warning("senders_go_on", hint=hint)
                    return
                time.sleep(LOOKED_EVERY_S)
        except Stop as failed:  # how this run ended is known all the same
            log.warning("senders_unknown", reason=str(failed))


class _Placer(Observer):
    """Hands what a run enters on to the thread in which an engine may be slow."""

    def __init__(self, thread: Worker, engine: Engine) -> None:
        self._thread = thread
        self._engine = engine

    def entered(self, stage: Stage) -> None:
        """The run begins ``stage``."""
        if stage is Stage.SENDING:
            self._thread.submit(self._engine.place)
        elif stage is Stage.STOPPING:
            self._thread.submit(self._engine.stop)
