"""structlog, set up once: to stderr, for people on a terminal and as JSON elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO, cast

import structlog

LEVELS = {-1: 30, 0: 20, 1: 10}


class _Stderr:
    """``sys.stderr`` as it is at the moment: a live display puts itself in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def set_up(
    *, json: bool, verbosity: int, file: TextIO | None = None, colours: bool = False
) -> None:
    """Log to ``file`` or stderr. ``verbosity``: -1 warnings only, 0 what happens, 1 every call.

    Tracebacks never show local variables: these hold credentials.
    """
    plain = structlog.dev.plain_traceback
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[max(-1, min(verbosity, 1))]),
        logger_factory=structlog.WriteLoggerFactory(file or cast(TextIO, _Stderr())),
        cache_logger_on_first_use=False,
    )
