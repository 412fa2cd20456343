"""Files that this program wrote, as inputs; and what a source is: the name that a user gives it."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tests.kit.command import Desk, Witness, people

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
MANY = people(30)
BAD = """
[[rule]]
customers = [{failed}]
act = "answer"
code = 310011

[[rule]]
customers = [{review}]
act = "answer"
code = 999999
"""


def customers_of(path: Path, delimiter: str = ",") -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [row["customerId"] for row in csv.DictReader(file, delimiter=delimiter)]


def rewrite(path: Path, mend: dict[str, str]) -> bytes:
    """Mend cells of a file as a person would; its new content."""
    text = path.read_text("utf-8")
    for wrong, right in mend.items():
        assert wrong in text
        text = text.replace(wrong, right)
    path.write_text(text, "utf-8", newline="")
    return path.read_bytes()


@pytest.fixture
def night(desk: Desk, witness: Start) -> tuple[Desk, Witness]:
    """A run in which one customer failed, one must be looked at, and one row is invalid."""
    api = witness(BAD.format(failed=MANY[3], review=MANY[4]))
    rows: Sequence[Sequence[object]] = [(who, 1001, 2001) for who in MANY]
    desk.write("job.csv", [*rows, ("n/a", 1001, 2001)])
    assert desk.do("run", "job.csv", *FAST).code == 1
    return desk, api


def calls_of(api: Witness) -> Counter[int]:
    return Counter(entry["customer"] for entry in api.seen())


class TestMended:
    """``failed.csv`` belongs to its folder: nobody is called again by mending it."""

    def test_what_it_holds(self, night: tuple[Desk, Witness]) -> None:
        desk, _ = night
        assert customers_of(desk.folder / "job.unenroll/failed.csv") == [
            str(MANY[3]),
            str(MANY[4]),
            "n/a",
        ]

    def test_the_printed_command_calls_only_the_mended_row(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, api = night
        before = calls_of(api)
        new = people(1, before=100)[0]
        mended = rewrite(desk.folder / "job.unenroll/failed.csv", {"n/a": str(new)})
        ended = desk.do("run", "job.unenroll/failed.csv", *FAST, "--json")
        assert ended.json["folder"] == "job.unenroll"
        assert calls_of(api) - before == Counter({new: 1})
        assert not (desk.folder / "failed.unenroll").exists()
        # the file that was given stays, and the next one stands beside it
        assert (desk.folder / "job.unenroll/failed.csv").read_bytes() == mended
        assert customers_of(desk.folder / "job.unenroll/failed-2.csv") == [
            str(MANY[3]),
            str(MANY[4]),
        ]
        results = desk.results()
        assert len(results) == 31 + 3
        assert results[-1]["unenroll_status"] == "succeeded"

    def test_who_was_looked_at_by_hand_is_called_by_retry_alone(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, api = night
        rewrite(desk.folder / "job.unenroll/failed.csv", {"n/a": "420000007"})
        desk.do("run", "job.unenroll/failed.csv", *FAST)
        assert calls_of(api)[MANY[4]] == 1
        desk.do("retry", "job.unenroll", "--state", "review", "--rate", "2000/s")
        assert calls_of(api)[MANY[4]] == 2

    def test_who_is_in_doubt_too(self, desk: Desk, witness: Start) -> None:
        api = witness(f'[[rule]]\ncustomers = [{MANY[5]}]\nact = "reset_after"\n')
        desk.write("job.csv", [*((who, 1001, 2001) for who in MANY), ("n/a", 1001, 2001)])
        desk.do("run", "job.csv", *FAST, "--max-attempts", "1")
        assert desk.do("status", "job.unenroll", "--json").json["status"]["in_doubt"] == 1
        rewrite(desk.folder / "job.unenroll/failed.csv", {"n/a": "420000007"})
        before = calls_of(api)
        ended = desk.do("run", "job.unenroll/failed.csv", *FAST)
        assert ended.code == 3
        assert calls_of(api) - before == Counter({420000007: 1})

    def test_a_file_that_is_being_mended_survives_a_resume(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, _ = night
        path = desk.folder / "job.unenroll/failed.csv"
        mended = rewrite(path, {"n/a": "420000007"})
        ended = desk.do("retry", "job.unenroll", "--rate", "2000/s")
        assert path.read_bytes() == mended
        assert (desk.folder / "job.unenroll/failed-2.csv").exists()
        assert "failed-2.csv" in ended.out
        desk.do("retry", "job.unenroll", "--rate", "2000/s")
        assert not (desk.folder / "job.unenroll/failed-3.csv").exists()

    def test_one_that_nobody_touched_is_replaced(self, night: tuple[Desk, Witness]) -> None:
        desk, _ = night
        desk.do("retry", "job.unenroll", "--rate", "2000/s")
        names = {path.name for path in (desk.folder / "job.unenroll").glob("*.csv")}
        assert names == {"results.csv", "failed.csv"}


class TestElsewhere:
    @pytest.mark.parametrize("command", [("plan",), ("run", "--yes")])
    def test_a_copy_asks_for_its_folder(
        self, night: tuple[Desk, Witness], command: Sequence[str]
    ) -> None:
        desk, api = night
        calls = len(api.seen())
        (desk.folder / "job.unenroll/failed.csv").rename(desk.folder / "mended.csv")
        ended = desk.do(command[0], "mended.csv", *command[1:])
        assert ended.code == 2
        assert "belongs to a run folder" in ended.last_lines[0]
        assert ended.last_lines[1].endswith("--out FOLDER")
        assert not (desk.folder / "mended.unenroll").exists()
        assert len(api.seen()) == calls

    def test_in_a_new_folder_nobody_is_called_whom_a_person_should_look_up(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, api = night
        path = (desk.folder / "job.unenroll/failed.csv").rename(desk.folder / "mended.csv")
        rewrite(path, {"n/a": "420000007"})
        before = calls_of(api)
        ended = desk.do("run", "mended.csv", "--out", "new", *FAST, "--json", "--max-invalid", "9")
        called = calls_of(api) - before
        assert set(called) == {MANY[3], 420000007}
        assert ended.json["rows"]["invalid"] == 1
        assert (
            "undecided"
            in desk.do("status", "new").out + (desk.folder / "new/failed.csv").read_text()
        )

    def test_with_its_folder_named_it_goes_on_there(self, night: tuple[Desk, Witness]) -> None:
        desk, api = night
        before = calls_of(api)
        (desk.folder / "job.unenroll/failed.csv").rename(desk.folder / "mended.csv")
        rewrite(desk.folder / "mended.csv", {"n/a": "420000007"})
        desk.do("run", "mended.csv", "--out", "job.unenroll", *FAST)
        assert calls_of(api) - before == Counter({420000007: 1})

    def test_another_folder_than_that_in_which_it_lies_is_refused(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, api = night
        calls = len(api.seen())
        ended = desk.do("run", "job.unenroll/failed.csv", "--out", "new.unenroll", *FAST)
        assert ended.code == 2
        assert "--out job.unenroll" in ended.last_lines[0]
        assert len(api.seen()) == calls

    def test_on_standard_input_it_asks_too(self, night: tuple[Desk, Witness]) -> None:
        desk, _ = night
        text = (desk.folder / "job.unenroll/failed.csv").read_bytes()
        assert desk.do("plan", "-", stdin=text).code == 2

    def test_an_export_does_not_overwrite_an_input_or_the_ledger(
        self, night: tuple[Desk, Witness]
    ) -> None:
        desk, _ = night
        before = (desk.folder / "job.csv").read_bytes()
        ended = desk.do("export", "job.unenroll", "--to", "job.csv")
        assert (ended.code, (desk.folder / "job.csv").read_bytes()) == (2, before)
        (desk.folder / "link.csv").symlink_to("job.csv")
        assert desk.do("export", "job.unenroll", "--to", "link.csv").code == 2
        os.link(desk.folder / "job.unenroll/ledger.sqlite", desk.folder / "ledger.csv")
        assert desk.do("export", "job.unenroll", "--to", "ledger.csv").code == 2


class TestSources:
    """A source is what the user keeps naming."""

    def write(self, desk: Desk, name: str, customers: Sequence[int]) -> None:
        desk.write(name, [(who, 1001, 2001) for who in customers])

    def test_a_link_to_the_file_of_the_day(self, desk: Desk, witness: Start) -> None:
        api = witness()
        self.write(desk, "day-1.csv", MANY)
        self.write(desk, "day-2.csv", MANY[:10])
        link = desk.folder / "latest.csv"
        link.symlink_to("day-1.csv")
        desk.do("run", "latest.csv", *FAST, "--stop-after", "0s")
        called = set(calls_of(api))
        link.unlink()
        link.symlink_to("day-2.csv")
        assert "gone" in desk.do("plan", "latest.csv").out
        desk.do("run", "latest.csv", *FAST)
        desk.do("resume", "latest.unenroll", "--rate", "2000/s")
        assert set(calls_of(api)) == set(MANY[:10]) | called

    def test_a_configuration_that_is_mounted(self, desk: Desk, witness: Start) -> None:
        """As a ConfigMap is: a link to a link to a folder, which is exchanged as a whole."""
        api = witness()
        for number, customers in enumerate((MANY, MANY[:10])):
            (desk.folder / f"v{number}").mkdir()
            self.write(desk, f"v{number}/list.csv", customers)
        (desk.folder / "..data").symlink_to("v0")
        (desk.folder / "list.csv").symlink_to("..data/list.csv")
        desk.do("run", "list.csv", *FAST, "--stop-after", "0s")
        called = set(calls_of(api))
        (desk.folder / "..data").unlink()
        (desk.folder / "..data").symlink_to("v1")
        desk.do("run", "list.csv", *FAST)
        desk.do("resume", "list.unenroll", "--rate", "2000/s")
        assert set(calls_of(api)) == set(MANY[:10]) | called

    @pytest.mark.parametrize("given", ["drop", "drop/*.parquet"])
    def test_a_part_that_is_gone_is_superseded(
        self, desk: Desk, witness: Start, given: str
    ) -> None:
        api = witness()
        drop = desk.folder / "drop"
        drop.mkdir()
        for number, customers in enumerate((MANY[:10], MANY[10:20], MANY[20:])):
            table = pa.table(
                {"customerId": customers, "targetGroupId": [1001] * 10, "targetId": [2001] * 10}
            )
            pq.write_table(table, drop / f"{number}.parquet")
        desk.do("run", given, *FAST, "--out", "d.unenroll", "--stop-after", "0s")
        called = set(calls_of(api))
        (drop / "1.parquet").unlink()
        out = desk.do("plan", given, "--out", "d.unenroll").out
        assert f"{len(set(MANY[10:20]) - called)} gone" in out
        desk.do("run", given, *FAST, "--out", "d.unenroll")
        desk.do("resume", "d.unenroll", "--rate", "2000/s")
        assert set(calls_of(api)) == {*MANY[:10], *MANY[20:]} | called

    def test_one_part_given_by_its_own_name_supersedes_no_other(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        self.write(desk, "a-1.csv", MANY[:15])
        self.write(desk, "a-2.csv", MANY[15:])
        desk.do("plan", "a-*.csv", "--out", "a.unenroll")
        desk.do("run", "a-*.csv", "--out", "a.unenroll", *FAST, "--stop-after", "0s")
        desk.do("run", "a-1.csv", "--out", "a.unenroll", *FAST)
        desk.do("resume", "a.unenroll", "--rate", "2000/s")
        assert set(calls_of(api)) == set(MANY)

    def test_two_files_of_one_name_are_told(self, desk: Desk, witness: Start) -> None:
        witness()
        for month, customers in (("may", MANY[:15]), ("june", MANY[15:])):
            (desk.folder / month).mkdir()
            self.write(desk, f"{month}/list.csv", customers)
        assert "also holds" not in desk.do("run", "may/list.csv", *FAST).out
        out = desk.do("plan", "june/list.csv").out
        assert f"this folder also holds {desk.folder}/may/list.csv: 15 rows, confirmed" in out


def test_rows_of_a_rehearsal_are_rehearsed_again_and_never_called_for_real(
    desk: Desk, witness: Start
) -> None:
    api = witness()
    desk.write("job.csv", [*((who, 1001, 2001) for who in MANY), ("n/a", 1001, 2001)])
    desk.do("run", "job.csv", *FAST, "--sandbox")
    failed = "job-rehearsal.unenroll/failed.csv"
    rewrite(desk.folder / failed, {"n/a": str(people(1, before=99)[0])})
    for out in ((), ("--out", "job-rehearsal.unenroll")):
        refused = desk.do("run", failed, *FAST, *out)
        assert refused.code == 78
        assert "mend the rows in the input itself" in refused.last_lines[0]
        assert "--sandbox" in refused.last_lines[1]
    assert api.seen() == []
    assert desk.do("run", failed, *FAST, "--sandbox").code == 0


def test_rows_of_a_real_run_are_not_rehearsed(night: tuple[Desk, Witness]) -> None:
    desk, _ = night
    refused = desk.do("run", "job.unenroll/failed.csv", *FAST, "--sandbox")
    assert refused.code == 78
    assert "rehearse a copy of the input" in refused.last_lines[0]
