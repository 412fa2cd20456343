"""Refuses files that are not yet, or no longer, the rows of their folder.

A Delta, Iceberg or Hudi table keeps files with rows that were deleted from it; only its log says
which ones count. Spark writes a folder bit by bit, and says at its end that it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from glob import escape, glob
from pathlib import Path
from typing import Final

from bulk_unenroll import remote
from bulk_unenroll.errors import InputRefused

MARKS: Final = {
    "_delta_log": "a Delta table",
    ".hoodie": "a Hudi table",
    "metadata/*.metadata.json": "an Iceberg table",
}
"""What lies at the root of a table."""

Listing = Callable[[str, str], list[str]]
"""The names in a folder that match a pattern."""


class TableWatch:
    """Looks at each folder once, with ``listing``."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._seen: set[tuple[str, bool]] = set()

    def check_folder(self, folder: str) -> None:
        """Raise ``InputRefused`` (65) for the folder of a table, or one that is not whole."""
        self._check_marks(folder, folder)
        self._check_whole(folder, folder)

    def check_file(self, path: str, display: str, *, is_text: bool) -> None:
        """Raise ``InputRefused`` (65) for a file in such a folder.

        Every folder above a part may be that of its table; text is not a part of any. A folder
        that is written bit by bit has its parts in it, or in folders such as ``targetId=7``.
        """
        for folder, is_near in _above(path):
            if (folder, is_near) not in self._seen:
                self._seen.add((folder, is_near))
                if not is_text:
                    self._check_marks(folder, display)
                if is_near:
                    self._check_whole(folder, display)

    def _check_marks(self, folder: str, display: str) -> None:
        for mark, kind in MARKS.items():
            if self._listing(folder, mark):
                raise InputRefused(
                    f"{display} belongs to {kind}, whose files still have rows that were deleted",
                    "export the table's rows as Parquet or CSV, and give that",
                )

    def _check_whole(self, folder: str, display: str) -> None:
        if self._listing(folder, "_temporary") or self._is_begun(folder):
            raise InputRefused(
                f"{display} is in a folder that Spark has not finished writing",
                "wait until that job has ended, or run it again",
            )

    def _is_begun(self, folder: str) -> bool:
        """Whether a write to a folder was begun that was never committed, as Databricks notes."""
        begun = {name.partition("_started_")[2] for name in self._listing(folder, "_started_*")}
        if not begun or self._listing(folder, "_SUCCESS"):
            return False
        ended = self._listing(folder, "_committed_*")
        return bool(begun - {name.partition("_committed_")[2] for name in ended})


def local_names(folder: str, pattern: str) -> list[str]:
    """``Listing`` of this machine."""
    return [Path(found).name for found in glob(f"{escape(folder)}/{pattern}")]  # noqa: PTH207


def remote_names(folder: str, pattern: str) -> list[str]:
    """``Listing`` of a bucket; nothing where it may not be listed."""
    return [found.rpartition("/")[2] for found in remote.listed(f"{folder}/{pattern}")]


def _above(path: str) -> Iterator[tuple[str, bool]]:
    """The folders above a file, and whether each is the file's own but for ``name=value``."""
    folder, is_near = path.rpartition("/")[0], True
    while folder and not folder.endswith(("/", ":")):
        yield folder, is_near
        is_near = is_near and "=" in folder.rpartition("/")[2]
        folder = folder.rpartition("/")[0]
