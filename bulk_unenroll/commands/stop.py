"""Stop the process that works in a run folder, cleanly."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from bulk_unenroll.ledger.opening import ask_to_stop, existing_folder, works_now

LOOKED_EVERY_S: Final = 0.1


def stop(folder: str | os.PathLike[str], *, wait: bool = False) -> bool:
    """Ask the process that works in ``folder`` to stop cleanly; return whether there was one.

    The run starts no more calls, and records the answers to those in flight. ``wait`` returns once
    it has ended. To ask again does no harm: it is never a second signal.
    """
    folder = existing_folder(Path(folder))
    if not ask_to_stop(folder):
        return False
    while wait and works_now(folder):
        time.sleep(LOOKED_EVERY_S)
    return True
