"""A drill of an operator's mistakes: how many customers are taken out whom nobody meant.

In this world every third wrong id is somebody's, and customers are enrolled in every target unless
a case says otherwise. ``may`` is what a case may reach at most: 0 where the file, the command or
the neighbouring folders give it away, otherwise the canary.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import xlsxwriter

from bulk_unenroll.commands.steps import reading, resuming
from tests.kit.command import Desk, Witness, people
from tests.kit.in_process import InProcess
from tests.kit.terminal import talk

Start = Callable[..., Witness]
Row = Sequence[object]
Reached = set[tuple[int, int, int]]
MEANT = people(210)
CANARY = 10
FAST = ("--rate", "2000/s")
HEADER = ("customerId", "targetGroupId", "targetId")
PROMISE = "a wrong order reaches nobody it was not meant for, or the canary at most"
CARELESS_SENDING = (
    *("--canary-good", "0%", "--max-not-enrolled", "100%", "--max-failures", "100%"),
    *("--history", "off", "--first-time", "go", "--beside"),
)
CARELESS = (
    *CARELESS_SENDING,
    *("--max-invalid", "100%"),
    *(word for name in ("phones", "rounded", "swapped", "own-targets", "targets-in-sequence",
                        "short-ids", "in-sequence", "outliers", "more-rows", "second-header",
                        "cut-off", "hidden-rows", "again", "other-target")
      for word in ("--allow", name)),
)  # fmt: skip
"""What a program does that has no such guards."""


class World:
    """A desk and an API, and who was meant."""

    def __init__(self, desk: Desk, api: Witness) -> None:
        self.desk = desk
        self.api = api
        self.meant: Reached = set()
        self.more: tuple[str, ...] = ()
        self.typed = False
        self.before = Counter[tuple[int, int, int]]()

    def exist(self, customers: Iterable[int]) -> None:
        """Let these customers exist; all others are unknown."""
        self.api.ask("teach", {"customers": sorted(set(customers))})

    def every_third(self, wrong: Iterable[int]) -> None:
        """Of these ids every third is somebody's; and those who are meant exist."""
        self.exist([*MEANT, *list(wrong)[::3]])

    def mean(self, customers: Iterable[int], group: int = 1001, target: int = 2001) -> None:
        self.meant |= {(who, group, target) for who in customers}

    def do(self, *words: object, careful: bool = False) -> int:
        """Run a command, with ``--yes`` or typed at a terminal as a person types it."""
        more = () if careful else self.more
        if not self.typed:
            return self.desk.do("run", *words, *FAST, "--yes", *more).code
        read = [word for word in words if word not in ("--max-customers", "420")]
        planned = self.desk.do("plan", *read, "--json")
        number = planned.json.get("plan", {}).get("to_call", 210)
        command = ("run", *words, *FAST, *more)
        asked = ("Type the number", "type its name")  # what is read off the screen is the number
        # asked to look a customer up, a person sees whose they are
        return talk(self.desk, command, (asked, str(number)), ("Type go", "no"))[0]

    def enroll_again(self) -> None:
        """Let all who were taken out be enrolled again, for the next campaign."""
        self.api.ask("teach", {"customers": list(MEANT)})
        self.before = self._taken()
        self.meant -= self.before.keys()

    def slow_s(self, seconds: float) -> None:
        """Let each answer take so long."""
        self.api.ask("teach", {"rules": [{"probability": 1, "delay_s": seconds}]})

    def rows(self, name: str, rows: Sequence[Row], *header: str) -> str:
        self.desk.write(name, rows, *(header or HEADER))
        return name

    def text(self, name: str, text: str) -> str:
        (self.desk.folder / name).write_text(text)
        return name

    def reached(self) -> Reached:
        """Who was taken out, and not meant, since all were enrolled again."""
        return (self._taken() - self.before).keys() - self.meant

    def _taken(self) -> Counter[tuple[int, int, int]]:
        """How often each customer was taken out of each target."""
        book = self.api.ask("book")
        return Counter({(b["customer"], b["group"], b["target"]): b["applied"] for b in book})


def of(customers: Iterable[object], group: object = 1001, target: object = 2001) -> list[Row]:
    return [(who, group, target) for who in customers]


# ── the mistakes ─────────────────────────────────────────────────────────────────────────────────


def phones(world: World) -> None:
    wrong = [919_800_000_000 + 7_543_217 * n for n in range(210)]
    world.every_third(wrong)
    world.do(world.rows("a.csv", of(wrong)))


