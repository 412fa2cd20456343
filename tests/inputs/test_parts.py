"""Several loaders of one order: what it comes to is what one loader comes to, in either ledger."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from bulk_unenroll.commands.status import Status, status
from bulk_unenroll.errors import (
    FolderBusy,
    InputRefused,
    LedgerAway,
    Misconfigured,
    Stop,
    UsageError,
)
from bulk_unenroll.inputs.finding import InputFile, find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.never import Never, read_never
from bulk_unenroll.inputs.parts import help_load
from bulk_unenroll.ledger.facts import Arriving
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.job_address import SharedJob, name_job
from bulk_unenroll.ledger.loading import ArrivingPart, LeasedPart
from bulk_unenroll.model import Enrollment
from tests.kit.command import clean_environment
from tests.kit.postgres import Server
from tests.kit.tiers import thorough
from tests.ledger.kit import BASE_URL, begin, claim, results
from tests.ledger.sqlite.kit import SqlitePlace

pytest.importorskip("psycopg")

from bulk_unenroll.ledger.postgres import arrivals
from bulk_unenroll.ledger.postgres.arrivals import Arrivals
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from tests.ledger.postgres.kit import PostgresPlace, tool

HEADER = ("customerId", "targetGroupId", "targetId")


@pytest.fixture
def place(server: Server, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace.new(server, tmp_path)


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────


def write_part(path: Path, rows: Sequence[tuple[object, object, object]]) -> None:
    if path.suffix == ".csv":
        lines = (",".join(map(str, row)) for row in (HEADER, *rows))
        path.write_text("".join(f"{line}\n" for line in lines))
        return
    columns = zip(*rows, strict=True) if rows else [()] * 3
    values = (pa.array(map(str, column), pa.string()) for column in columns)
    parquet.write_table(pa.table(dict(zip(HEADER, values, strict=True))), path)


def some_rows(dice: random.Random) -> list[tuple[object, object, object]]:
    """Rows with repeats within a part and across parts, and invalid ones."""
    customers = [*range(423_000_001, 423_000_031, 3), "x", ""]
    return [
        (dice.choice(customers), 1001, dice.choice([2001, 2001, 2002]))
        for _ in range(dice.randrange(25))
    ]


def write_parts(folder: Path, dice: random.Random, number: int) -> None:
    folder.mkdir(exist_ok=True)
    for part in range(number):
        write_part(folder / f"{part}.{dice.choice(['csv', 'parquet'])}", some_rows(dice))


def parts_in(folder: Path) -> list[InputFile]:
    return find_inputs([f"{folder}/*"])


# ── loading ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def helpers(place: PostgresPlace, number: int, spool: Path) -> Iterator[list[int]]:
    """Further loaders, each with a connection of its own; how many parts each has loaded."""
    over, loaded = threading.Event(), [0] * number

    def work(at: int) -> None:
        while not over.is_set():
            with (
                suppress(LedgerAway),  # the order was given up: start again
                closing(PostgresLedger.beside_others(place.url, place.job)) as ledger,
            ):
                while not over.is_set():
                    loaded[at] += help_load(ledger.loading, spool)
                    time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield loaded
    finally:
        over.set()
        for thread in threads:
            thread.join()


def load_all(ledger: Ledger, files: Sequence[InputFile], folder: Path, **more: Any) -> list[int]:
    return load(ledger, files, ReadSettings(), folder, named=True, **more)


def test_it_is_told_how_much_is_in_while_parts_are_loaded(
    place: PostgresPlace, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for part in range(3):
        write_part(tmp_path / "in" / f"{part}.csv", [(423_000_001 + part, 1001, 2001)] * 4)
    folder = tmp_path / "job.unenroll"
    folder.mkdir()
    name_job(folder, SharedJob(place.job, place.url))
    seen: list[Status] = []

    def look(*_: object) -> None:
        seen.append(status(folder))

    with closing(place.open()) as ledger:
        load_all(ledger, parts_in(tmp_path / "in"), folder, on_read=look)
        assert not status(folder).summary.loading, "all are in, and accounted for"
    assert {found.summary.loading for found in seen} >= {Arriving(3, 0, 0), Arriving(3, 3, 12)}
    first = seen[0]
    assert first.going_on
    assert first.summary.exit.reason == "loading: 0 of 3 parts are in, 0 rows"
    assert first.summary.as_json()["loading"] == {"parts": 3, "loaded": 0, "rows": 0}
    assert str(first.summary.next).endswith("--follow")


def test_what_a_killed_planner_left_is_not_being_loaded(
    place: PostgresPlace, tmp_path: Path
) -> None:
    name_job(tmp_path, SharedJob(place.job, place.url))
    with closing(place.open()) as ledger:
        ledger.loading.begin({}, [ArrivingPart(None, "")])
        assert status(tmp_path).summary.loading
    found = status(tmp_path)
    assert (found.going_on, found.summary.loading) == (False, None)
    assert found.summary.exit.reason == "planned, not run"


def told(ledger: Ledger, sources: Sequence[int]) -> list[object]:
    """All that a plan is made of, and the rows; ids of sources may have gaps."""
    reader = ledger.reader
    return [
        [
            (source.path, source.sha256, source.row_count, source.header, bool(source.superseded_s))
            for source in reader.sources()
        ],
        [row._replace(source_id=0, updated_at=None) for row in results(ledger)],
        [some._replace(customer=None) for some in reader.counts_by_target(sources)],
        reader.row_counts(sources),
        reader.invalid_counts(sources),
        [dict(noticed) for noticed in reader.noticed(sources).values()],
        reader.compare(sources),
        reader.conservation_faults(),
    ]


def called(ledger: Ledger, sources: Sequence[int]) -> list[Enrollment]:
    """Whom a run calls, in order."""
    begin(ledger, *sources)
    found: list[Enrollment] = []
    while calls := claim(ledger, 50):
        found += [call.enrollment for call in calls]
    return found


@pytest.mark.parametrize("number", [2, *thorough(1, 3)])
def test_it_comes_to_what_one_loader_and_sqlite_come_to(
    server: Server, tmp_path: Path, seed: int, number: int
) -> None:
    dice = random.Random(f"{seed} {number}")
    place, alone = (PostgresPlace.new(server, tmp_path) for _ in range(2))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_parts(folder, dice, dice.randrange(2, 6))
    with ExitStack() as stack:
        places = (SqlitePlace(tmp_path / "other"), alone, place)
        ledgers: list[Ledger] = [stack.enter_context(closing(one.open())) for one in places]
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setattr(ledgers[1], "loading", None)
        stack.enter_context(helpers(place, number - 1, tmp_path))
        for folder in (first, second, first, first):  # at last nothing is new
            files = parts_in(folder)
            found = [(ledger, load_all(ledger, files, tmp_path)) for ledger in ledgers]
            lite, one, several = (told(*each) for each in found)
            assert lite == one == several
            for ledger, sources in found:
                ledger.confirm(sources, BASE_URL, {f"{folder}/*"})
            if folder == second:
                write_parts(first, dice, dice.randrange(2, 6))
        by_lite, by_one, by_several = (called(*each) for each in found)
        assert by_one == by_several
        assert sorted(by_lite, key=str) == sorted(by_one, key=str)
        assert ledgers[2].reader.integrity_faults() == []


@pytest.mark.thorough
def test_who_reads_later_parts_first_makes_no_difference(
    place: PostgresPlace, tmp_path: Path
) -> None:
    """Who plans waits in the first part until others have read all that follow."""
    (tmp_path / "in").mkdir()
    for part in range(4):
        rows = [(423_000_001 + n, 1001, 2009 - part - n % 2) for n in range(9)]
        write_part(tmp_path / "in" / f"{part}.csv", rows)
    files, counts = parts_in(tmp_path / "in"), [0]
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(place.open()))
        lite = stack.enter_context(closing(SqlitePlace(tmp_path / "other").open()))
        loaded: list[list[int]] = []

        def wait(rows: int, _: int) -> None:
            counts.append(rows)
            if rows and not loaded:
                loaded.append(stack.enter_context(helpers(place, 2, tmp_path)))
                with tool(place) as other:
                    while other.execute(LEFT).fetchone() != (1,):
                        time.sleep(0.01)

        here = load_all(ledger, files, tmp_path, on_read=wait)
        assert told(ledger, here) == told(lite, load_all(lite, files, tmp_path))
    assert (sum(loaded[0]), max(counts)) == (3, 36)


LEFT = "SELECT count(*) FROM arriving WHERE NOT done"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [2, *thorough(0)])
def test_the_first_part_that_is_refused_is_told_and_nothing_stays(
    place: PostgresPlace, tmp_path: Path, number: int
) -> None:
    folder = tmp_path / "in"
    write_parts(folder, random.Random(2), 6)
    for bad in ("3.csv", "5.csv"):
        (folder / bad).with_suffix(".parquet").unlink(missing_ok=True)
        (folder / bad).write_text('customerId,targetGroupId,targetId\n1,2,"3\n')
    with closing(place.open()) as ledger, helpers(place, number, tmp_path):
        with pytest.raises(InputRefused, match=r"3\.csv"):
            load_all(ledger, parts_in(folder), tmp_path)
        assert ledger.reader.sources() == []
        assert ledger.reader.integrity_faults() == []
        write_part(folder / "3.csv", [(1, 2, 3)])
        write_part(folder / "5.csv", [])
        assert len(load_all(ledger, parts_in(folder), tmp_path)) == 6


@pytest.mark.thorough
def test_another_file_of_that_name_is_not_loaded(place: PostgresPlace, tmp_path: Path) -> None:
    """As on a machine that has another file there: it is left to who plans, who refuses it."""
    folder = tmp_path / "in"
    write_parts(folder, random.Random(3), 3)
    files = parts_in(folder)

    def swap(rows: int, _: int) -> None:
        if not rows:  # before anybody reads a part
            write_part(Path(files[2].path), [(999, 1001, 2001)])

    with closing(place.open()) as ledger, helpers(place, 1, tmp_path):
        with pytest.raises(InputRefused, match="changed while it was being read"):
            load_all(ledger, files, tmp_path, on_read=swap)
        assert ledger.reader.sources() == []


@pytest.mark.thorough
def test_other_never_lists_are_refused(place: PostgresPlace, tmp_path: Path) -> None:
    write_parts(tmp_path / "in", random.Random(4), 3)
    listed = tmp_path / "never.csv"
    write_part(listed, [(423_000_001, 1001, 2001)])
    never = read_never([listed])
    changed: list[type[Exception]] = []

    def change(*_: int) -> None:
        listed.write_text("customerId\n1\n")
        with closing(PostgresLedger.beside_others(place.url, place.job)) as other:
            try:
                help_load(other.loading, tmp_path)
            except Misconfigured as refused:
                changed.append(type(refused))

    with closing(place.open()) as ledger:
        load_all(ledger, parts_in(tmp_path / "in"), tmp_path, never=never, on_read=change)
    assert changed[1:]


@pytest.mark.thorough
def test_never_lists_protect_whoever_loads(place: PostgresPlace, tmp_path: Path) -> None:
    for part in range(8):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_part(tmp_path / "in" / f"{part}.csv", [(7, 1001, 2001), (8, 1001, 2001)])
    (tmp_path / "never.csv").write_text("customerId\n7\n")
    never: Never = read_never([tmp_path / "never.csv"])
    with closing(place.open()) as ledger, helpers(place, 1, tmp_path) as loaded:
        files = parts_in(tmp_path / "in")
        sources = load_all(
            ledger, files, tmp_path, never=never, on_read=lambda *_: time.sleep(0.05)
        )
        assert ledger.reader.row_counts(sources) == (16, 8)
    assert loaded[0] > 0


@pytest.mark.thorough
def test_a_file_of_results_is_for_who_plans(place: PostgresPlace, tmp_path: Path) -> None:
    write_parts(tmp_path / "in", random.Random(5), 2)
    (tmp_path / "in" / "9.csv").write_text(
        "customerId,targetGroupId,targetId,unenroll_status\n5,1,2,in_doubt\n6,1,2,succeeded\n"
    )
    with closing(place.open()) as ledger, helpers(place, 1, tmp_path):
        files = parts_in(tmp_path / "in")
        sources = load_all(ledger, files, tmp_path)
        noticed = ledger.reader.noticed(sources)[sources[2]]
        assert (noticed["own"], noticed["done"]) == (True, 1)
        with pytest.raises(UsageError, match="belongs to a run"):
            load(ledger, files, ReadSettings(target_id=None), tmp_path, named=False)


# ── what is killed ───────────────────────────────────────────────────────────────────────────────

DIES_IN_THE_MIDDLE = """
import sys, time
from contextlib import closing
from pathlib import Path
from bulk_unenroll.inputs.parts import help_load
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.{module} import {what}

