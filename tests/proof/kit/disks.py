"""Disks that lose power or fail, preloaded into the program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.command import Desk

SOURCE = Path(__file__).with_name("disk.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def compiled(into: Path) -> Path:
    """The library to preload."""
    made = into / "disk.so"
    subprocess.run(
        [str(COMPILER), "-O1", "-Wall", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"],
        check=True,
    )
    return made


class PoweredDisk:
    """The run folder of ``desk`` on a disk whose power can be cut, once."""

    def __init__(self, desk: Desk, folder: Path, library: Path) -> None:
        self._folder = folder
        self._shadow = desk.folder / f"{folder.name}.shadow"
        self._shadow.mkdir()
        desk.environment |= {
            "LD_PRELOAD": str(library),
            "DISK_FOLDER": str(folder),
            "DISK_SHADOW": str(self._shadow),
        }

    def after_the_cut(self) -> Path:
        """What a machine would find in the folder after losing power at this moment."""
        image = self._folder.with_name(f"{self._folder.name}-after")
        self._folder.rename(self._folder.with_name(f"{self._folder.name}-lost"))
        image.mkdir(mode=0o700)
        for inode, name in self._names():
            kept = self._shadow / inode
            if name not in (".", "..") and not name.endswith("-shm"):
                (image / name).write_bytes(kept.read_bytes() if kept.exists() else b"")
        return image

    def _names(self) -> Iterator[tuple[str, str]]:
        names = self._shadow / "names"
        for line in names.read_text().splitlines() if names.exists() else ():
            inode, _, name = line.partition(" ")
            yield inode, name


def break_disk(desk: Desk, folder: Path, library: Path, at: int, error: int) -> None:
    """From the ``at``-th write or sync on, every one in the folder fails with ``error``."""
    desk.environment |= {
        "LD_PRELOAD": str(library),
        "DISK_FOLDER": str(folder),
        "DISK_FAILS_AT": str(at),
        "DISK_ERROR": str(error),
    }


def repair_disk(desk: Desk) -> None:
    """Make it a normal disk again."""
    for name in ("LD_PRELOAD", "DISK_FOLDER", "DISK_SHADOW", "DISK_FAILS_AT", "DISK_ERROR"):
        desk.environment.pop(name, None)
