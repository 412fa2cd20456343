"""Alarms: a wrong order is seen before anybody is called, and stops until a person lets it pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bulk_unenroll.reports.alarms.raising import NAMES
from tests.kit.command import Desk, Witness
from tests.kit.terminal import talk

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
Row = tuple[object, object, object]


def rows(customers: Sequence[int], group: int = 1001, target: int = 2001) -> list[Row]:
    return [(who, group, target) for who in customers]


PHONES = rows(range(919_800_000_000, 919_900_000_000, 2_543_217))
WRONG: dict[str, Sequence[Row]] = {
    "phones": PHONES,
    "swapped": [(420_000_000 + 7919 * who, 2000 + who % 5, 1001) for who in range(50)],
}
"""Files that are wrong, by the alarm they raise."""


def raised(found: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(alarm["name"], alarm["allowed"]) for alarm in found["alarms"]]


@pytest.mark.parametrize("name", WRONG)
class TestEachAlarm:
    def test_the_plan_shows_it_first(self, desk: Desk, name: str) -> None:
        desk.write("a.csv", WRONG[name])
        planned = desk.do("plan", "a.csv")
        where, alarm, *_ = planned.out.splitlines()
        assert where == "no destination given, org SELF"
        assert alarm.startswith(f"ALARM {name}: ")
        assert planned.code == 0

    def test_it_stops_a_run_that_asks_nobody(self, desk: Desk, witness: Start, name: str) -> None:
        api = witness()
        desk.write("a.csv", WRONG[name])
        ended = desk.do("run", "a.csv", *FAST, "--json", "-q")
        assert (ended.code, api.seen()) == (65, [])
        assert raised(ended.json) == [(name, False)]
        assert f"alarm {name}: " in ended.last_lines[0]
        assert f"--allow {name}" in ended.last_lines[0]
        assert "--allow" not in ended.last_lines[1]
        # and nothing can be sent later
        assert desk.do("resume", "a.unenroll").code == 2

    def test_a_run_that_allows_it_sends_and_keeps_it(
        self, desk: Desk, witness: Start, name: str
    ) -> None:
        api = witness()
        desk.write("a.csv", WRONG[name])
        more = ("--allow", name, "--first-time", "go")
        ended = desk.do("run", "a.csv", *FAST, "--json", *more)
        assert ended.code == 0, ended.err
        assert len(api.seen()) == len(WRONG[name])
        assert raised(ended.json) == [(name, True)]
        assert raised(desk.do("status", "a.unenroll", "--json").json) == [(name, True)]

    def test_it_is_shown_to_who_wants_quiet(self, desk: Desk, witness: Start, name: str) -> None:
        witness()
        desk.write("a.csv", WRONG[name])
        assert (
            f"ALARM {name}, allowed: " in desk.do("run", "a.csv", *FAST, "-q", "--allow", name).out
        )


class TestAtATerminal:
    def talk(self, desk: Desk, typed: str) -> tuple[int, str]:
        desk.write("a.csv", PHONES)
        words = ("run", "a.csv", "--rate", "2000/s")
        return talk(desk, words, ("type its name", typed))

    def test_the_name_is_typed_in_place_of_the_number(self, desk: Desk, witness: Start) -> None:
        api = witness()
        code, said = self.talk(desk, "phones")
        assert code == 0, said
        assert len(api.seen()) == 40
        assert raised(desk.do("status", "a.unenroll", "--json").json) == [("phones", True)]

    @pytest.mark.parametrize("typed", ["40", "yes", "", "PHONES"])
    def test_anything_else_sends_nothing(self, desk: Desk, witness: Start, typed: str) -> None:
        api = witness()
        code, said = self.talk(desk, typed)
        assert (code, api.seen()) == (2, []), said


class TestNoAlarm:
    def test_another_alarm_than_the_allowed_one_still_stops(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", PHONES)
        assert desk.do("run", "a.csv", *FAST, "--allow", "swapped").code == 65
        assert api.seen() == []

    def test_shares_of_a_few_customers_say_nothing(self, desk: Desk) -> None:
        desk.write("a.csv", PHONES[:19])
        assert desk.do("plan", "a.csv", "--json").json["alarms"] == []

    def test_nothing_to_call_is_nothing_to_refuse(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", PHONES)
        desk.do("run", "a.csv", *FAST, "--allow", "phones")
        assert desk.do("run", "a.csv", *FAST).code == 0

    def test_a_name_that_is_none_is_refused(self, desk: Desk) -> None:
        desk.write("a.csv", PHONES)
        ended = desk.do("run", "a.csv", "--allow", "fones")
        assert ended.code == 2
        for name in NAMES:
            assert name in ended.err


class TestFarMoreRows:
    """Compared with the last confirmed content of the same path."""

    def test_far_more_than_last_time(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", rows(range(423_000_000, 423_000_100, 7)))
        assert desk.do("run", "a.csv", *FAST).code == 0
        desk.write("a.csv", rows(range(423_000_000, 423_001_000, 7)))
        ended = desk.do("run", "a.csv", *FAST, "--json")
        assert (ended.code, raised(ended.json)) == (65, [("more-rows", False)])
        assert len(api.seen()) == 15

    def test_what_was_only_planned_does_not_count(self, desk: Desk) -> None:
        desk.write("a.csv", rows(range(423_000_000, 423_000_100, 7)))
        desk.do("plan", "a.csv")
        desk.write("a.csv", rows(range(423_000_000, 423_001_000, 7)))
        assert desk.do("plan", "a.csv", "--json").json["alarms"] == []


class TestWhatIsLeftToCall:
    """A wrong list does not hide behind the rows of the same file that were called before."""

    DONE = rows(range(423_000_000, 423_001_400, 7))

    @pytest.fixture
    def done(self, desk: Desk, witness: Start) -> Witness:
        api = witness()
        desk.write("a.csv", self.DONE)
        assert desk.do("run", "a.csv", *FAST).code == 0
        return api

    @pytest.mark.parametrize(
        ("name", "added"),
        [
            ("phones", PHONES),
            ("own-targets", [(423_500_000 + 7 * n, 1001, 88_001 + 13 * n) for n in range(40)]),
            ("swapped", [(423_500_000 + 7 * n, 2001 + n % 3, 1001) for n in range(40)]),
            ("in-sequence", rows(range(700_001, 700_041))),
        ],
    )
    def test_it_alone_is_weighed(
        self, desk: Desk, done: Witness, name: str, added: Sequence[Row]
    ) -> None:
        also = rows(range(423_000_000, 423_000_700, 7), 1001, 2002)
        desk.write("a.csv", [*self.DONE, *also])
        assert desk.do("run", "a.csv", *FAST).code == 0
        desk.write("a.csv", [*self.DONE, *also, *added])
        ended = desk.do("run", "a.csv", *FAST, "--json")
        assert (ended.code, raised(ended.json)) == (65, [(name, False)])
        assert len(done.seen()) == 300

    def test_its_text_says_so(self, desk: Desk, done: Witness) -> None:
        desk.write("a.csv", [*self.DONE, *PHONES])
        (alarm,) = desk.do("plan", "a.csv", "--json").json["alarms"]
        assert alarm["text"].startswith("40 of 40 customer ids that would be called have 10 to 12")

    def test_an_old_list_within_it(self, desk: Desk, done: Witness) -> None:
        old = rows(range(424_000_000, 424_000_280, 7))
        desk.write("old.csv", old)
        assert desk.do("run", "old.csv", *FAST).code == 0
        desk.write("a.csv", [*self.DONE, *old])
        assert raised(desk.do("plan", "a.csv", "--json").json) == [("again", False)]

    def test_what_was_let_pass_once_is_not_asked_again(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", PHONES)
        assert desk.do("run", "a.csv", *FAST, "--allow", "phones").code == 0
        desk.write("a.csv", [*PHONES, *self.DONE[:30]])
        assert desk.do("run", "a.csv", *FAST).code == 0
        assert len(api.seen()) == 70

    @pytest.mark.parametrize("number", [3, 30])
    def test_a_good_day_after_a_good_day(self, desk: Desk, done: Witness, number: int) -> None:
        new = [(425_000_000 + 7 * n, 1001, 2001 + 17 * (n % 3)) for n in range(number)]
        desk.write("a.csv", [*self.DONE, *new])
        assert desk.do("plan", "a.csv", "--json").json["alarms"] == []


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("phones", range(919_800_000_000, 919_900_000_000, 2_543_217)),
        ("rounded", range(423_000_000, 423_040_000, 1000)),
    ],
)
def test_a_never_list_of_what_are_no_customers(
    desk: Desk, witness: Start, name: str, listed: Sequence[int]
) -> None:
    """It would protect nobody."""
    api = witness()
    desk.write("a.csv", rows(range(423_000_000, 423_000_700, 7)))
    desk.write("vips.csv", [(who,) for who in listed], "customerId")
    ended = desk.do("run", "a.csv", *FAST, "--never", "vips.csv", "--json")
    assert (ended.code, raised(ended.json)) == (65, [(name, False)])
    assert "of the never-list vips.csv" in ended.json["alarms"][0]["text"]
    assert api.seen() == []


class TestDestination:
    def test_a_plan_says_where_its_calls_would_go(self, desk: Desk) -> None:
        desk.write("a.csv", rows([7]))
        url = "https://eu.api.example.com/v3.1/"
        planned = desk.do("plan", "a.csv", "--base-url", url, "--data-scope-org", 12)
        assert planned.out.startswith("to eu.api.example.com/v3.1, org 12\n")
        desk.environment |= {
            "BULK_UNENROLL_BASE_URL": url,
            "BULK_UNENROLL_USERNAME": "till.ops",
            "BULK_UNENROLL_PASSWORD": "never-shown",
        }
        planned = desk.do("plan", "a.csv")
        assert planned.out.startswith("to eu.api.example.com/v3.1 as till.ops, org SELF\n")
        assert "never-shown" not in planned.out + planned.err

    def test_several_orgs(self, desk: Desk) -> None:
        header = ("orgId", "customerId", "targetGroupId", "targetId")
        desk.write("a.csv", [(org, 7, 1, 2) for org in ("SELF", 3, 5, 8, 13)], *header)
        assert desk.do("plan", "a.csv").out.startswith(
            "no destination given, orgs SELF, 3, 5, 2 more\n"
        )

    def test_a_rehearsal_says_so(self, desk: Desk) -> None:
        desk.write("a.csv", rows([7]))
        ended = desk.do("run", "a.csv", "--sandbox", *FAST)
        assert ended.out.startswith("REHEARSAL: to the sandbox on this machine, org SELF\n")
