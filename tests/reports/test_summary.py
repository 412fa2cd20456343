"""How a command ends: which exit code applies first, why, and what to do next."""

from __future__ import annotations

import itertools
import json

import pytest

from bulk_unenroll.errors import Next
from bulk_unenroll.exits import PRECEDENCE, Exit, ExitCode
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import State
from bulk_unenroll.reports.summary import Summary, conclude

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
    def test_the_order_is_that_of_the_interface(self) -> None:
        assert list(PRECEDENCE) == FIXED_ORDER

    @pytest.mark.parametrize(
        ("first", "then"), list(itertools.combinations([*FIXED_ORDER, ExitCode.LEFT_OVER], 2))
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

    def test_time_that_runs_out_as_the_last_row_ends_does_not_matter(self) -> None:
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
    def test_what_did_not_succeed_is_named(self, counts: Counts, reason: str) -> None:
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
    def test_all_succeeded_is_zero(self, counts: Counts) -> None:
        ended = conclude(counts, {}, 0)
        assert ended == Exit(0, f"all {counts.unique} customers/targets settled")


class TestJson:
    def summary(self) -> Summary:
        counts = counted(succeeded=975, failed=12, blocked=3, invalid=3, duplicate=7)
        counts.codes = {"310011": 12, "310018": 3}
        counts.attempts = 1002
        ended = conclude(counts, {}, 0)
        then = Next("retry", ("cleanup.unenroll",), {"code": "310011"})
        return Summary("cleanup.unenroll", ended, then, "...", counts, 12.3)

    def test_it_is_the_interface_s_sample(self) -> None:
        sample = json.loads(SAMPLE)
        sample["exit"]["reason"] = "12 rows failed, 3 rows blocked, 3 rows invalid"
        made = json.loads(json.dumps(self.summary().as_json()))
        added: dict[str, object] = {"alarms": [], "rehearsal": False, "advice": ""}
        assert made == sample | added
        assert list(made) == [*sample, *added]

    def test_withdrawn_counts_the_whole_folder(self) -> None:
        summary = self.summary()
        assert summary.counts is not None
        summary.counts.withdrawn = 4
        assert summary.as_json()["status"]["withdrawn"] == 4

    def test_a_command_refused_before_it_counted_still_shows_its_exit(self) -> None:
        made = Summary("f", Exit(65, "refused"), Next("run", ("f",))).as_json()
        assert made["exit"] == {"code": 65, "reason": "refused"}
        always = {"folder", "run_id", "exit", "seconds", "next", "alarms", "rehearsal", "advice"}
        assert set(made) == always

    def test_a_rehearsal_and_what_has_to_change_first_are_said(self) -> None:
        then = Next("resume", ("f",)).after("wait until the API answers")
        ended = Exit(69, "out of reach")
        made = Summary("f", ended, then, rehearsal=True, settings={"rate": "1/s"})
        said = made.as_json()
        assert said["rehearsal"] is True
        assert said["advice"] == "wait until the API answers"
        assert said["settings"] == {"rate": "1/s"}


class TestCounts:
    def test_rows_read_are_accounted_for(self) -> None:
        counts = counted(succeeded=3, pending=2, sending=1, in_doubt=4, invalid=5, duplicate=6)
        assert counts.read == counts.invalid + counts.duplicate + sum(counts.states.values())
        assert counts.duplicate == 6

    def test_left_is_what_is_not_settled(self) -> None:
        settled = {"succeeded": 1, "not_enrolled": 1, "failed": 1, "blocked": 1, "review": 1}
        assert counted(**settled).left == 0
        assert counted(pending=1, sending=2, in_doubt=4, **settled).left == 7
