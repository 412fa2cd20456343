"""Accidents: what a kill leaves on disk, a full disk, a folder that cannot be written."""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_numbers = itertools.count(1)


def after_kill(folder: Path, name: str = "killed") -> Path:
    """A copy of ``folder`` as a kill at this moment would leave it: nothing was closed."""
    to = folder.with_name(f"{folder.name}-{name}-{next(_numbers)}")
    shutil.copytree(folder, to)
    return to


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file grows beyond ``most_bytes``: the system refuses such writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write into ``folder``, not even a superuser, whose privilege is laid down."""
    folder.chmod(0o500)
    try:
        with _without_privilege():
            yield
    finally:
        folder.chmod(0o700)


@contextmanager
def any_mask() -> Iterator[None]:
    """A user whose umask would let everyone read and write new files."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _without_privilege() -> Iterator[None]:
    """Lay down what lets a superuser's thread override permissions (capabilities(7))."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    libc.capget(header, before)
    libc.capget(header, without)
    without[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, effective
    if libc.capset(header, without):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, before)
