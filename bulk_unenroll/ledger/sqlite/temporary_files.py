"""Where SQLite's temporary files are: in the run folder, which has room for a ledger.

An index of millions is sorted in them. Elsewhere there may be no room, as in a container whose
disks are read-only but for the run folder. SQLite removes the name of such a file as soon as it is
open, so that a kill leaves none.

``PRAGMA temp_store_directory`` is the one way to say it (the environment is read before Python
could set it). It is deprecated, so a SQLite may be built without it; then, and where the folder
cannot be written, they are where they always were. It holds for the whole process, and must not be
changed while another thread may use it (sqlite.org/pragma.html#pragma_temp_store_directory).
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "etilqs_"
"""How SQLite's temporary files are called."""


def keep_temporary_files(raw: sqlite3.Connection, folder: Path, *, alone: bool) -> None:
    """Keep them in ``folder``; unless ``alone`` in this process, only if no place was named yet."""
    (named,) = raw.execute("PRAGMA temp_store_directory").fetchone() or (None,)
    if named and not alone and Path(named).is_dir():
        return
    quoted = str(folder.absolute()).replace("'", "''")
    with suppress(sqlite3.OperationalError):  # it cannot be written
        raw.execute(f"PRAGMA temp_store_directory = '{quoted}'")


def sweep(folder: Path) -> None:
    """Remove what a kill may have left, in the moment before the name was removed."""
    for left in folder.glob(f"{PREFIX}*"):
        left.unlink(missing_ok=True)
