"""Ugly files: each gets its expected verdict, whichever way the command is run."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bulk_unenroll.inputs import staging
from bulk_unenroll.inputs.rows import Mapper
from bulk_unenroll.ledger.batch import StagedRow
from bulk_unenroll.model import Record
from tests.inputs.formats.test_workbook_limits import workbook
from tests.kit.command import Desk, Ended, Witness
from tests.kit.in_process import InProcess
from tests.kit.tiers import thorough
from tests.proof.controls import files as controls
from tests.proof.controls.sabotaged import program
from tests.proof.file_cases import CASES
from tests.proof.file_cases.case import HEADER, ROW_A, ROW_B, WIDE, A, Case, Refused, Rows, table
from tests.proof.kit.as_large import treat_all_as_large

BY_PROCESS_TOO = [
    case
    for number, case in enumerate(CASES)
    if number % 12 == 0 or case.stdin is not None or case.file.startswith("/")
]
NAMED = {case.name: case for case in CASES}
REFUSED = [case for case in CASES if isinstance(case.verdict, Refused) and case.verdict.code == 65]
MOST_MEMORY_MB = 250
Proof = Callable[..., None]


@dataclass
class Tally:
    """The results of the cases so far."""

    files: int = 0
    refused: int = 0
    rows: int = 0

    def add(self, case: Case, ended: Ended) -> None:
        self.files += 1
        self.refused += isinstance(case.verdict, Refused)
        self.rows += ended.json.get("rows", {}).get("read", 0)


IN_PROCESS, AS_LARGE, BY_PROCESS = Tally(), Tally(), Tally()


def by_name(cases: tuple[Case, ...] | list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=ascii(c.name)) for c in cases])


def plan(desk: Desk, case: Case) -> Ended:
    case.lay(desk.folder)
    return desk.do("plan", "--json", *case.options, "--", case.file, stdin=case.stdin)


def results(desk: Desk) -> list[dict[str, Any]]:
    """What the ledger holds, as any SQLite tool shows it."""
    found: list[dict[str, Any]] = []
    for folder in desk.folder.glob("*.unenroll"):
        ledger = (folder / "ledger.sqlite").as_uri()
        with closing(sqlite3.connect(f"{ledger}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            found += map(dict, connection.execute("SELECT * FROM results ORDER BY source_id, row"))
            for hidden in ("row", "item", "chunk", "source WHERE loaded_at IS NULL"):
                (count,) = connection.execute(f"SELECT count(*) FROM {hidden}").fetchone()
                assert found or not count, f"{count} of {hidden} left behind"
    return found


def check(desk: Desk, case: Case, ended: Ended) -> None:
    found = results(desk)
    if isinstance(case.verdict, Refused):
        check_refused(case.verdict, ended)
        assert [row["customer_id"] for row in found] == list(case.verdict.planned)
    else:
        check_rows(case.verdict, ended, found)


def check_refused(verdict: Refused, ended: Ended) -> None:
    assert ended.code == verdict.code, ended.err
    assert ended.json["exit"]["code"] == verdict.code
    what, then = ended.err.strip().split("next: ")
    assert then.startswith("bulk-unenroll ")
    line = what.splitlines()[-1]
    missing = [word for word in verdict.says if word not in line]
    assert not missing, f"{missing} not in {line}"
    assert verdict.code == 2 or ";" in line, f"no remedy in {line}"


def check_rows(verdict: Rows, ended: Ended, found: list[dict[str, Any]]) -> None:
    assert ended.code == verdict.code, ended.err
    called = [row["customer_id"] for row in found if row["status"] == "pending"]
    assert called == list(verdict.called)
    assert {(row["org_id"], row["target_group_id"], row["target_id"]) for row in found} <= {
        (None, 1001, 2001),
        (None, None, None),
    }
    rows = ended.json["rows"]
    assert rows["read"] == len(found) == rows["invalid"] + rows["duplicate"] + rows["unique"]
    invalid = {n: row for n, row in enumerate(found, 1) if row["status"] == "invalid"}
    assert set(invalid) == set(verdict.invalid)
    for number, words in verdict.invalid.items():
        reason = f"{invalid[number]['code']} {invalid[number]['message']}"
        assert reason.isprintable()
        missing = [word for word in words if word not in reason]
        assert not missing, f"row {number}: {missing} not in {reason}"
    repeats = [n for n, row in enumerate(found, 1) if row["status"] == "duplicate"]
    assert repeats == list(verdict.duplicates)
    assert rows["invalid"] == len(invalid)
    assert rows["duplicate"] == len(repeats)


PROMISE = "the expected verdict each; 0 tracebacks; nothing of a refused file can be sent"


@pytest.mark.attack("file cases", PROMISE)
@by_name(CASES)
def test_a_named_file_meets_its_verdict(case: Case, tmp_path: Path, proof: Proof) -> None:
    desk = InProcess(tmp_path)
    ended = plan(desk, case)
    check(desk, case, ended)
    for folder in tmp_path.glob("*.unenroll"):
        resumed = desk.do("resume", folder, "--sandbox")
        assert resumed.code == 2
        assert "nothing in this folder was confirmed" in resumed.err
        assert desk.do("verify", folder).code == 0
    IN_PROCESS.add(case, ended)
    proof(files=IN_PROCESS.files, refused=IN_PROCESS.refused, rows=IN_PROCESS.rows, tracebacks=0)


@pytest.mark.thorough
@pytest.mark.attack("file cases, by columns and in bulk", PROMISE)
@by_name(CASES)
def test_a_named_file_meets_it_as_a_large_one_would(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    treat_all_as_large(monkeypatch)
    desk = InProcess(tmp_path)
    ended = plan(desk, case)
    check(desk, case, ended)
    for folder in tmp_path.glob("*.unenroll"):
        assert desk.do("verify", folder).code == 0
    AS_LARGE.add(case, ended)
    proof(files=AS_LARGE.files, refused=AS_LARGE.refused, rows=AS_LARGE.rows, tracebacks=0)


@pytest.mark.thorough
@pytest.mark.attack("file cases, each a process", PROMISE)
@by_name(BY_PROCESS_TOO)
def test_a_separate_process_gives_the_same_result(case: Case, desk: Desk, proof: Proof) -> None:
    ended = plan(desk, case)
    check(desk, case, ended)
    BY_PROCESS.add(case, ended)
    proof(files=BY_PROCESS.files, refused=BY_PROCESS.refused, tracebacks=0)


# ── after a refusal ──────────────────────────────────────────────────────────────────────────────

RUN = ("run", "--yes", "--rate", "1000/s", "--out", "job.unenroll")


def provoke(desk: Desk, case: Case, customer: int) -> None:
    """A good file's run, a refused file's run, and all that can follow."""
    (desk.folder / "good.csv").write_bytes(table(customer))
    assert desk.do(*RUN, "good.csv").code == 0
    case.lay(desk.folder)
    for command in (RUN, ("plan", "--out", "job.unenroll")):
        ended = desk.do(*command, *case.options, "--", case.file, stdin=case.stdin)
        assert ended.code == 65, ended.err
    for following in ("resume", "retry"):
        assert desk.do(following, "job.unenroll").code == 0


@pytest.fixture
def sending(desk: Desk, witness: Callable[..., Witness]) -> tuple[InProcess, Witness]:
    """A desk that sends to a witness."""
    started = witness()
    own = InProcess(desk.folder)
    own.environment = desk.environment
    return own, started


@pytest.mark.attack("after a refused file", "nothing of it is sent by any later command")
@pytest.mark.parametrize("files", thorough(len(REFUSED) // 6))
def test_nothing_of_a_refused_file_is_ever_sent(
    sending: tuple[InProcess, Witness], proof: Proof, files: int
) -> None:
    desk, witness = sending
    for customer, case in enumerate(REFUSED[:: len(REFUSED) // files][:files], 1):
        place = InProcess(desk.folder / str(customer))
        place.folder.mkdir()
        place.environment = desk.environment
        provoke(place, case, customer)
        assert witness.seen()[-1]["customer"] == len(witness.seen()) == customer, case.name
    proof(files=files, sent=0)


@pytest.mark.thorough
def test_a_reader_that_keeps_what_it_could_read_sends_it(
    sending: tuple[InProcess, Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr("bulk_unenroll.inputs.loader.Loader._batches", controls.keep_what_was_read)
    desk, witness = sending
    with pytest.raises(AssertionError):
        provoke(desk, NAMED["quote that never closes"], 1)
    assert A in {entry["customer"] for entry in witness.seen()}


# ── readers that are caught ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("broken", "by", "caught"),
    [
        ("bulk_unenroll.inputs.rows.parse_id", controls.lenient_id, "underscores"),
        ("bulk_unenroll.inputs.rows.parse_id", controls.lenient_id, "Arabic-Indic digits"),
        (
            "bulk_unenroll.inputs.formats.csv_reader.csv.reader",
            controls.forgiving_reader,
            "quote open at the end",
        ),
        ("codecs.getincrementaldecoder", controls.forgiving_decoder, "Latin-1"),
        (
            "bulk_unenroll.inputs.formats.text._open_members",
            controls.forgiving_xz,
            "xz, garbage after it",
        ),
        (
            "bulk_unenroll.inputs.formats.parquet_reader.ParquetRecords._check_count",
            controls.no_check,
            "Parquet, row group claims fewer rows",
        ),
        (
            "bulk_unenroll.ledger.sqlite.loading.drop_source",
            controls.no_check,
            "bad byte in row 90,001",
        ),
        (
            "bulk_unenroll.inputs.loader.Loader._batches",
            controls.keep_what_was_read,
            "quote that never closes",
        ),
        (
            "bulk_unenroll.inputs.header_inside.HeaderInside.is_header",
            controls.no_check,
            "joined, columns in another order",
        ),
        (
            "bulk_unenroll.inputs.tables.TableWatch._check_marks",
            controls.no_check,
            "Delta table, part",
        ),
        (
            "bulk_unenroll.inputs.rows.Mapper._promise_broken",
            controls.no_check,
            "path, against a column",
        ),
    ],
)
def test_a_reader_with_a_law_broken_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, by: object, caught: str
) -> None:
    """The controls."""
    monkeypatch.setattr(broken, by)
    desk = InProcess(tmp_path)
    ended = plan(desk, NAMED[caught])
    with pytest.raises(AssertionError):
        check(desk, NAMED[caught], ended)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────

MEGABYTE = 1 << 20
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": partial(lzma.compress, preset=0),
}


def bomb(path: Path, ending: str, head: str, block: bytes, times: int) -> str:
    """Many packed copies of a block; its name."""
    pack = PACK[ending]
    part = pack(block)
    packed = path / f"bomb.csv.{ending}"
    with packed.open("wb") as file:
        file.write(pack(head.encode()))
        for _ in range(times):
            file.write(part)
    return packed.name


def peak_mb(desk: Desk, file: str) -> tuple[Ended, int]:
    """How a plan of the file ended, and the most memory that it took."""
    ended = desk.do("plan", file, timeout_s=300)
    shutil.rmtree(desk.folder / "bomb.unenroll")  # pytest would keep it
    return ended, int((desk.folder / controls.PEAK_KB).read_text()) // 1024


NOISE = random.Random(1).randbytes(500_000).hex()  # or it would be packed to nothing
LONG_ROW = f"{A},1001,2001,{NOISE}\n".encode()
BOMBS = {
    "gigabyte of zeros": ("gz", "", bytes(16 * MEGABYTE), 64, "UTF-16"),
    "header and a gigabyte of zeros": ("gz", HEADER, bytes(16 * MEGABYTE), 64, "line 2"),
    "endless line, gz": ("gz", HEADER, b"1," * 8 * MEGABYTE, 64, "line 2"),
    "endless line, bz2": ("bz2", HEADER, bytes(8 * MEGABYTE), 128, "line 2"),
    "endless line, xz": ("xz", HEADER, b"1," * 4 * MEGABYTE, 128, "line 2"),
    "endless cell of short lines": ("gz", HEADER + '"', b"\n" * 16 * MEGABYTE, 64, "row 1"),
    "rows of a megabyte": ("gz", WIDE, LONG_ROW, 300, ""),
}
QUICK_BOMB = "header and a gigabyte of zeros"
OTHER_BOMBS = [name for name in BOMBS if name != QUICK_BOMB]


MEASURED = "tests.proof.controls.files:measure_memory"
BOUNDLESS = "tests.proof.controls.files:rows_without_limit"
UNLIMITED = "tests.proof.controls.files:workbooks_without_limit"
measurable = pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="the system does not report the memory of a process",
)


@measurable
@pytest.mark.attack("decompression bombs", f"at most {MOST_MEMORY_MB} MB")
@pytest.mark.parametrize("name", [QUICK_BOMB, *thorough(*OTHER_BOMBS)])
def test_a_bomb_does_not_fill_the_memory(desk: Desk, proof: Proof, name: str) -> None:
    ending, head, block, times, says = BOMBS[name]
    file = bomb(desk.folder, ending, head, block, times)
    ended, most_mb = peak_mb(Desk(desk.folder, program(MEASURED)), file)
    proof(**{f"MB for {name}": most_mb})
    assert most_mb < MOST_MEMORY_MB
    assert ended.code == (65 if says else 0), ended.err
    assert says in ended.err


@pytest.mark.thorough
@measurable
def test_rows_of_a_megabyte_would_fill_it_without_a_limit(desk: Desk) -> None:
    """The control."""
    ending, head, block, times, _ = BOMBS["rows of a megabyte"]
    file = bomb(desk.folder, ending, head, block, times)
    ended, most_mb = peak_mb(Desk(desk.folder, program(MEASURED, BOUNDLESS)), file)
    assert ended.code == 0
    assert most_mb > MOST_MEMORY_MB


MOST_FOR_A_WORKBOOK_MB = 1000
CELLS = "".join(f'<c r="{column}{{0}}"><v>{{0}}7</v></c>' for column in "ABCDEFGHIJ")


def rows_of_cells(number: int) -> Iterator[str]:
    return (f'<row r="{row}">{CELLS.format(row)}</row>' for row in range(1, number + 1))


def far_away(place: str) -> list[str]:
    return [*rows_of_cells(1), f'<row r="9"><c r="{place}"><v>1</v></c></row>']


WORKBOOKS: dict[str, Callable[[], Iterable[str]]] = {
    "workbook of two cells": lambda: far_away("XFD1048576"),
    "workbook of 400,000 full rows": lambda: rows_of_cells(400_000),
    "workbook of 2,000,000 full rows": lambda: rows_of_cells(2_000_000),
    "workbook that is almost too large": lambda: far_away("T1048576"),
}
QUICK_WORKBOOK = "workbook of two cells"
OTHER_WORKBOOKS = [name for name in WORKBOOKS if name != QUICK_WORKBOOK]


@measurable
@pytest.mark.needs("python_calamine")
@pytest.mark.attack("harmful workbooks", f"at most {MOST_FOR_A_WORKBOOK_MB} MB, or 65")
@pytest.mark.parametrize("name", [QUICK_WORKBOOK, *OTHER_WORKBOOKS])
def test_a_workbook_does_not_fill_the_memory(desk: Desk, proof: Proof, name: str) -> None:
    (desk.folder / "bomb.xlsx").write_bytes(workbook(WORKBOOKS[name]()).getvalue())
    ended, most_mb = peak_mb(Desk(desk.folder, program(MEASURED)), "bomb.xlsx")
    proof(**{f"MB for {name}": most_mb})
    assert most_mb < MOST_FOR_A_WORKBOOK_MB
    assert ended.code == 65, ended.err  # those that are read have no header


@measurable
@pytest.mark.needs("python_calamine")
def test_a_workbook_would_fill_it_without_a_limit(desk: Desk) -> None:
    """The control."""
    (desk.folder / "bomb.xlsx").write_bytes(workbook(far_away("AF1048576")).getvalue())
    ended, most_mb = peak_mb(Desk(desk.folder, program(MEASURED, UNLIMITED)), "bomb.xlsx")
    assert most_mb > MOST_FOR_A_WORKBOOK_MB, ended.err


# ── files that are in motion ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def fifo(desk: Desk) -> Iterator[Path]:
    path = desk.folder / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(table(A, "x"),))
    writer.start()
    yield path
    writer.join()


def test_a_named_pipe_is_an_input(desk: Desk, fifo: Path) -> None:
    ended = desk.do("plan", fifo.name, "--json")
    check_rows(Rows((A,), {2: ("not_digits", "customerId")}), ended, results(desk))


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """A desk with a file that somebody writes to while it is read."""
    path = tmp_path / "a.csv"
    path.write_text(HEADER + ROW_A)
    stage = staging._stage

    def meanwhile(record: Record, mapper: Mapper) -> StagedRow:
        if record.row == 1:
            with path.open("a") as file:
                file.write(ROW_B)
        return stage(record, mapper)

    monkeypatch.setattr(staging, "_stage", meanwhile)
    return InProcess(tmp_path)


def test_a_file_that_changes_while_it_is_read_is_refused(growing: InProcess) -> None:
    ended = growing.do("plan", "a.csv", "--json")
    check_refused(Refused(("a.csv", "changed while it was being read", "again")), ended)
    assert results(growing) == []


def test_a_reader_that_does_not_look_is_caught(
    growing: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr("bulk_unenroll.inputs.source._fingerprint", lambda handle: (0, 0))
    with pytest.raises(AssertionError):
        test_a_file_that_changes_while_it_is_read_is_refused(growing)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_refused(desk: Desk) -> None:
    path = desk.folder / "a.csv"
    path.write_text(HEADER + ROW_A)
    path.chmod(0)
    check_refused(Refused(("a.csv", "Permission denied")), desk.do("plan", "a.csv", "--json"))
