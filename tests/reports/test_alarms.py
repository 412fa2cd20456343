"""Which inputs raise which alarm, and that honest ones raise none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import bulk_unenroll as bu
from tests.kit.command import SAMPLES
from tests.kit.tiers import thorough

Row = tuple[object, object, object]
Dice = random.Random


def write(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "a.csv"
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(["customerId,targetGroupId,targetId", *lines, ""]))
    return path


def raised(folder: Path, rows: Sequence[Row], **options: object) -> list[str]:
    plan = bu.plan(write(folder, rows), out=folder / "a.unenroll", **options)  # type: ignore[arg-type]
    return [alarm.name for alarm in plan.alarms]


def in_one_target(ids: Sequence[object]) -> list[Row]:
    return [(one, 1001, 2001) for one in ids]


def base(dice: Dice, digits: int, number: int, gap: int = 400) -> list[int]:
    """Ids as a programme gives them: they grow, with gaps."""
    one, ids = dice.randrange(10 ** (digits - 1), 9 * 10 ** (digits - 1)), []
    for _ in range(number):
        one += dice.randrange(1, gap)
        ids.append(one)
    return ids


def good(number: int = 210, digits: int = 9) -> list[int]:
    return base(Dice(1), digits, number)


def phones(number: int, code: str = "91") -> list[int]:
    dice = Dice(2)
    return [int(f"{code}9{dice.randrange(10**8, 10**9)}") for _ in range(number)]


WRONG: list[tuple[str, str, Sequence[Row]]] = [
    ("phones", "with the code of the country", in_one_target(phones(210))),
    ("phones", "without it", in_one_target(phones(210, ""))),
    ("phones", "a tenth of them", in_one_target([*good(180, 7), *phones(30)])),
    ("phones", "a tenth, and longer ids", in_one_target([*good(180, 7), *phones(30), 10**15 + 7])),
    ("phones", "half, among ids close together", in_one_target([*phones(110), *good(100, 9)])),
    ("phones", "of one block", in_one_target([919812000000 + 7 * i for i in range(50)])),
    ("rounded", "to thousands", in_one_target([1000 * one for one in good(50)])),
    ("rounded", "to 15 digits", in_one_target([1000 * one for one in good(40, 15)])),
    ("swapped", "group and target", [(one, 2000 + one % 3, 1001) for one in good()]),
    ("swapped", "customer and target", [(1001, 7, one) for one in good()]),
    ("own-targets", "one each", [(one, 1001, one + 7_777_777) for one in good()]),
    ("targets-in-sequence", "dragged", [(one, 1001, 2001 + i) for i, one in enumerate(good(30))]),
    (
        "targets-in-sequence",
        "both dragged",
        [(one, 1001 + i, 2001 + i) for i, one in enumerate(good(30))],
    ),
    ("short-ids", "row numbers", in_one_target(Dice(3).sample(range(1, 400), 210))),
    ("short-ids", "shops", in_one_target([good(60)[i % 60] for i in range(210)])),
    ("in-sequence", "a warehouse", in_one_target(range(70_001, 70_211))),
    ("in-sequence", "downwards", in_one_target(range(70_210, 70_000, -1))),
    (
        "in-sequence",
        "each in four targets",
        [(70_001 + n // 4, 1001, 2001 + n % 4) for n in range(210)],
    ),
    (
        "in-sequence",
        "dates",
        in_one_target([20260101 + i % 28 + 100 * (i % 12) for i in range(84)]),
    ),
    ("outliers", "a total", in_one_target([*good(), 210])),
    ("outliers", "in a large file", in_one_target([*good(2000, 12), 10_000_000, 20_000_000])),
]


@pytest.mark.parametrize(
    ("name", "rows"),
    [pytest.param(name, rows, id=f"{name}, {what}") for name, what, rows in WRONG],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, rows: Sequence[Row]) -> None:
    assert name in raised(tmp_path, rows)


GOOD: dict[str, Sequence[Row]] = {
    "ids of 9 digits": in_one_target(good()),
    "ids of 10 digits": in_one_target(good(digits=10)),
    "long ids": in_one_target([4_237_893_361_234_567 + one % 10**15 for one in good()]),
    "the whole base, shuffled": in_one_target(Dice(4).sample(range(42_000_000, 52_000_000), 5000)),
    "several targets of a group": [(one, 1001, 2001 + one % 3) for one in good()],
    "several groups": [(one, 1001 + one % 3, 2001 + one % 3) for one in good()],
    "each customer in four targets": [(one, 1001, 2001 + t) for one in good(50) for t in range(4)],
    "ids of many lengths": in_one_target([*good(70, 8), *good(70, 9), *good(70, 7)]),
    "a few customers": in_one_target([1, 2, 3, 4, 5]),
    "some rows twice": in_one_target([*good(50), *good(20)]),
    "small targets that are no sequence": [(one, 1001, 2001 + 17 * (one % 9)) for one in good(27)],
}


@pytest.mark.parametrize("rows", GOOD.values(), ids=GOOD)
def test_what_is_right_raises_nothing(tmp_path: Path, rows: Sequence[Row]) -> None:
    assert raised(tmp_path, rows) == []


@pytest.mark.parametrize("files", [42, *thorough(200)])
def test_honest_files_raise_next_to_nothing(tmp_path: Path, files: int) -> None:
    """At most 1 in 100: ids of 6 to 12 digits, in clusters, sorted or not, with gaps.

    All are for one API and of one user, so each is held against what is known of those before.
    """
    api = {"base_url": "https://eu.example/v3.1", "history": str(tmp_path / "history")}
    dice, wrong = Dice(2026), []
    for number in range(files):
        digits = 6 + number % 7
        ids = [
            one
            for _ in range(dice.choice([1, 1, 2, 3]))
            for one in base(dice, digits, dice.randrange(10, 150), dice.choice([3, 40, 1000]))
        ]
        if dice.random() < 0.5:
            dice.shuffle(ids)
        folder = tmp_path / str(number)
        folder.mkdir()
        found = raised(folder, in_one_target(ids), **api)
        wrong += [(digits, len(ids), found)] if found else []
    assert len(wrong) <= files // 100, wrong


@pytest.mark.parametrize("name", ["cleanup.csv", "cleanup.parquet", "orgs.csv"])
def test_the_samples_raise_nothing(tmp_path: Path, name: str) -> None:
    assert bu.plan(SAMPLES / name, out=tmp_path / "s").alarms == []


def test_among_good_files_a_bad_one_shows(tmp_path: Path) -> None:
    dice = Dice(5)
    for day in range(12):
        ids = base(dice, 9, 200) if day != 7 else phones(100)
        write(tmp_path, in_one_target(ids)).rename(tmp_path / f"day{day}.csv")
    plan = bu.plan(*sorted(tmp_path.glob("*.csv")), out=tmp_path / "a.unenroll")
    assert [alarm.name for alarm in plan.alarms] == ["phones"]
    assert "100 of 100 customer ids of" in plan.alarms[0].text
    assert "day7.csv" in plan.alarms[0].text
