"""Figures into ``docs/benchmarks.md`` and ``README.md``: each between marks, the rest untouched."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tests.kit.command import REPO

PAGE: Final = REPO / "docs" / "benchmarks.md"
README: Final = REPO / "README.md"
LIBRARIES: Final = ("aiohttp", "uvloop", "orjson", "requests")


def write_section(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks ``<!-- name -->`` and ``<!-- end of name -->``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page = path.read_text("utf-8")
    if not pattern.search(page):
        raise LookupError(f"{path.name} has no place for {name}")
    path.write_text(pattern.sub(lambda _: f"{begin}\n{text}{end}", page), "utf-8")


def circumstances() -> str:
    """Where figures come from: no names of machines."""
    libraries = ", ".join(filter(None, map(_version, LIBRARIES)))
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({platform.machine()}), Python {platform.python_version()}, {libraries}"


def _version(library: str) -> str | None:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return None