def rounded(world: World) -> None:
    wrong = [423_000_000 + 1000 * n for n in range(210)]
    world.every_third(wrong)
    world.do(world.rows("a.csv", of(wrong)))


def rounded_after_15_digits(world: World) -> None:
    wrong = [(4_230_000_000_000_00 + 71 * n) * 1000 for n in range(210)]
    world.every_third(wrong)
    world.do(world.rows("a.csv", of(wrong)))


def swapped_pairs(world: World) -> None:
    world.do(world.rows("a.csv", [(who, 2001 + n % 3, 1001) for n, who in enumerate(MEANT)]))


def swapped_after_a_good_run(world: World) -> None:
    world.mean(people(40, before=900))
    world.do(world.rows("good.csv", of(people(40, before=900))), careful=True)
    world.do(world.rows("a.csv", of(MEANT, 2001, 1001)))


def own_targets(world: World) -> None:
    wrong = [(who, 1001, 88_000_001 + 13 * n) for n, who in enumerate(MEANT)]
    world.do(world.rows("a.csv", wrong))


def last_month_s_file(world: World) -> None:
    world.mean(MEANT)
    world.do(world.rows("april.csv", of(MEANT)), careful=True)
    world.enroll_again()
    world.do("april.csv", "--out", "may")


def the_same_file_under_another_name(world: World) -> None:
    world.mean(MEANT)
    world.do(world.rows("april.csv", of(MEANT)), careful=True)
    world.enroll_again()
    world.do(world.rows("may.csv", of(MEANT)))


def production_meant_as_demo(world: World) -> None:
    world.do(world.rows("a.csv", of(MEANT, 4001, 5001)))


def ten_times_the_rows(world: World) -> None:
    world.mean(people(30))
    world.do(world.rows("a.csv", of(people(30))), careful=True)
    world.do(world.rows("a.csv", of(people(300))))


def ten_times_the_rows_in_a_folder_each_night(world: World) -> None:
    world.mean(people(30))
    world.do(world.rows("a.csv", of(people(30))), "--out", "monday", careful=True)
    world.do(world.rows("a.csv", of(people(300, before=900))), "--out", "tuesday")


def columns_shifted_by_decimal_commas(world: World) -> None:
    lines = [f"12,{30 + n % 70},{423_000_000 + 7 * n},1001,2001" for n in range(210)]
    world.every_third(range(30, 100))
    header = "amount,customerId,targetGroupId,targetId,note\n"
    world.do(world.text("a.csv", header + "\n".join(lines)))


def a_wrong_target(world: World) -> None:
    others = [who for n, who in enumerate(MEANT) if n % 3]
    rule = {"targets": [2002], "customers": others, "code": 310149}
    world.api.ask("teach", {"rules": [rule]})
    world.rows("a.csv", [(who,) for who in MEANT], "customerId")
    world.do("a.csv", "--target-group-id", "1001", "--target-id", "2002")


def a_wrong_target_planned_rightly_before(world: World) -> None:
    world.rows("a.csv", [(who,) for who in MEANT], "customerId")
    words = ("a.csv", "--target-group-id", "1001", "--target-id")
    world.desk.do("plan", *words, "2001")
    world.do(*words, "2002")


def cut_in_the_last_customer(world: World) -> None:
    world.mean(MEANT)
    world.exist([*MEANT, 4230])
    lines = "\n".join(f"1001,2001,{who}" for who in MEANT)
    text = f"targetGroupId,targetId,customerId\n{lines}\n1001,2001,4230"
    world.do(world.text("a.csv", text))


def cut_in_the_last_target(world: World) -> None:
    world.mean(MEANT)
    lines = "\n".join(f"{who},1001,2001" for who in MEANT)
    world.do(world.text("a.csv", f"{','.join(HEADER)}\n{lines}\n{people(1, before=900)[0]},1001,2"))


def row_numbers(world: World) -> None:
    world.every_third(range(1, 211))
    world.do(world.rows("a.csv", of(range(1, 211))))


def running_ids_of_a_warehouse(world: World) -> None:
    world.every_third(range(700_001, 700_211))
    world.do(world.rows("a.csv", of(range(700_001, 700_211))))


