"""The log: structlog over the standard logger ``bulk_unenroll``, which the command line sets up.

A program that imports the package sees no output until it gives that logger a handler.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO, cast

import structlog

NAME: Final = "bulk_unenroll"
LEVELS: Final = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}

_logger: Final = logging.getLogger(NAME)
_logger.addHandler(logging.NullHandler())
_processors: Final[list[structlog.typing.Processor]] = [
    structlog.stdlib.filter_by_level,
    structlog.processors.LogfmtRenderer(key_order=["event"]),
]
"""Shared by all loggers of the package, so that ``set_up`` also changes those made before."""


class _Stderr:
    """The current ``sys.stderr``: a live display replaces it while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def get_logger() -> Any:
    """Return the package's logger. Its methods take the name of an event, and facts as keywords."""
    return structlog.wrap_logger(
        _logger, processors=_processors, wrapper_class=structlog.stdlib.BoundLogger
    )


def logs_calls() -> bool:
    """Return whether every single call is logged."""
    return _logger.isEnabledFor(logging.DEBUG)


def is_set_up() -> bool:
    """Return whether this process decided where its log goes."""
    return not _logger.propagate


def is_watched() -> bool:
    """Return whether somebody at a terminal reads the log, in words."""
    in_words = isinstance(_processors[-1], structlog.dev.ConsoleRenderer)
    to_stderr = any(isinstance(getattr(h, "stream", None), _Stderr) for h in _logger.handlers)
    return in_words and to_stderr and sys.stderr.isatty()


def set_up(
    *, json: bool, verbosity: int, file: TextIO | None = None, colours: bool = False
) -> None:
    """Log to ``file`` or stderr. ``verbosity``: -1 warnings only, 0 normal, 1 every call.

    Tracebacks never show local variables, which may hold credentials.
    """
    plain = structlog.dev.plain_traceback
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(0, colors=colours, exception_formatter=plain)]
    )
    # somebody who watches knows the day, and has 80 columns
    watched = not (json or file) and sys.stderr.isatty()
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if watched else "iso", utc=not watched),
        *renderers,
    ]
    handler = logging.StreamHandler(file or cast(TextIO, _Stderr()))
    handler.setFormatter(logging.Formatter("%(message)s"))
    _logger.handlers[:] = [handler]
    _logger.setLevel(LEVELS[max(-1, min(verbosity, 1))])
    _logger.propagate = False
