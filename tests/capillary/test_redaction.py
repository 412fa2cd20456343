"""What a server says is recorded without secrets, and can be read."""

from __future__ import annotations

import pytest

from bulk_unenroll.capillary.redaction import legible, recordable
from bulk_unenroll.capillary.verdicts import Settle
from bulk_unenroll.model import State


class TestRecordable:
    """What is recorded and shown of a server's text."""

    @staticmethod
    def redact(text: str | None) -> str | None:
        return text and text.replace("hunter2", "***")

    def test_secrets_are_redacted_in_code_and_message(self) -> None:
        verdict = recordable(Settle(State.REVIEW, "E-hunter2", "so hunter2!"), self.redact)
        assert verdict == Settle(State.REVIEW, "E-***", "so ***!")

    def test_a_secret_at_the_cut_is_redacted_too(self) -> None:
        long = Settle(State.REVIEW, "x" * 60 + "hunter2", "x" * 1996 + "hunter2")
        verdict = recordable(long, self.redact)
        assert verdict == Settle(State.REVIEW, "x" * 60 + "***", "x" * 1996 + "***")

    def test_a_code_of_the_table_is_never_redacted(self) -> None:
        verdict = recordable(Settle(State.FAILED, "310011", "m"), lambda text: "***")
        assert verdict == Settle(State.FAILED, "310011", "***")

    def test_a_verdict_without_code_and_message_is_unchanged(self) -> None:
        verdict = Settle(State.SUCCEEDED, None, None)
        assert recordable(verdict, self.redact) is verdict

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("\x1b[31mred", "\\x1b[31mred"),
            ("\x9b31m", "\\x9b31m"),
            ("a\x00b\rc\x7f", "a\\x00b\\rc\\x7f"),
            ("\udcff", "\\udcff"),
            ("two\nlines\tand 日本 é", "two\nlines\tand 日本 é"),
        ],
    )
    def test_control_characters_are_escaped(self, text: str, shown: str) -> None:
        assert legible(text, self.redact, 100) == shown