def two_exports_in_one_file(world: World) -> None:
    text = ",".join(HEADER) + "\n" + "".join(f"{who},1001,2001\n" for who in MEANT[:60])
    text += "targetGroupId,customerId,targetId\n"
    text += "".join(f"1001,{who},2001\n" for who in MEANT[60:])
    world.do(world.text("a.csv", text))


def somebody_who_must_never_be_touched(world: World) -> None:
    world.rows("never.csv", [(who,) for who in MEANT[::12]], "customerId")
    world.mean(set(MEANT) - set(MEANT[::12]))
    never = () if world.more else ("--never", "never.csv")
    world.do(world.rows("a.csv", of(MEANT)), *never)


def the_whole_base_for_a_segment(world: World) -> None:
    cap = () if world.more else ("--max-customers", "420")
    world.mean(MEANT)
    world.do(world.rows("a.csv", of(people(580))), *cap)


def drag_filled_targets(world: World) -> None:
    world.do(world.rows("a.csv", [(who, 1001, 2001 + n) for n, who in enumerate(MEANT)]))


def a_totals_row(world: World) -> None:
    world.mean(MEANT)
    world.exist([*MEANT, 210])
    world.do(world.rows("a.csv", [*of(MEANT), (210, 1001, 2001)]))


def one_pair_swapped_where_nothing_is_known(world: World) -> None:
    world.do(world.rows("a.csv", of(MEANT, 6001, 5001)))


def the_whole_base_for_a_segment_without_a_cap(world: World) -> None:
    world.mean(MEANT, 5500, 5501)
    world.do(world.rows("a.csv", of([*people(370, before=900), *MEANT], 5500, 5501)))


def the_results_for_the_failed_rows(world: World) -> None:
    """Somebody edits what a run wrote, takes the wrong file, and gives it a folder of its own."""
    world.mean(MEANT)
    world.do(world.rows("a.csv", of(MEANT)), careful=True)
    world.enroll_again()
    (world.desk.folder / "a.unenroll" / "results.csv").rename(world.desk.folder / "results.csv")
    world.do("results.csv", "--out", "again")


def a_partition_with_one_target_s_id(world: World) -> None:
    for target in (2001, 2002):
        folder = world.desk.folder / "drop" / f"targetId={target}"
        folder.mkdir(parents=True)
        who = MEANT[:120] if target == 2001 else MEANT[120:]
        table = pa.table({"customerId": list(who), "targetGroupId": [1001] * len(who)})
        parquet.write_table(table, folder / "part-0.parquet")
        world.mean(who, 1001, target)
    world.do("drop", "--target-id", "2001")


def rows_that_a_filter_hides(world: World) -> None:
    shown = MEANT[:60]
    world.mean(shown)
    with xlsxwriter.Workbook(world.desk.folder / "a.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        for number, who in enumerate(MEANT, 1):
            sheet.write_row(number, 0, [who, 1001, 2001])
            if who not in shown:
                sheet.set_row(number, options={"hidden": True})
    world.do("a.xlsx")


def two_runs_at_once(world: World) -> None:
    """In two folders, of the same customers: they are called twice, at twice the rate."""
    world.mean(MEANT)
    world.slow_s(1)
    world.rows("a.csv", of(MEANT))
    more = ("--canary", "0", "--yes", "--rate", "20/s")
    first = Desk(world.desk.folder)
    first.environment = world.desk.environment
    going = first.start("run", "a.csv", *more, *world.more)
    world.api.wait_for_calls(20)
    world.desk.do("run", "a.csv", "--out", "b", *more, *world.more, "--stop-after", "4s")
    going.terminate()
    going.communicate()
    twice = Counter(call["customer"] for call in world.api.seen())
    world.meant -= {(who, 1001, 2001) for who, times in twice.items() if times > 1}


def going_on_after_an_outage(world: World) -> None:
    _after_an_outage(world, "resume", "a.unenroll")


def running_again_after_an_outage(world: World) -> None:
    _after_an_outage(world, "run", "a.csv")


def _after_an_outage(world: World, *words: object) -> None:
    """Answers were lost, and the customers were enrolled again before somebody went on."""
    world.mean(MEANT)
    lost = {"act": "reset_after", "times": 90}
    world.api.ask("teach", {"rules": [lost]})
    world.rows("a.csv", of(MEANT))
    first = ("--canary", "0", "--max-attempts", "1", "--max-failures", "100%", "--concurrency", "8")
    world.desk.do("run", "a.csv", *FAST, "--yes", *first)
    world.enroll_again()
    held = () if world.more else ("--in-doubt", "resend")
    careless = CARELESS_SENDING if world.more else ()
    world.desk.do(*words, *FAST, "--yes", *held, *careless)


def a_file_that_is_still_being_written(world: World) -> None:
    """Its last line stops within an id, which alone is somebody else's."""
    world.mean(MEANT)
    world.exist([*MEANT, 423])
    text = "targetGroupId,targetId,customerId\n" + "".join(f"1001,2001,{who}\n" for who in MEANT)
    world.text("a.csv", f"{text}1001,2001,423")

    def write_on() -> None:
        time.sleep(0.5)
        with (world.desk.folder / "a.csv").open("a") as file:
            file.write("000007\n")

    writer = threading.Thread(target=write_on)
    writer.start()
    world.do("a.csv")
    writer.join()


@dataclass(frozen=True)
class Case:
    """``refused``: however careless one is. ``unguarded`` takes guards away that have no option."""

    mistake: Callable[[World], None]
    may: int = 0
    refused: bool = False
    unguarded: Callable[[pytest.MonkeyPatch], None] = lambda _: None


def without_the_hold_of_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, resuming):
        monkeypatch.setattr(module, "held_doubts", lambda *_: 0)


