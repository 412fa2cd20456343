"""Further processes that load parts of an order: of this machine, or of others by ``work``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.parts import help_load
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.loading import SharedLoading
from bulk_unenroll.ledger.opening import beside_planner
from bulk_unenroll.log import get_logger

SPOOL: Final = ".loader-"
LOOK_S: Final = 0.1
log = get_logger()


def help_loading(folder: Path) -> int:
    """Load parts of a shared job that is being planned, until all are in; return how many.

    None (0) if nothing is being planned.
    """
    with beside_planner(folder) as loading:
        return _help(loading, folder) if loading and loading.order() else 0


def _help(loading: SharedLoading, folder: Path) -> int:
    # copies of remote inputs: this process has its own, for another one may load here, too
    with tempfile.TemporaryDirectory(prefix=SPOOL, dir=folder) as spool:
        number = help_load(loading, Path(spool))
    log.info("loaded", parts=number)
    return number


@contextmanager
def loaders(ledger: Ledger, folder: Path, number: int) -> Iterator[None]:
    """Load with ``number`` processes of this machine, this one included.

    If one fails the others do its work. Raises ``UsageError`` (2) for a ledger that is not shared.
    """
    if number > 1 and ledger.loading is None:
        raise UsageError(
            "several loaders need a shared job, in whose ledger they meet", "add --job NAME"
        )
    _sweep(folder)
    command = [sys.executable, "-P", "-m", __name__, str(folder.absolute())]
    quiet = subprocess.DEVNULL
    started = [
        subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603 - ours
        for _ in range(number - 1)
    ]
    try:
        yield
    finally:
        for process in started:
            if process.poll():
                log.warning("loader_failed", exit_code=process.returncode)
            process.kill()
            process.wait()
        _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove the copies of inputs that killed loaders have left."""
    for spool in folder.glob(f"{SPOOL}*"):
        shutil.rmtree(spool, ignore_errors=True)


def _help_parent(folder: Path) -> None:
    """The main function of a further process, which may start before the order is begun."""
    parent = os.getppid()
    with beside_planner(folder) as loading:
        while loading and os.getppid() == parent and not loading.order():
            time.sleep(LOOK_S)
        if loading:
            _help(loading, folder)


if __name__ == "__main__":
    _help_parent(Path(sys.argv[1]))
