"""Good days: honest orders go through without any ``--allow``, limit or switch of a guard.

Where nobody was ever taken out of a target, the first calls are looked at and ``resume`` goes on;
that is asked once.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable

import pytest

from tests.kit.command import Desk, Ended, Witness, people
from tests.kit.in_process import InProcess

Start = Callable[..., Witness]
HEADER = "customerId,targetGroupId,targetId\n"
FAST = ("--rate", "2000/s", "--yes", "--json")
PROMISE = "an honest order is carried out, without an override; at most the first time is asked"


class Day:
    """A desk and an API on which all who are meant are enrolled."""

    def __init__(self, desk: Desk, api: Witness) -> None:
        self.desk = desk
        self.api = api
        self.meant: set[tuple[int, int, int]] = set()
        self.held = 0

    def write(self, name: str, who: Iterable[int], group: int = 1001, target: int = 2001) -> str:
        who = list(who)
        self.meant |= {(one, group, target) for one in who}
        path = self.desk.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + "".join(f"{one},{group},{target}\n" for one in who))
        return name

    def run(self, *words: object) -> Ended:
        """Run without an override, and go on where the first time is asked about."""
        ended = self.desk.do("run", *words, *FAST)
        assert ended.json["alarms"] == []
        if ended.code == 3 and "first time" in ended.json["exit"]["reason"]:
            self.held += 1
            ended = self.desk.do("resume", ended.json["folder"], "--yes", "--json")
        assert ended.code == 0, ended.err
        return ended

    def taken(self) -> set[tuple[int, int, int]]:
        return {(one["customer"], one["group"], one["target"]) for one in self.api.ask("book")}


def long_real_ids(day: Day) -> None:
    dice = random.Random(7)
    ids = sorted({dice.randrange(10**17, 9 * 10**17) for _ in range(400)})
    day.run(day.write("a.csv", ids))


def small_files(day: Day) -> None:
    for number in (1, 2, 7, 19):
        day.run(day.write(f"{number}.csv", people(number, before=1000 * number), 7700, 7701))


def ids_of_ten_digits(day: Day) -> None:
    day.run(day.write("a.csv", [9_180_000_007 + 41 * n for n in range(300)]))


def a_nightly_file_that_grows(day: Day) -> None:
    for night in range(1, 6):
        day.run(day.write("nightly.csv", people(100 + 30 * night)))


def a_nightly_file_of_new_customers(day: Day) -> None:
    for night in range(5):
        name = day.write("drop.csv", people(80 + 17 * night % 40, before=1000 * night))
        day.run(name, "--out", f"night-{night}.unenroll")


def a_rerun(day: Day) -> None:
    day.run(day.write("a.csv", people(200)))
    again = day.run("a.csv")
    assert "0 to call" in again.err or again.json["attempts"] == 200


def a_run_that_was_stopped_halfway(day: Day) -> None:
    name = day.write("a.csv", people(200))
    stopped = day.desk.do("run", name, *FAST, "--limit", "90")
    assert stopped.code == 3
    assert day.desk.do("resume", "a.unenroll", "--yes").code == 0


def a_second_target_of_a_known_group(day: Day) -> None:
    day.run(day.write("first.csv", people(200), 6600, 6601))
    day.run(day.write("second.csv", people(200), 6600, 6602))
    day.run(day.write("third.csv", people(90, before=5000), 6600, 6602))
    assert day.held == 2, "each target is asked about once"


def a_huge_first_load(day: Day) -> None:
    day.run(day.write("all.csv", people(4_000), 5500, 5501))
    assert day.held == 1


def many_targets_in_one_file(day: Day) -> None:
    rows = [(who, 1001, 2001 + n % 7) for n, who in enumerate(people(300))]
    day.meant |= set(rows)
    day.desk.write("a.csv", rows)
    day.run("a.csv")


def customers_with_some_who_left_before(day: Day) -> None:
    gone = people(200)[::5]
    rule = {"customers": list(gone), "code": 310149}
    day.api.ask("teach", {"rules": [rule]})
    day.run(day.write("a.csv", people(200)))
    day.meant -= {(who, 1001, 2001) for who in gone}


def a_rehearsal_before_the_real_run(day: Day) -> None:
    name = day.write("a.csv", people(120))
    assert day.desk.do("run", name, *FAST, "--sandbox").code == 0
    assert not day.taken()
    planned = day.desk.do("plan", name, "--json").json
    day.run(name, "--plan", planned["plan_id"])


def the_same_people_every_month_in_another_target(day: Day) -> None:
    for month in range(3):
        day.run(day.write(f"month-{month}.csv", people(150), 1001, 2001 + month))


def parts_in_a_folder(day: Day) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for part in range(4):
        who = people(60, before=100 * part)
        day.meant |= {(one, 1001, 2001) for one in who}
        (day.desk.folder / "drop").mkdir(exist_ok=True)
        columns = {"customerId": list(who), "targetGroupId": [1001] * 60, "targetId": [2001] * 60}
        parquet.write_table(pa.table(columns), day.desk.folder / f"drop/part-{part}.parquet")
    day.run("drop")


def a_copy_that_was_only_planned(day: Day) -> None:
    name = day.write("a.csv", people(120))
    day.desk.do("plan", name)
    shutil.copy(day.desk.folder / name, day.desk.folder / "b.csv")
    day.run("b.csv")


DAYS = (
    long_real_ids,
    small_files,
    ids_of_ten_digits,
    a_nightly_file_that_grows,
    a_nightly_file_of_new_customers,
    a_rerun,
    a_run_that_was_stopped_halfway,
    a_second_target_of_a_known_group,
    a_huge_first_load,
    many_targets_in_one_file,
    customers_with_some_who_left_before,
    a_rehearsal_before_the_real_run,
    the_same_people_every_month_in_another_target,
    parts_in_a_folder,
    a_copy_that_was_only_planned,
)


QUICK = (long_real_ids, a_rerun, a_second_target_of_a_known_group)


@pytest.mark.parametrize(
    "good",
    [pytest.param(day, marks=() if day in QUICK else pytest.mark.thorough) for day in DAYS],
    ids=lambda day: day.__name__,
)
@pytest.mark.attack("good days", PROMISE)
def test_a_good_day_passes(
    desk: Desk, witness: Start, good: Callable[[Day], None], proof: Callable[..., None]
) -> None:
    inside = InProcess(desk.folder)
    inside.environment = desk.environment
    day = Day(inside, witness())
    good(day)
    assert day.taken() == day.meant
    missed = len(day.meant - day.taken())
    proof(**{good.__name__: f"{len(day.meant)} called, {missed} missed"})
