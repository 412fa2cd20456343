"""Sets up the log as the options of a command say."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bulk_unenroll import log, streams
from bulk_unenroll.errors import UsageError


def set_up_log(given: Mapping[str, Any]) -> None:
    """Log as the options ``given`` say, as far as they are there; raises ``UsageError``."""
    path: Path | None = given.get("log_file")
    try:
        file = streams.open_to_append(path) if path else None
    except OSError as error:
        raise UsageError(f"cannot write the log to {path}: {error.strerror}") from None
    terminal = sys.stderr.isatty() and not file
    log.set_up(
        json=is_json(given),
        verbosity=int(given.get("verbose", False)) - int(given.get("quiet", False)),
        file=file,
        colours=terminal and "NO_COLOR" not in os.environ,
    )


def is_json(given: Mapping[str, Any]) -> bool:
    """Whether the log is made of JSON lines: not on a terminal, unless an option says otherwise."""
    terminal = sys.stderr.isatty() and not given.get("log_file")
    return bool((given.get("log_format") or ("console" if terminal else "json")) == "json")
