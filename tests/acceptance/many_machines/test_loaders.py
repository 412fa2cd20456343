"""The parts of an order, read by several processes: of this machine, and by ``work`` of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.remote_files import BUCKET, Bucket, local_s3

PARTS = 6
IN_A_PART = 40


@pytest.fixture
def shared(desk: Desk, ledger_url: str) -> Desk:
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
    return desk


def rows_of(part: int) -> list[tuple[object, int, int]]:
    """Of each part a row is invalid, and some repeat those of the part before."""
    before = max(0, part * IN_A_PART - 5)
    valid = [(who, 1001, 2001 + part // 2) for who in people(IN_A_PART, before=before)]
    return [*valid, ("no id", 1001, 2001)]


def write_parts(desk: Desk, folder: str = "in") -> None:
    (desk.folder / folder).mkdir()
    for part in range(PARTS):
        desk.write(f"{folder}/{part}.csv", rows_of(part))


def planned(desk: Desk, *words: object) -> object:
    ended = desk.do("plan", "in/*.csv", "--json", "--history", "off", *words)
    assert ended.code == 1, ended.err
    found = ended.json
    return {name: found[name] for name in ("plan", "rows", "status", "alarms", "warnings")}


@pytest.mark.thorough
def test_the_plan_is_the_same_whoever_reads_the_parts(shared: Desk) -> None:
    """In a folder, with one loader, and with three; that others help makes no difference."""
    write_parts(shared)
    one = planned(shared, "--job", "one")
    three = planned(shared, "--job", "three", "--loaders", 3)
    helper = shared.start("work", "--job", "three")
    again = planned(shared, "--job", "three")
    _, err = helper.communicate(timeout=60)
    assert helper.returncode in (3, 75), err
    del shared.environment["BULK_UNENROLL_LEDGER_URL"]
    assert planned(shared) == one == three == again


@pytest.mark.thorough
def test_work_that_comes_too_early_loads_and_calls_nobody(
    shared: Desk, witness: Callable[..., Witness]
) -> None:
    api = witness()
    for part in range(PARTS):
        rows = [(who, 1001, 2001) for who in people(5_000, before=5_000 * part)]
        shared.write(f"{part}.csv", rows)
    assert shared.do("plan", "0.csv", "--job", "cleanup").code == 0
    plan = shared.start("plan", "?.csv", "--job", "cleanup")
    workers = [shared.start("work", "--job", "cleanup", "--log-format", "json") for _ in range(2)]
    _, err = plan.communicate(timeout=90)
    assert plan.returncode == 0, err
    for worker in workers:
        _, err = worker.communicate(timeout=90)
        assert worker.returncode in (3, 75), err
    status = shared.do("status", "--job", "cleanup", "--json").json
    assert status["rows"] == {
        "read": PARTS * 5_000, "invalid": 0, "duplicate": 0, "unique": PARTS * 5_000,
    }  # fmt: skip
    assert shared.do("verify", "--job", "cleanup").code == 0
    assert api.seen() == []


@pytest.mark.thorough
def test_a_run_with_loaders_calls_each_once(shared: Desk, witness: Callable[..., Witness]) -> None:
    api = witness()
    write_parts(shared)
    words = ("--yes", "--rate", "1000/s", "--first-time", "go")
    ended = shared.do("run", "in/*.csv", "--job", "cleanup", "--loaders", 2, *words)
    assert ended.code == 1, ended.err  # some rows are invalid
    called = [(call["customer"], call["target"]) for call in api.seen()]
    rows = (row for part in range(PARTS) for row in rows_of(part))
    every = {(who, target) for who, _, target in rows if isinstance(who, int)}
    assert len(called) == len(every)
    assert set(called) == every


@pytest.fixture
def bucket(shared: Desk) -> Iterator[Bucket]:
    with local_s3() as found:
        shared.environment |= found.environment
        yield found


@pytest.mark.needs("moto")
def test_parts_in_a_bucket_are_copied_by_whoever_reads_them(shared: Desk, bucket: Bucket) -> None:
    write_parts(shared)
    for part in range(PARTS):
        bucket.put(f"in/{part}.csv", (shared.folder / f"in/{part}.csv").read_bytes())
    ended = shared.do("plan", f"s3://{BUCKET}/in/*.csv", "--job", "cloud", "--loaders", 2, "--json")
    assert ended.code == 1, ended.err
    local = shared.do("plan", "in/*.csv", "--job", "local", "--json")
    assert ended.json["rows"] == local.json["rows"]
    left = [path.name for path in (shared.folder / "cloud.unenroll").iterdir()]
    assert not [name for name in left if name.startswith(".")]


@pytest.mark.thorough
def test_several_loaders_need_a_shared_job(desk: Desk) -> None:
    write_parts(desk)
    ended = desk.do("plan", "in/*.csv", "--loaders", 2)
    assert (ended.code, "add --job NAME" in ended.err) == (2, True)
