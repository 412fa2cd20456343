"""The command in the test's own process: twenty times as fast as a new one, and as real inside."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from unittest import mock

import pytest

from bulk_unenroll.cli.main import main
from tests.kit.command import Desk, Ended

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InProcess(Desk):
    """A desk whose commands start no process. Sabotages by ``monkeypatch`` hold in it."""

    def do(self, *words: object, stdin: str | bytes | None = None, timeout_s: float = 60) -> Ended:
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        out, err = _stream(), _stream()
        code = 0
        with self._place([str(word) for word in words], given):
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
        handlers = [signal.getsignal(number) for number in SIGNALS]
        try:
            with (
                chdir(self.folder),
                mock.patch.dict("os.environ", self.environment, clear=True),
                mock.patch.object(sys, "argv", ["bulk-unenroll", *words]),
                mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
            ):
                yield
        finally:
            for number, handler in zip(SIGNALS, handlers, strict=True):
                signal.signal(number, handler)


def treat_all_as_large(patch: pytest.MonkeyPatch) -> None:
    """From here on small files are read by columns and loaded in bulk, as large ones are."""
    patch.setattr("bulk_unenroll.inputs.formats.csv_reader.TABLE_FROM_CHARS", 0)
    patch.setattr("bulk_unenroll.ledger.sqlite.loading.BULK_FROM_ROWS", 1)
    patch.setattr("bulk_unenroll.ledger.sqlite.loading.COMMIT_ROWS", 1)


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode()
