"""Files of mutated records: refused whole, or read so that all adds up and no id is invented."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.in_process import InProcess
from tests.kit.tiers import long
from tests.proof.controls import files as controls
from tests.proof.kit.as_large import treat_all_as_large
from tests.proof.kit.mutated_files import (
    Key,
    Mutated,
    ends_in_quotes,
    expected,
    ids_that_stand_there,
    mutated_file,
)

RECORDS_A_FILE = 100
CONTROL_FILES = 200
Line = tuple[str, int | None, int | None, int | None]


@dataclass
class Findings:
    """The results of the files, and each law that was broken, with the number of the file."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, number: int, what: str) -> None:
        self.faults.append(f"file {number}: {what}")


def lines_of(folder: Path) -> list[Line]:
    """Status, group, target and customer of every row in the ledger."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        columns = "status, target_group_id, target_id, customer_id"
        return connection.execute(
            f"SELECT {columns} FROM results ORDER BY source_id, row"
        ).fetchall()


def attack(place: Path, seed: int, files: int) -> Findings:
    """Plan ``files`` files from dice, and look at what the ledger holds of each."""
    findings = Findings()
    for number in range(files):
        plan(findings, place, seed, number)
    return findings


def plan(findings: Findings, place: Path, seed: int, number: int) -> None:
    file = mutated_file(random.Random(f"{seed}/file fuzz/{number}"), RECORDS_A_FILE)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / file.name).write_bytes(file.data)
    ended = InProcess(place).do("plan", file.name, "--json", "--out", "x.unenroll")
    lines = lines_of(place / "x.unenroll")
    findings.counts.update(files=1, records=file.records)
    if ended.code == 65:
        findings.counts["refused"] += 1
        _check_refusal(findings, number, file, lines)
    elif ended.code in (0, 1):
        rows = ended.json["rows"]
        findings.counts.update({name: rows[name] for name in ("read", "invalid", "unique")})
        _check_counts(findings, number, rows, lines)
        _check_ids(findings, number, file, lines)
        _check_rows(findings, number, file, lines)
    else:
        findings.fault(number, f"exit {ended.code}: {ended.err}")


def _check_refusal(findings: Findings, number: int, file: Mutated, lines: list[Line]) -> None:
    if lines:
        findings.fault(number, f"refused, but {len(lines)} rows are in the ledger")
    if file.intact and expected(file) is not None:
        findings.fault(number, "well-formed, but refused")


def _check_counts(findings: Findings, number: int, rows: dict[str, int], lines: list[Line]) -> None:
    found = Counter(status for status, *_ in lines)
    stated = (rows["read"], rows["invalid"], rows["duplicate"], rows["unique"])
    if stated != (len(lines), found["invalid"], found["duplicate"], found["pending"]):
        findings.fault(number, f"{rows} stated, {found} kept")
    if rows["read"] != rows["invalid"] + rows["duplicate"] + rows["unique"]:
        findings.fault(number, f"{rows} do not add up")


def _check_ids(findings: Findings, number: int, file: Mutated, lines: list[Line]) -> None:
    taken = {found for _, *ids in lines for found in ids if found is not None}
    invented = taken - ids_that_stand_there(file)
    if invented:
        findings.fault(number, f"{sorted(invented)[:3]} are not in the file")


def _check_rows(findings: Findings, number: int, file: Mutated, lines: list[Line]) -> None:
    if file.text is None and not file.cells:
        findings.fault(number, "no text, but read")
    if ends_in_quotes(file):
        findings.fault(number, "a quote never closes, but read")
    wanted = expected(file)
    if wanted is None:
        return
    found: list[Key | None] = [
        None if group is None or target is None or customer is None else (group, target, customer)
        for _, group, target, customer in lines
    ]
    findings.counts["compared"] += len(found)
    if found != wanted:
        findings.fault(number, f"{len(found)} rows read, {len(wanted)} expected, or other keys")


PROMISE = "refused whole, or read = invalid + duplicate + unique; every id taken is in the file"
TIERS = [10_000, *long(200_000)]


def check_all(place: Path, seed: int, proof: Callable[..., None], records: int) -> None:
    findings = attack(place, seed, records // RECORDS_A_FILE)
    proof(**findings.counts, faults=len(findings.faults))
    assert findings.faults == [], f"seed {seed}"
    assert 0 < findings.counts["refused"] < findings.counts["files"] / 2
    assert findings.counts["compared"] > records / 3
    assert findings.counts["invalid"] > records / 10


@pytest.mark.attack("file fuzz", PROMISE)
@pytest.mark.parametrize("records", TIERS)
def test_only_ids_of_the_file_are_taken(
    tmp_path: Path, seed: int, proof: Callable[..., None], records: int
) -> None:
    check_all(tmp_path / "x", seed, proof, records)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    treat_all_as_large(monkeypatch)


@pytest.mark.usefixtures("large")
@pytest.mark.attack("file fuzz, by columns and in bulk", PROMISE)
@pytest.mark.parametrize("records", TIERS)
@pytest.mark.thorough
def test_only_ids_of_a_large_file_are_taken(
    tmp_path: Path, seed: int, proof: Callable[..., None], records: int
) -> None:
    check_all(tmp_path / "x", seed + 1, proof, records)


@pytest.mark.parametrize(
    ("broken", "by", "sign"),
    [
        ("bulk_unenroll.inputs.rows.parse_id", controls.lenient_id, "are not in the file"),
        (
            "bulk_unenroll.inputs.formats.csv_reader.csv.reader",
            controls.forgiving_reader,
            "never closes, but read",
        ),
        ("codecs.getincrementaldecoder", controls.forgiving_decoder, "no text, but read"),
        ("bulk_unenroll.inputs.staging._stage", controls.by_position(), "other keys"),
    ],
)
@pytest.mark.thorough
def test_a_reader_with_a_law_broken_is_found_out(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, broken: str, by: object, sign: str
) -> None:
    """The controls."""
    monkeypatch.setattr(broken, by)
    find_out(tmp_path / "x", seed, sign)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("broken", "by", "sign"),
    [
        ("bulk_unenroll.inputs.columns.PLAIN_ID", "^[0-9]{1,18}$", "other keys"),
        ("bulk_unenroll.ledger.sqlite.repeats._repeats", controls.no_repeats, "exit 74"),
        (
            "bulk_unenroll.inputs.formats.csv_columns._plain",
            controls.quotes_are_plain,
            "other keys",
        ),
    ],
)
@pytest.mark.thorough
def test_a_reader_of_large_files_with_a_law_broken_is_found_out(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, broken: str, by: object, sign: str
) -> None:
    """The controls."""
    monkeypatch.setattr(broken, by)
    find_out(tmp_path / "x", seed, sign)


def find_out(place: Path, seed: int, sign: str) -> None:
    findings = Findings()
    for number in range(CONTROL_FILES):
        plan(findings, place, seed, number)
        if any(sign in fault for fault in findings.faults):
            return
    pytest.fail(f"seed {seed}: not found out in {CONTROL_FILES} files")
