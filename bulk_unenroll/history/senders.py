"""One rate for one API: who sends to which API with which credentials now, on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bulk_unenroll.errors import FolderBusy
from bulk_unenroll.history.trouble import trouble_with
from bulk_unenroll.log import get_logger

UNSEEN: Final = "another run to the same API would not be noticed; together both exceed --rate"
log = get_logger()


@contextmanager
def sending_alone(state: Path | None, place: str, user: str, folder: Path) -> Iterator[None]:
    """Hold the lock on sending to an API; raise ``FolderBusy`` (75), naming the other sender.

    ``state`` is where that is noted; None: it is not. The lock is the system's, so a killed process
    leaves none behind.
    """
    if state is None:
        yield
        return
    name = hashlib.sha256(f"{place}\n{user}".encode()).hexdigest()[:24]
    note = state / f"{name}.sender"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(state / f"{name}.lock", mode=0o600)
        lock.acquire(timeout=0)
    except Timeout:
        other = ""
        with suppress(OSError):
            other = note.read_text("utf-8").strip()
        raise FolderBusy(
            other or "another folder",
            f"another run sends to {place} with the same credentials, from {other or 'elsewhere'}:"
            " together they would be faster than --rate",
            "wait until it ends, or add --beside if there is rate for both",
        ) from None
    except OSError as error:
        log.warning("no_sender_lock", why=trouble_with(state, error), hint=UNSEEN)
        yield
        return
    try:
        with suppress(OSError):
            note.write_text(str(folder.absolute()), "utf-8")
        yield
    finally:
        lock.release()
