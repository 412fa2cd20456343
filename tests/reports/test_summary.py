"""How a command ends: which exit code applies first, why, and what to do next."""

from __future__ import annotations

import itertools
import json

import pytest

from bulk_unenroll.errors import (
    EXIT_API_FAILS,
    EXIT_CONFIG,
    EXIT_CREDENTIALS,
    EXIT_FINISHED,
    EXIT_INTERNAL,
    EXIT_LEDGER,
    EXIT_LEFT_OVER,
    EXIT_ROWS_FAILED,
    EXIT_SIGINT,
    EXIT_SIGTERM,
)
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State
from bulk_unenroll.reports.next_command import command, next_command
from bulk_unenroll.reports.summary import Exit, Summary, conclude

FIXED_ORDER = [70, 74, 78, 77, 69, 130, 143]
SAMPLE = """
{"folder": "cleanup.unenroll", "run_id": "...", "exit": {"code": 1, "reason": "12 rows failed"},
 "rows": {"read": 1000, "invalid": 3, "duplicate": 7, "unique": 990},
 "status": {"pending": 0, "sending": 0, "succeeded": 975, "not_enrolled": 0, "failed": 12,
            "blocked": 3, "review": 0, "in_doubt": 0, "withdrawn": 0},
 "codes": {"310011": 12, "310018": 3}, "attempts": 1002, "warnings": {"data_mismatch": 0},
 "seconds": 12.3, "next": "bulk-unenroll retry cleanup.unenroll --code 310011"}
"""


def counted(*, invalid: int = 0, duplicate: int = 0, **states: int) -> Counts:
    unique = sum(states.values())
    counts = Counts(read=unique + invalid + duplicate, invalid=invalid, unique=unique)
    for name, number in states.items():
        counts.states[State(name)] = number
    return counts


class TestConclude:
    def test_the_numbers_are_those_of_the_interface(self) -> None:
        named = [EXIT_INTERNAL, EXIT_LEDGER, EXIT_CONFIG, EXIT_CREDENTIALS, EXIT_API_FAILS]
        assert [*named, EXIT_SIGINT, EXIT_SIGTERM] == FIXED_ORDER
        assert (EXIT_LEFT_OVER, EXIT_ROWS_FAILED, EXIT_FINISHED) == (3, 1, 0)

    @pytest.mark.parametrize(
        ("first", "then"), list(itertools.combinations([*FIXED_ORDER, EXIT_LEFT_OVER], 2))
    )
    def test_the_first_in_the_fixed_order_applies(self, first: int, then: int) -> None:
        endings = {then: "less grave", first: "grave"}
        counts = counted(pending=5, failed=2, in_doubt=1, invalid=1)
        assert conclude(counts, endings, 1) == Exit(first, "grave")

    @pytest.mark.parametrize("code", FIXED_ORDER)
    def test_each_applies_also_when_nothing_is_left(self, code: int) -> None:
        assert conclude(counted(succeeded=3), {code: "why"}, 0) == Exit(code, "why")

    @pytest.mark.parametrize(
        ("counts", "endings", "doubts", "expected"),
        [
            (counted(pending=1), {}, 0, Exit(3, "1 row left")),
            (counted(pending=2, succeeded=9), {}, 0, Exit(3, "2 rows left")),
            (counted(pending=2), {3: "time is up"}, 0, Exit(3, "time is up, 2 rows left")),
            (counted(in_doubt=1), {}, 1, Exit(3, "1 row in doubt")),
            (counted(in_doubt=2), {}, 3, Exit(3, "3 rows in doubt")),
            (counted(pending=4, in_doubt=2), {}, 2, Exit(3, "4 rows left, 2 rows in doubt")),
            (counted(sending=1), {}, 0, Exit(3, "1 row left")),
            (counted(pending=1, failed=5, invalid=5), {}, 0, Exit(3, "1 row left")),
        ],
    )
    def test_what_is_left_comes_before_what_failed(
        self, counts: Counts, endings: dict[int, str], doubts: int, expected: Exit
    ) -> None:
        assert conclude(counts, endings, doubts) == expected

    def test_doubts_of_superseded_sources_are_not_forgotten(self) -> None:
        assert conclude(counted(succeeded=5), {}, 2) == Exit(3, "2 rows in doubt")

    def test_time_that_ran_out_as_the_last_row_ended_does_not_matter(self) -> None:
        assert conclude(counted(succeeded=5), {3: "time is up"}, 0).code == 0

    @pytest.mark.parametrize(
        ("counts", "reason"),
        [
            (counted(failed=12), "12 rows failed"),
            (counted(blocked=1, succeeded=5), "1 row blocked"),
            (counted(review=2), "2 rows review"),
            (counted(succeeded=2, invalid=1), "1 row invalid"),
            (
                counted(failed=1, blocked=2, review=3, invalid=4),
                "1 row failed, 2 rows blocked, 3 rows review, 4 rows invalid",
            ),
        ],
    )
    def test_what_did_not_end_well_is_named(self, counts: Counts, reason: str) -> None:
        assert conclude(counts, {}, 0) == Exit(1, reason)

    @pytest.mark.parametrize(
        "counts",
        [
            counted(),
            counted(succeeded=5),
            counted(not_enrolled=5),
            counted(succeeded=5, not_enrolled=2, duplicate=9),
        ],
    )
    def test_all_settled_well_is_zero(self, counts: Counts) -> None:
        ended = conclude(counts, {}, 0)
        assert ended == Exit(0, f"all {counts.unique} customers/targets settled")


