"""What stands beside a word on a page: never the same sign for good and bad."""

from __future__ import annotations

import pytest

from bulk_unenroll.exits import EXIT_CODES, Exit
from bulk_unenroll.model import BAD, GOOD, State
from bulk_unenroll.reports.marks import MARKS, verdict_of


def test_every_state_of_a_row_has_a_mark_and_no_two_tones_share_a_sign() -> None:
    assert set(MARKS) == {*State, "invalid", "duplicate"} - {State.WITHDRAWN}
    tones: dict[str, str] = {}
    for mark in MARKS.values():
        assert tones.setdefault(mark.sign, mark.tone) == mark.tone
    assert {MARKS[state].tone for state in GOOD} == {"good"}
    assert {MARKS[state].tone for state in BAD} == {"bad", "warn"}


@pytest.mark.parametrize(
    ("code", "tone", "words"),
    [
        (0, "good", "All done"),
        (1, "warn", "Done, some rows need a look"),
        (3, "wait", "Not finished: rows are left or in doubt"),
        (69, "bad", "Stopped: the API fails too much"),
        (77, "bad", "Stopped: the credentials were refused"),
        (143, "wait", "Stopped by a signal"),
        (99, "bad", "Stopped: exit 99"),
    ],
)
def test_an_end_is_told_in_words(code: int, tone: str, words: str) -> None:
    verdict = verdict_of(Exit(code))
    assert (verdict.mark.tone, verdict.words) == (tone, words)


def test_every_exit_code_has_its_words() -> None:
    assert all("exit" not in verdict_of(Exit(code)).words for code in EXIT_CODES)
