"""What a person has after a run: a page to hand around, and ten lines that say what to do."""

from __future__ import annotations

import shlex
import stat
import time
from collections.abc import Callable

import pytest

from tests.kit.command import SAMPLES, Desk, Ended, Witness, people
from tests.reports.kit import Paper

Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
FOLDER = "cleanup-rehearsal.unenroll"


def digest_of(ended: Ended) -> list[str]:
    """The lines between the accounting and the closing line."""
    lines = ended.out.splitlines()
    (last,) = (place for place, line in enumerate(lines) if "attempts on record" in line)
    first = max(place for place, line in enumerate(lines[:last]) if line.startswith("  review"))
    return lines[first + 1 : last]


@pytest.mark.in_process
class TestPage:
    def test_a_run_leaves_a_page_in_its_folder(self, desk: Desk) -> None:
        ended = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", *FAST)
        path = desk.folder / FOLDER / "report.html"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        paper = Paper(path)
        assert "960 of 998 customers/targets were taken out" in paper.root.text
        assert "REHEARSAL" in paper.root.text
        then = ended.last_lines[1].removeprefix("next: ")
        assert then in {code.text for code in paper.all("code")}
        by_code = paper.table("codes")["310018"]
        assert by_code[-1] == f"bulk-unenroll run {FOLDER}/failed.csv --sandbox"
        assert "@" in next(iter(paper.table("runs").values()))[0]

    def test_its_accounting_is_that_of_json(self, desk: Desk) -> None:
        told = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", "--json", *FAST).json
        rows = Paper(desk.folder / f"{told['folder']}/report.html").table("rows")
        shown = {name: int(cells[0].replace(",", "")) for name, cells in rows.items()}
        status = {name: number for name, number in told["status"].items() if name != "withdrawn"}
        read = {name: told["rows"][name] for name in ("read", "invalid", "duplicate")}
        assert shown == {**status, **read, "sum": read["read"]}

    def test_no_export_leaves_none(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("job.csv", [(7, 1001, 2001)])
        desk.do("run", "job.csv", *FAST, "--no-export")
        assert not (desk.folder / "job.unenroll/report.html").exists()

    def test_it_can_be_written_again_and_to_another_path(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("job.csv", [(7, 1001, 2001)])
        desk.do("run", "job.csv", *FAST, "--no-export")
        assert desk.do("report", "job.unenroll").out == "report → job.unenroll/report.html\n"
        assert desk.do("report", "job.unenroll/ledger.sqlite", "--to", "ticket.html").code == 0
        for name in ("job.unenroll/report.html", "ticket.html"):
            assert "1 of 1 customers/targets were taken out." in Paper(desk.folder / name).root.text

    def test_a_folder_that_was_only_planned_has_a_page_that_says_so(self, desk: Desk) -> None:
        desk.write("job.csv", [(7, 1001, 2001), (8, 1001, 2001)])
        desk.do("plan", "job.csv")
        assert desk.do("report", "job.unenroll").code == 0
        text = Paper(desk.folder / "job.unenroll/report.html").root.text
        assert "Planned only: nothing was sent" in text
        assert "Nothing was sent yet: 2 customers/targets are planned." in text
        assert "bulk-unenroll run INPUT --out job.unenroll" in text

    def test_it_can_be_written_while_a_run_goes_on(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("job.csv", [(who, 1001, 2001) for who in people(100)])
        process = desk.start("run", "job.csv", "--rate", "20/s", "--yes")
        for _ in range(1000):
            if len(api.seen()) >= 1:
                break
            time.sleep(0.01)
        assert desk.do("report", "job.unenroll", "--to", "now.html").code == 0
        process.terminate()
        process.communicate(timeout=30)
        paper = Paper(desk.folder / "now.html")
        assert "Running now" in paper.root.text
        assert paper.all("code")[0].text == "bulk-unenroll status job.unenroll --follow"

    def test_a_stopped_run_is_resumed_by_the_command_on_its_page(
        self, desk: Desk, witness: Start
    ) -> None:
        witness()
        desk.write("job.csv", [(who, 1001, 2001) for who in people(30)])
        desk.do("run", "job.csv", "--rate", "5/s", "--yes", "--stop-after", "1s")
        then = "bulk-unenroll resume job.unenroll"
        for _ in range(2):
            paper = Paper(desk.folder / "job.unenroll/report.html")
            assert paper.all("code")[0].text.startswith(then)
            desk.do("report", "job.unenroll")

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (("job.unenroll", "--to", "report.pdf"), 2),
            (("job.unenroll", "--to", "nowhere/report.html"), 73),
            (("other.unenroll",), 66),
        ],
    )
    def test_what_cannot_be_written_is_refused_with_the_next_command(
        self, desk: Desk, words: tuple[str, ...], code: int
    ) -> None:
        desk.write("job.csv", [(7, 1001, 2001)])
        desk.do("plan", "job.csv")
        ended = desk.do("report", *words)
        assert ended.code == code
        assert ended.last_lines[1].startswith("next: bulk-unenroll ")

    def test_a_page_that_cannot_be_written_fails_the_run_with_all_recorded(
        self, desk: Desk, witness: Start
    ) -> None:
        witness()
        desk.write("job.csv", [(7, 1001, 2001)])
        (desk.folder / "job.unenroll/report.html").mkdir(parents=True)
        ended = desk.do("run", "job.csv", *FAST, "--json")
        assert ended.code == 74
        assert ended.json["status"]["succeeded"] == 1
        assert desk.do("status", "job.unenroll", "--json").json["exit"]["code"] == 74


@pytest.mark.in_process
class TestDigest:
    def test_ten_lines_say_what_failed_where_with_an_example_and_what_to_do(
        self, desk: Desk
    ) -> None:
        ended = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", *FAST)
        lines = digest_of(ended)
        assert len(lines) <= 10
        assert lines[:2] == [
            "30 blocked: 310018 at 1002/999999, such as row 533 (line 534) of cleanup.csv:"
            " check targetId: the rule's id, not a customer's target id",
            f"  bulk-unenroll run {FOLDER}/failed.csv --sandbox",
        ]
        assert lines[-2].startswith("14 invalid: fix them in failed.csv, then bulk-unenroll run ")
        assert lines[-1] == "and 3 more pairs of code and target, with 3 customers"

    def test_its_example_is_a_row_with_that_state_and_code(self, desk: Desk) -> None:
        ended = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", *FAST)
        number = digest_of(ended)[0].split("such as row ")[1].split()[0]
        (row,) = (
            row for row in desk.results(f"{FOLDER}/results.csv") if row["unenroll_row"] == number
        )
        assert (row["unenroll_status"], row["unenroll_code"]) == ("blocked", "310018")

    def test_its_command_calls_again_exactly_its_rows(self, desk: Desk, witness: Start) -> None:
        api = witness("[book]\ncustomers = [1, 2, 3]\n")
        rows = [(who, 1001, target) for who in range(1, 7) for target in (2001, 2002)]
        desk.write("job.csv", rows)
        ended = desk.do("run", "job.csv", *FAST, "--canary", "0", "--max-failures", "100%")
        then = next(line for line in ended.out.splitlines() if "--target 1001/2002" in line)
        before = len(api.seen())
        desk.do(*shlex.split(then)[1:], "--rate", "2000/s", "--max-failures", "100%")
        again = api.seen()[before:]
        assert {(call["customer"], call["target"]) for call in again} == {
            (4, 2002),
            (5, 2002),
            (6, 2002),
        }

    def test_it_holds_no_customer_id(self, desk: Desk) -> None:
        ended = desk.do("run", SAMPLES / "cleanup.csv", "--sandbox", *FAST)
        customers = {row["Customer ID"] for row in desk.results(f"{FOLDER}/results.csv")}
        assert not [who for who in customers if who.isdecimal() and who in str(digest_of(ended))]

    def test_no_command_follows_when_all_succeeded(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("job.csv", [(7, 1001, 2001)])
        assert "retry" not in desk.do("run", "job.csv", *FAST).out


@pytest.mark.in_process
def test_what_a_server_says_moves_no_cursor_and_colours_nothing(desk: Desk, witness: Start) -> None:
    witness(
        '[[rule]]\nact = "answer"\nstatus = 400\n'
        'code = "\\u001b[2J[red]gone[/]"\nmessage = "\\u001b]0;taken\\u0007"\n'
    )
    desk.write("job.csv", [(7, 1001, 2001)])
    ended = desk.do("run", "job.csv", *FAST)
    assert "[2J[red]gone[/] at 1001/2001" in ended.out
    assert "\x1b" not in ended.out
    assert "\x1b" not in (desk.folder / "job.unenroll/report.html").read_text("utf-8")
