"""A job file to begin with: written by looking at the input, checked and run unchanged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
import xlsxwriter

from tests.kit.command import CREDENTIALS, SAMPLES, Desk, Witness, people
from tests.kit.terminal import talk

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]


def test_a_new_job_is_a_rehearsal_that_passes_its_check_and_runs(desk: Desk) -> None:
    made = desk.do("init", "jobs/cleanup.toml", "--input", SAMPLES / "cleanup.csv")
    assert made.code == 0
    assert made.out == "wrote jobs/cleanup.toml; next: bulk-unenroll job check jobs/cleanup.toml\n"
    checked = desk.do("job", "check", "jobs/cleanup.toml")
    assert checked.code == 0, checked.out
    ran = desk.do("job", "run", "jobs/cleanup.toml", "--yes", "--rate", "2000/s", "--json")
    assert ran.code == 1
    assert ran.json["rows"]["read"] == 1037
    assert (desk.folder / "jobs/cleanup-rehearsal.unenroll/results.csv").exists()


def test_for_the_real_api_only_credentials_are_left_to_give(desk: Desk, witness: Start) -> None:
    api = witness()
    for name in CREDENTIALS:
        del desk.environment[name]
    desk.write("members.csv", [(1,), (2,)], "Member No")
    made = desk.do(
        *("init", "job.toml", "--input", "members.csv", "--column", "customerId=Member No"),
        *("--target-group-id", 1001, "--target-id", 2001, "--base-url", api.base_url),
    )
    assert made.code == 0, made.err
    checked = desk.do("job", "check", "job.toml")
    assert checked.code == 78
    assert checked.out.count("wrong:") == 1
    assert "credentials" in checked.out
    desk.environment |= CREDENTIALS
    assert desk.do("job", "check", "job.toml").code == 0
    assert desk.do("job", "run", "job.toml", "--yes", "--rate", "999/s").code == 0
    assert api.applied() == {1, 2}


def test_a_person_is_asked_for_what_no_header_shows(desk: Desk) -> None:
    desk.write("members.csv", [(1, 1001, "x"), (2, 1001, "y")], "Member", "Tier", "Name")
    code, said = talk(
        desk,
        ["init", "job.toml"],
        ("Which file", "members.csv"),
        ("holds customerId (Member, Tier, Name)", "Member No"),
        ("holds customerId", "Member"),
        ("holds targetGroupId", "Tier"),
        ("holds targetId", "2001"),
        ("Base URL", ""),
        ("must never be called", "never.csv"),
        ("time of day", "22:00"),
        ("time of day", "22:00-05:00"),
    )
    assert code == 0, said
    assert "'22:00' is not a window" in said
    assert "'Member No' is not one of these" in said
    text = (desk.folder / "job.toml").read_text()
    assert 'columns = { customerId = "Member", targetGroupId = "Tier" }' in text
    assert "target_id = 2001" in text
    assert 'never = ["never.csv"] ' in text
    assert 'window = "22:00-05:00" ' in text
    checked = desk.do("job", "check", "job.toml")
    assert checked.code == 78
    assert "never.csv" in checked.out
    desk.write("never.csv", [(99,)], "customerId")
    assert desk.do("job", "check", "job.toml").code == 0


def test_a_job_is_capped_at_twice_of_what_its_input_holds_today(desk: Desk) -> None:
    rows = [(who, 1001, 2001) for who in people(30)] + [(who, 1001, 2002) for who in people(12)]
    desk.write("a.csv", rows)
    made = desk.do("init", "job.toml", "--input", "a.csv", "--never", "never.csv")
    assert made.code == 0, made.err
    text = (desk.folder / "job.toml").read_text()
    assert "max_customers = 84 " in text
    assert 'max_target = ["1001/2001=60", "1001/2002=24"] ' in text
    assert 'never = ["never.csv"] ' in text
    desk.write("never.csv", [(99,)], "customerId")
    assert desk.do("job", "check", "job.toml").code == 0
    desk.write("a.csv", [(who, 1001, 2001) for who in people(61)])
    too_many = desk.do("job", "run", "job.toml", "--yes")
    assert too_many.code == 65
    assert "--max-target allows 60" in too_many.last_lines[0]


def test_the_input_of_tonight_is_checked_and_every_night_s_is_named(desk: Desk) -> None:
    today = datetime.now().astimezone()
    desk.write(f"drop-{today:%Y%m%d}.csv", [(1, 1001, 2001)])
    made = desk.do("init", "jobs/a.toml", "--input", "drop-{date:%Y%m%d}.csv")
    assert made.code == 0, made.err
    assert 'files = "../drop-{date:%Y%m%d}.csv"' in (desk.folder / "jobs/a.toml").read_text()
    assert desk.do("job", "check", "jobs/a.toml").code == 0


def test_one_sheet_of_a_workbook_must_be_named(desk: Desk) -> None:
    with xlsxwriter.Workbook(desk.folder / "members.xlsx") as book:
        for name in ("April", "May"):
            book.add_worksheet(name).write_row(0, 0, ["customerId", "targetGroupId", "targetId"])
    words = ("init", "job.toml", "--input", "members.xlsx")
    assert "choose one with --sheet" in desk.do(*words).err
    assert desk.do(*words, "--sheet", "May").code == 0
    assert desk.do("job", "check", "job.toml").code == 0


def test_what_is_there_is_never_overwritten(desk: Desk) -> None:
    (desk.folder / "job.toml").write_text("precious")
    made = desk.do("init", "job.toml", "--input", SAMPLES / "cleanup.csv")
    assert made.code == 2
    assert "already exists" in made.err
    assert (desk.folder / "job.toml").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "give --input INPUT"),
        (("--input", "-"), 2, "give the path of a file"),
        (("--input", "none.csv"), 66, "none.csv does not exist"),
        (("--input", SAMPLES / "members.csv"), 65, "--column customerId="),
        (("--input", SAMPLES / "cleanup.csv", "--base-url", "http://x.example/v3.1"), 78, "https"),
    ],
)
def test_without_a_terminal_what_is_missing_is_named_and_nothing_written(
    desk: Desk, words: tuple[object, ...], code: int, said: str
) -> None:
    made = desk.do("init", "job.toml", *words)
    assert made.code == code
    assert said in made.err
    assert not (desk.folder / "job.toml").exists()
