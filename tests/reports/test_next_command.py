"""The command to go on with: what a person should type after each end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from bulk_unenroll.errors import Next
from bulk_unenroll.exits import PRECEDENCE, Exit, ExitCode
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import State, Target
from bulk_unenroll.reports.next_command import after_fixing, again, next_command, rerun

FIX = Next("run", ("f/failed.csv",), {"target-id": "2001"})


def counted(**states: int) -> Counts:
    counts = Counts()
    for name, number in states.items():
        counts.states[State(name)] = number
    return counts


class TestNextCommand:
    def test_nothing_is_left_to_do(self) -> None:
        assert next_command("f", Exit(0), counted(), None, FIX, callable_=0) is None

    @pytest.mark.parametrize("code", [*PRECEDENCE, ExitCode.LEFT_OVER])
    def test_a_run_that_stopped_is_resumed(self, code: int) -> None:
        then = next_command("f", Exit(code), counted(pending=1), None, FIX, callable_=1)
        assert str(then) == "bulk-unenroll resume f"

    def test_doubts_that_resume_would_not_send_are_for_a_person(self) -> None:
        then = next_command("f", Exit(3), counted(in_doubt=1), None, FIX, callable_=0)
        assert str(then) == "bulk-unenroll retry f --state in_doubt"

    def test_doubts_of_superseded_inputs_are_exported(self) -> None:
        then = next_command("f", Exit(3), counted(), None, FIX, callable_=0)
        assert str(then) == "bulk-unenroll export f --to in_doubt.csv --state in_doubt"

    @pytest.mark.parametrize(
        ("worst", "then"),
        [
            ((State.FAILED, "310011"), "bulk-unenroll retry f --code 310011"),
            ((State.BLOCKED, "310018"), "bulk-unenroll retry f --code 310018"),
            ((State.REVIEW, "no_data"), "bulk-unenroll retry f --state review --code no_data"),
            (None, "bulk-unenroll run f/failed.csv --target-id 2001"),
        ],
    )
    def test_what_failed_is_retried_by_its_most_frequent_code(
        self, worst: tuple[State, str] | None, then: str
    ) -> None:
        assert str(next_command("f", Exit(1), counted(), worst, FIX, callable_=0)) == then


class TestRerun:
    def test_one_code_at_one_target(self) -> None:
        then = rerun("f", State.FAILED, "310011", Target(None, 1001, 2001))
        assert str(then) == "bulk-unenroll retry f --code 310011 --target 1001/2001"

    def test_in_the_sandbox_again(self) -> None:
        assert str(rerun("f", State.FAILED, "9", sandbox=True)).endswith("--code 9 --sandbox")

    @pytest.mark.parametrize("code", ["a b", "$(reboot)", "", None])
    def test_a_code_with_unusual_characters_is_left_out_of_the_command(
        self, code: str | None
    ) -> None:
        assert str(rerun("f", State.FAILED, code)) == "bulk-unenroll retry f --state failed"


class Readings:
    """A reader that knows how the sources with invalid rows were read."""

    def __init__(self, *readings: ReadSettings) -> None:
        self._readings = [reading.signature() for reading in readings]

    def failed_file(self) -> None:
        """It was not written yet."""

    def readings_of_invalid_rows(self, sources: Sequence[int]) -> list[str]:
        return self._readings


class TestAfterFixing:
    @pytest.mark.parametrize(
        ("readings", "options"),
        [
            ([ReadSettings()], ""),
            ([ReadSettings(delimiter=";")], ""),
            (
                [ReadSettings(columns=[("customerId", "Member No")], target_group_id=1)],
                " --column 'customerId=Member No' --target-group-id 1",
            ),
            (
                [ReadSettings(target_id=2, data_scope_org=3)],
                " --target-id 2 --data-scope-org 3",
            ),
            ([ReadSettings(target_id=2), ReadSettings(target_id=3)], ""),
            (
                [ReadSettings(target_id=2), ReadSettings(target_id=2, delimiter=";")],
                " --target-id 2",
            ),
            ([], ""),
        ],
    )
    def test_rows_are_read_again_with_the_options_that_find_their_ids(
        self, readings: list[ReadSettings], options: str
    ) -> None:
        """Unless they were read in different ways: what fits some may name others' ids."""
        reader = cast(LedgerReader, Readings(*readings))
        assert str(after_fixing(reader, "f", [1])) == f"bulk-unenroll run f/failed.csv{options}"


class TestNext:
    @pytest.mark.parametrize(
        ("folder", "quoted"),
        [("my files", "'my files'"), ("a;rm -rf b", "'a;rm -rf b'"), ("$HOME", "'$HOME'")],
    )
    def test_it_can_be_pasted_into_a_shell(self, folder: str, quoted: str) -> None:
        assert str(Next("resume", (folder,))) == f"bulk-unenroll resume {quoted}"

    def test_it_is_data_for_programs(self) -> None:
        then = Next("retry", ("f",), {"code": "310011"})
        assert (then.command, then.arguments, dict(then.options)) == (
            "retry",
            ("f",),
            {"code": "310011"},
        )

    def test_flags_and_the_program_alone(self) -> None:
        assert str(Next("", options={"help": True})) == "bulk-unenroll --help"
        assert str(Next("status", ("f",), {"follow": True, "json": False})) == (
            "bulk-unenroll status f --follow"
        )

    def test_again_keeps_the_sandbox(self) -> None:
        then = Next("resume", ("f",))
        assert str(again(then, sandbox=True)) == "bulk-unenroll resume f --sandbox"
        assert again(then, sandbox=False) == then
        assert again(None, sandbox=True) is None
