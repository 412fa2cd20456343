"""Words for what is wrong with the user's state folder."""

from __future__ import annotations

from pathlib import Path


def trouble_with(folder: Path, error: Exception) -> str:
    """What is wrong with a file in ``folder``."""
    said = error.strerror if isinstance(error, OSError) else None
    return f"{folder}: {said or error}"