done = {what}.{step}

def do_and_stand_still(*about, **more):
    done(*about, **more)
    print("in the middle", flush=True)
    time.sleep(600)

{what}.{step} = do_and_stand_still
with closing(PostgresLedger.beside_others(*sys.argv[1:3])) as ledger:
    while True:
        help_load(ledger.loading, Path(sys.argv[3]))
"""
A_PART = {"module": "loading", "what": "Stager", "step": "_stage"}
ITS_END = {"module": "arrivals", "what": "LeasedPart", "step": "load"}


class Killer:
    """Called while who plans reads: lets another loader come to a step, and kills it there."""

    def __init__(self, place: PostgresPlace, spool: Path, step: dict[str, str]) -> None:
        words = (place.url, place.job, str(spool))
        self._command = [sys.executable, "-c", DIES_IN_THE_MIDDLE.format(**step), *words]
        self._place = place
        self.kills = 0

    def __call__(self, rows: int, _: int) -> None:
        if not rows or self.kills:
            return
        self.kills += 1
        with subprocess.Popen(
            self._command, stdout=subprocess.PIPE, env=clean_environment(), text=True
        ) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            with tool(self._place) as other:
                leased = other.execute(LEASES).fetchone()
            process.kill()
        assert (said, leased) == ("in the middle\n", (2,))  # with that of who plans


LEASES = """SELECT count(DISTINCT pid) FROM pg_locks
WHERE relation = 'arriving'::regclass AND mode = 'RowShareLock'"""


@pytest.mark.thorough
@pytest.mark.parametrize("step", [A_PART, ITS_END])
def test_what_a_killed_loader_was_at_is_loaded_by_another(
    place: PostgresPlace, tmp_path: Path, step: dict[str, str]
) -> None:
    write_parts(tmp_path / "in", random.Random(6), 5)
    for name in ("0.csv", "1.csv"):
        (tmp_path / "in" / name).with_suffix(".parquet").unlink(missing_ok=True)
        write_part(tmp_path / "in" / name, [(423_000_001 + n, 1001, 2001) for n in range(9)])
    files, killer = parts_in(tmp_path / "in"), Killer(place, tmp_path, step)
    with closing(place.open()) as ledger, closing(SqlitePlace(tmp_path / "o").open()) as other:
        here = load_all(ledger, files, tmp_path, on_read=killer)
        there = load_all(other, files, tmp_path)
        assert told(ledger, here) == told(other, there)
        assert ledger.reader.integrity_faults() == []
    assert killer.kills == 1


@pytest.mark.thorough
def test_who_stands_still_loses_its_part(place: PostgresPlace, tmp_path: Path) -> None:
    write_parts(tmp_path / "in", random.Random(10), 3)
    lost: list[int] = []

    def stand_still(*_: int) -> None:
        with closing(PostgresLedger.beside_others(place.url, place.job)) as other:
            other.loading.order()
            leased: LeasedPart | None = None
            try:
                with other.loading.lease() as leased:
                    time.sleep(0.5 if leased else 0)
            except LedgerAway:
                assert leased is not None
                lost.append(leased.number)

    with pytest.MonkeyPatch.context() as patch, closing(place.open()) as ledger:
        patch.setattr(arrivals, "PATIENCE", "100ms")
        files = parts_in(tmp_path / "in")
        assert len(load_all(ledger, files, tmp_path, on_read=stand_still)) == 3
    assert lost


def test_what_a_killed_planner_leaves_is_dropped(place: PostgresPlace, tmp_path: Path) -> None:
    """In the middle of the parts, and in the middle of sorting out, when some of it is there."""
    write_parts(tmp_path / "in", random.Random(7), 4)
    files = parts_in(tmp_path / "in")

    def kill(*_: Any) -> None:
        place.after_kill()

    reads: list[dict[str, Any]] = [{"on_read": kill}, {}]
    for how in reads:
        with closing(place.open()) as ledger, pytest.MonkeyPatch.context() as patch:
            if not how:
                patch.setattr(Arrivals, "_close_account", kill_first(kill, Arrivals._close_account))
            with pytest.raises(LedgerAway):
                load_all(ledger, files, tmp_path, **how)
        with place.reader() as reader:  # whoever looks sees nothing of it
            assert reader.sources() == []
            assert reader.integrity_faults() == []
    with closing(place.open()) as ledger:
        with tool(place) as other:
            assert other.execute("SELECT count(*) FROM item").fetchone() == (0,)
            assert other.execute("SELECT to_regclass('staged')").fetchone() == (None,)
        assert len(load_all(ledger, files, tmp_path)) == 4


def kill_first(kill: Callable[[], None], then: Callable[..., Any]) -> Callable[..., Any]:
    def do(*about: Any) -> Any:
        kill()
        return then(*about)

    return do


@pytest.mark.thorough
def test_rows_that_the_server_lost_are_missed(place: PostgresPlace, tmp_path: Path) -> None:
    """What is staged is not in the server's log: after its crash it is gone."""
    write_parts(tmp_path / "in", random.Random(8), 3)
    with closing(place.open()) as ledger, pytest.MonkeyPatch.context() as patch:

        def lose() -> None:
            with tool(place) as other:
                other.execute("TRUNCATE staged")

        patch.setattr(Arrivals, "finish", kill_first(lose, Arrivals.finish))
        with pytest.raises(Stop, match=r"rows were read, \d+ are kept"):
            load_all(ledger, parts_in(tmp_path / "in"), tmp_path)
        assert ledger.reader.sources() == []


def test_nobody_sends_before_all_parts_are_in(place: PostgresPlace, tmp_path: Path) -> None:
    write_parts(tmp_path / "in", random.Random(9), 3)
    told: list[str] = []

    def join(*_: int) -> None:
        with (
            closing(PostgresLedger.beside_others(place.url, place.job)) as other,
            pytest.raises(FolderBusy) as busy,
        ):
            other.join("me@here")
        told.append(str(busy.value))

    with closing(place.open()) as ledger:
        load_all(ledger, parts_in(tmp_path / "in"), tmp_path, on_read=join)
    assert len(told) >= 3
    assert {"no run to be joined" in words for words in told} == {True}