MEND = "bulk-unenroll run f/failed.csv --target-id 2001"


class TestNextCommand:
    def test_nothing_is_left_to_do(self) -> None:
        assert next_command("f", Exit(0, ""), counted(), None, MEND, callable_=0) == ""

    @pytest.mark.parametrize("code", [*FIXED_ORDER, 3])
    def test_a_run_that_stopped_is_resumed(self, code: int) -> None:
        then = next_command("f", Exit(code, ""), counted(pending=1), None, MEND, callable_=1)
        assert then == "bulk-unenroll resume f"

    def test_doubts_that_resume_would_not_send_are_for_a_person(self) -> None:
        then = next_command("f", Exit(3, ""), counted(in_doubt=1), None, MEND, callable_=0)
        assert then == "bulk-unenroll retry f --state in_doubt"

    @pytest.mark.parametrize(
        ("worst", "then"),
        [
            ((State.FAILED, "310011"), "bulk-unenroll retry f --code 310011"),
            ((State.BLOCKED, "310018"), "bulk-unenroll retry f --code 310018"),
            ((State.REVIEW, "no_data"), "bulk-unenroll retry f --state review --code no_data"),
            (None, MEND),
        ],
    )
    def test_what_failed_is_retried_by_its_most_frequent_code(
        self, worst: tuple[State, str] | None, then: str
    ) -> None:
        assert next_command("f", Exit(1, ""), counted(), worst, MEND, callable_=0) == then

    @pytest.mark.parametrize(
        ("folder", "quoted"),
        [("my files", "'my files'"), ("a;rm -rf b", "'a;rm -rf b'"), ("$HOME", "'$HOME'")],
    )
    def test_it_can_be_pasted_into_a_shell(self, folder: str, quoted: str) -> None:
        assert command("resume", folder) == f"bulk-unenroll resume {quoted}"
        then = next_command(folder, Exit(3, ""), counted(), None, MEND, callable_=1)
        assert then == f"bulk-unenroll resume {quoted}"


class TestJson:
    def outcome(self) -> Summary:
        counts = counted(succeeded=975, failed=12, blocked=3, invalid=3, duplicate=7)
        counts.codes = {"310011": 12, "310018": 3}
        counts.attempts = 1002
        ended = conclude(counts, {}, 0)
        then = next_command(
            "cleanup.unenroll", ended, counts, (State.FAILED, "310011"), MEND, callable_=0
        )
        return Summary("cleanup.unenroll", ended, then, "...", counts, 12.3)

    def test_it_is_the_interface_s_sample(self) -> None:
        sample = json.loads(SAMPLE)
        sample["exit"]["reason"] = "12 rows failed, 3 rows blocked, 3 rows invalid"
        made = json.loads(json.dumps(self.outcome().as_json()))
        assert made == sample
        assert list(made) == list(sample)

    def test_withdrawn_counts_the_whole_folder(self) -> None:
        outcome = self.outcome()
        assert outcome.counts is not None
        outcome.counts.withdrawn = 4
        assert outcome.as_json()["status"]["withdrawn"] == 4

    def test_a_command_refused_before_it_counted_has_its_exit_at_least(self) -> None:
        made = Summary("f", Exit(65, "refused"), "bulk-unenroll run f").as_json()
        assert made["exit"] == {"code": 65, "reason": "refused"}
        assert set(made) == {"folder", "run_id", "exit", "seconds", "next"}


class TestCounts:
    def test_rows_read_are_accounted_for(self) -> None:
        counts = counted(succeeded=3, pending=2, sending=1, in_doubt=4, invalid=5, duplicate=6)
        assert counts.read == counts.invalid + counts.duplicate + sum(counts.states.values())
        assert counts.duplicate == 6

    def test_left_is_what_is_not_settled(self) -> None:
        settled = {"succeeded": 1, "not_enrolled": 1, "failed": 1, "blocked": 1, "review": 1}
        assert counted(**settled).left == 0
        assert counted(pending=1, sending=2, in_doubt=4, **settled).left == 7
