"""The command to go on with: what a person should type after each end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from bulk_unenroll.errors import Next
from bulk_unenroll.exits import PRECEDENCE, Exit, ExitCode
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.ledger.facts import Source, WrittenFile
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import State, Target
from bulk_unenroll.reports.next_command import after_fixing, next_command, rerun

FIX = Next("run", ("f/failed.csv",), {}, "mend the invalid rows in f/failed.csv")


def counted(**states: int) -> Counts:
    counts = Counts()
    for name, number in states.items():
        counts.states[State(name)] = number
    return counts


def bad(state: State, code: str) -> Counts:
    counts = counted()
    counts.bad_codes[state, code] = 1
    return counts


def after(code: int, counts: Counts, callable_: int = 0, reason: str = "") -> Next | None:
    return next_command("f", Exit(code, reason), counts, FIX, callable_=callable_)


class TestNextCommand:
    def test_nothing_is_left_to_do(self) -> None:
        assert after(0, counted()) is None

    @pytest.mark.parametrize("code", [*PRECEDENCE[1:], ExitCode.LEFT_OVER])
    def test_a_run_that_stopped_is_resumed(self, code: int) -> None:
        assert str(after(code, counted(pending=1), 1)) == "bulk-unenroll resume f"

    def test_an_internal_error_is_not_repeated(self) -> None:
        assert str(after(70, counted(pending=1), 1)) == "bulk-unenroll verify f"

    @pytest.mark.parametrize(
        ("code", "reason", "change"),
        [
            (77, "401: token invalid", "credentials"),
            (78, "310144: connected orgs not set properly in headers", "correct"),
            (74, "the results could not be written", "room"),
            (69, "the API cannot be reached: refused", "wait until the API answers"),
            (69, "the API gives no usable answer: HTTP 500", "wait until the API answers"),
            (69, "the canary failed", "look at the codes"),
        ],
    )
    def test_what_must_change_before_a_halted_run_can_go_on_is_said(
        self, code: int, reason: str, change: str
    ) -> None:
        then = after(code, counted(pending=1), 1, reason)
        assert then is not None
        assert change in then.advice

    def test_after_a_canary_the_codes_say_what_to_change(self) -> None:
        then = after(69, bad(State.FAILED, "310011"), 1, "the canary failed")
        assert str(then) == "bulk-unenroll resume f"
        assert then is not None
        assert "check customerId" in then.advice
        then = after(69, bad(State.BLOCKED, "310018"), 1, "the canary failed")
        assert str(then) == str(FIX)

    @pytest.mark.parametrize("code", [3, 69])
    def test_doubts_that_resume_would_not_send_are_for_a_person(self, code: int) -> None:
        then = after(code, counted(in_doubt=1))
        assert str(then) == "bulk-unenroll retry f --state in_doubt"
        assert then is not None
        assert "look these customers up" in then.advice

    def test_doubts_of_superseded_inputs_are_exported(self) -> None:
        then = after(3, counted())
        assert str(then) == "bulk-unenroll export f --to in_doubt.csv --state in_doubt"

    @pytest.mark.parametrize(
        ("state", "code", "then", "change"),
        [
            (State.FAILED, "310011", "retry f --code 310011", "check customerId"),
            (State.FAILED, "http_429", "retry f --code http_429", "lower --rate"),
            (State.BLOCKED, "310018", "run f/failed.csv", "right targetId into f/failed.csv"),
            (State.BLOCKED, "310017", "run f/failed.csv", "right targetGroupId into"),
            (
                State.REVIEW,
                "no_data",
                "export f --to review.csv --state review --code no_data",
                "look these customers up",
            ),
        ],
    )
    def test_what_failed_is_called_again_only_where_that_can_help(
        self, state: State, code: str, then: str, change: str
    ) -> None:
        found = after(1, bad(state, code))
        assert str(found) == f"bulk-unenroll {then}"
        assert found is not None
        assert change in found.advice

    def test_invalid_rows_are_mended(self) -> None:
        assert after(1, counted()) == FIX


class TestRerun:
    def test_one_code_at_one_target(self) -> None:
        then = rerun("f", State.FAILED, "310011", FIX, Target(None, 1001, 2001))
        assert str(then) == "bulk-unenroll retry f --code 310011 --target 1001/2001"

    @pytest.mark.parametrize("code", ["a b", "$(reboot)", "", None])
    def test_a_code_with_unusual_characters_is_left_out_of_the_command(
        self, code: str | None
    ) -> None:
        assert str(rerun("f", State.FAILED, code, FIX)) == "bulk-unenroll retry f --state failed"

    def test_a_wrong_target_that_an_option_gave_is_not_given_again(self) -> None:
        fix = FIX.with_options(**{"target-id": "999999"})
        then = rerun("f", State.BLOCKED, "310018", fix)
        assert str(then) == "bulk-unenroll run f/failed.csv --target-id ID"
        assert then.advice == "give the right --target-id, not 999999"


class Readings:
    """A reader that knows how the sources were read."""

    def __init__(
        self, *readings: ReadSettings, rehearsal: bool = False, written: bool = True
    ) -> None:
        self._readings = [reading.signature() for reading in readings]
        self._rehearsal = rehearsal
        self._written = WrittenFile("failed.csv", "") if written else None

    def failed_file(self) -> WrittenFile | None:
        return self._written

    def readings(self, sources: Sequence[int]) -> list[str]:
        return self._readings

    def sources(self) -> list[Source]:
        return []

    def settings(self) -> dict[str, object]:
        return {"sandbox": self._rehearsal}

    def base_url(self) -> str | None:
        return None


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
            (
                [ReadSettings(target_id=2), ReadSettings(target_id=2, delimiter=";")],
                " --target-id 2",
            ),
        ],
    )
    def test_rows_are_read_again_with_the_options_that_find_their_ids(
        self, readings: list[ReadSettings], options: str
    ) -> None:
        reader = cast(LedgerReader, Readings(*readings))
        told = str(after_fixing(reader, "f"))
        assert told == f"bulk-unenroll run f/failed.csv{options}"
        rehearsal = cast(LedgerReader, Readings(*readings, rehearsal=True))
        assert str(after_fixing(rehearsal, "f")) == f"{told} --sandbox"

    def test_what_fits_some_rows_and_may_name_others_ids_is_not_proposed(self) -> None:
        readings = [ReadSettings(target_id=2), ReadSettings(target_id=3)]
        then = after_fixing(cast(LedgerReader, Readings(*readings)), "f")
        assert then.command == "export"
        assert "in the inputs" in then.advice

    def test_a_file_that_was_not_written_is_not_proposed(self) -> None:
        then = after_fixing(cast(LedgerReader, Readings(ReadSettings(), written=False)), "f")
        assert then.command == "export"


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
