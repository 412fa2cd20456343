"""Exit codes and states: one table each, and every text that repeats them is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulk_unenroll import errors
from bulk_unenroll.exits import EXIT_CODES, Exit, ExitCode, is_halt
from bulk_unenroll.model import STATES, State

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text("utf-8")
INTERFACE = (0, 1, 2, 3, 65, 66, 69, 70, 73, 74, 75, 77, 78, 130, 143)


def test_the_numbers_are_those_of_the_interface() -> None:
    assert tuple(ExitCode) == INTERFACE
    assert tuple(EXIT_CODES) == INTERFACE


@pytest.mark.parametrize("code", ExitCode)
def test_the_readme_says_what_the_table_says(code: ExitCode) -> None:
    means = EXIT_CODES[code]
    assert f"| {code.value} | {means.meaning} | {means.remedy} |" in README.splitlines()


@pytest.mark.parametrize("state", State)
def test_the_readme_says_what_each_state_means(state: State) -> None:
    assert f"| `{state}` | {STATES[state].meaning} |" in README.splitlines()


def test_only_ends_that_settled_what_they_could_are_no_halt() -> None:
    assert [code for code in ExitCode if not is_halt(code)] == [0, 1, 3]


def test_every_error_has_a_code_of_the_table() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.Stop)}
    assert codes <= set(INTERFACE)


class TestExit:
    def test_it_is_its_number(self) -> None:
        ended = Exit(1, "12 rows failed")
        assert ended == 1
        assert ended.code == 1
        assert ended.reason == "12 rows failed"
        assert not Exit(0)

    def test_another_reason_is_another_exit(self) -> None:
        assert Exit(1, "12 rows failed") != Exit(1, "13 rows failed")