CASES = (
    Case(phones),
    Case(rounded),
    Case(rounded_after_15_digits),
    Case(swapped_pairs),
    Case(swapped_after_a_good_run),
    Case(own_targets),
    Case(last_month_s_file),
    Case(the_same_file_under_another_name),
    Case(production_meant_as_demo, CANARY),
    Case(ten_times_the_rows),
    Case(ten_times_the_rows_in_a_folder_each_night),
    Case(columns_shifted_by_decimal_commas),
    Case(a_wrong_target, CANARY),
    Case(a_wrong_target_planned_rightly_before),
    Case(cut_in_the_last_customer),
    Case(cut_in_the_last_target),
    Case(row_numbers),
    Case(running_ids_of_a_warehouse),
    Case(two_exports_in_one_file, refused=True),
    Case(somebody_who_must_never_be_touched),
    Case(the_whole_base_for_a_segment),
    Case(drag_filled_targets),
    Case(a_totals_row),
    Case(one_pair_swapped_where_nothing_is_known, CANARY),
    Case(the_whole_base_for_a_segment_without_a_cap, CANARY),
    Case(the_results_for_the_failed_rows),
    Case(a_partition_with_one_target_s_id, refused=True),
    Case(rows_that_a_filter_hides),
    Case(two_runs_at_once, CANARY),
    Case(going_on_after_an_outage, CANARY, unguarded=without_the_hold_of_doubts),
    Case(running_again_after_an_outage, CANARY, unguarded=without_the_hold_of_doubts),
    Case(a_file_that_is_still_being_written, refused=True),
)
QUICK = (phones, swapped_after_a_good_run, the_same_file_under_another_name, a_wrong_target)
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake.__name__)
quick_or_thorough = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.mistake in QUICK else pytest.mark.thorough)
        for case in CASES
    ],
    ids=lambda case: case.mistake.__name__,
)


@pytest.fixture
def unattended(tmp_path_factory: pytest.TempPathFactory, witness: Start, desk: Desk) -> World:
    api = witness()
    inside = InProcess(desk.folder)
    inside.environment = desk.environment
    return World(inside, api)


@quick_or_thorough
@pytest.mark.attack("an operator's mistakes", PROMISE)
def test_a_wrong_order_reaches_nobody(
    unattended: World, case: Case, proof: Callable[..., None]
) -> None:
    case.mistake(unattended)
    reached = len(unattended.reached())
    assert reached <= case.may
    proof(**{case.mistake.__name__: f"{reached} of at most {case.may}"})


@by_name
@pytest.mark.thorough
def test_control_without_guards_it_reaches_them(
    unattended: World, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.refused:
        pytest.skip("such a file is refused however careless one is")
    unattended.more = CARELESS
    case.unguarded(monkeypatch)
    case.mistake(unattended)
    assert len(unattended.reached()) > case.may


@by_name
@pytest.mark.thorough
def test_typed_as_a_person_types_what_is_on_the_screen(
    desk: Desk, witness: Start, case: Case
) -> None:
    world = World(desk, witness())
    world.typed = True
    case.mistake(world)
    assert len(world.reached()) <= case.may
