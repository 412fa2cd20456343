"""The command in the test's own process: most of what a new process costs is its start."""

from __future__ import annotations

import io
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Final, NoReturn
from unittest import mock

import pytest

from bulk_unenroll import log
from bulk_unenroll.cli.main import main
from tests.kit.command import Desk, Ended

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class InProcess(Desk):
    """A desk whose ``do`` starts no process. Sabotages by ``monkeypatch`` hold in it."""

    def do(self, *words: object, stdin: str | bytes | None = None, timeout_s: float = 60) -> Ended:
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        out, err = _stream(), _stream()
        code = 0
        with self._place([str(word) for word in words], given), _kept(), _at_most(timeout_s):
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    main()
            except SystemExit as end:
                code = int(end.code or 0)
        ended = Ended(code, _text(out), _text(err))
        assert "Traceback" not in ended.err, ended.err
        return ended

    @contextmanager
    def _place(self, words: list[str], stdin: bytes) -> Iterator[None]:
        with (
            chdir(self.folder),
            mock.patch.dict("os.environ", self.environment, clear=True),
            mock.patch.object(sys, "argv", ["bulk-unenroll", *words]),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        ):
            yield


EITHER: Final = [
    pytest.param(InProcess, id="in process"),
    pytest.param(Desk, id="processes", marks=pytest.mark.thorough),
]
"""The desks of a test that is marked ``in_process``.

Not for what a process has of its own: signals, limits, a terminal, the encoding of its streams.
"""


@contextmanager
def _kept() -> Iterator[None]:
    """Put back what a command changes in its process: signal handlers, the log."""
    handlers = [signal.getsignal(number) for number in SIGNALS]
    logger = logging.getLogger(log.NAME)
    logging_to, processors = logger.handlers[:], log._processors[:]
    level, propagate = logger.level, logger.propagate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in a process of its own
            yield
    finally:
        for number, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
        for added in set(logger.handlers) - set(logging_to):
            if isinstance(added, logging.StreamHandler) and isinstance(added.stream, io.IOBase):
                added.stream.close()
        logger.handlers[:], log._processors[:] = logging_to, processors
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"the command took more than {seconds} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode()
