"""Every option of the interface does what it says, seen from outside."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet as pq

from bulk_unenroll.cli.app import cli
from tests.kit.command import REPO, SAMPLES, Desk, Witness, people
from tests.kit.terminal import talk
from tests.kit.tiers import thorough

pytestmark = pytest.mark.in_process
Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")


def rows(customers: range, group: int = 1001, target: int = 2001) -> list[tuple[int, int, int]]:
    return [(who, group, target) for who in customers]


class TestReading:
    def test_columns_and_constants(self, desk: Desk, witness: Start) -> None:
        api = witness()
        (desk.folder / "a.csv").write_bytes("\ufeffMember No;Name\n7;Zoë\n".encode())
        ended = desk.do(
            "run", "a.csv", *FAST, "--column", "customerId=Member No",
            "--target-group-id", "1001", "--target-id", "2001",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        assert [(c["group"], c["target"], c["customer"]) for c in api.seen()] == [(1001, 2001, 7)]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
    def test_delimiters(self, desk: Desk, delimiter: str) -> None:
        text = "customerId,targetGroupId,targetId\n7,1001,2001\n".replace(",", delimiter)
        (desk.folder / "a.csv").write_text(text)
        given = ["--delimiter", delimiter] if delimiter == "^" else []
        assert desk.do("plan", "a.csv", "--json", *given).json["rows"]["unique"] == 1

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_encodings(self, desk: Desk, encoding: str) -> None:
        text = "customerId,targetGroupId,targetId,name\n7,1001,2001,Zoë\n"
        (desk.folder / "a.csv").write_bytes(text.encode(encoding))
        given = ["--encoding", "cp1252"] if encoding == "cp1252" else []
        assert desk.do("plan", "a.csv", *given).code == 0
        desk.do("export", "a.unenroll", "--to", "a.jsonl")
        assert json.loads((desk.folder / "a.jsonl").read_text())["input"]["name"] == "Zoë"

    def test_standard_input(self, desk: Desk, witness: Start) -> None:
        api = witness()
        text = "customerId,targetGroupId,targetId\n7,1001,2001\n"
        assert desk.do("run", "-", *FAST, stdin=text).code == 0
        assert len(api.seen()) == 1
        assert (desk.folder / "stdin.unenroll/results.csv").exists()

    def test_globs_and_folders_of_parts(self, desk: Desk) -> None:
        for n in range(3):
            desk.write(f"part{n}.csv", rows(range(n * 10, n * 10 + 11))[1:] if n == 0 else
                       rows(range(n * 10, n * 10 + 11)))  # fmt: skip
        found = desk.do("plan", "part*.csv", "--json").json["rows"]
        assert found == {"read": 32, "invalid": 0, "duplicate": 2, "unique": 30}
        parts = desk.folder / "parts"
        parts.mkdir()
        for n in range(2):
            table = pa.table({"customerId": [n * 2 + 1, n * 2 + 2], "targetGroupId": [1, 1],
                              "targetId": [2, 2]})  # fmt: skip
            pq.write_table(table, parts / f"part-{n}.parquet")
        found = desk.do("plan", "parts", "--json").json
        assert found["rows"]["unique"] == 4
        assert found["folder"] == "parts.unenroll"

    def test_the_same_file_twice_counts_once(self, desk: Desk) -> None:
        desk.write("a.csv", rows(range(1, 11)))
        found = desk.do("plan", "a.csv", desk.folder / "a.csv", "--json").json
        assert found["rows"]["read"] == 10

    def test_orgs_row_by_row_and_for_all(self, desk: Desk, witness: Start) -> None:
        api = witness("[book]\norgs = [5, 6]\n")
        desk.write("a.csv", [("SELF", 1, 1001, 2001), (5, 1, 1001, 2001)],
                   "orgId", "customerId", "targetGroupId", "targetId")  # fmt: skip
        assert desk.do("run", "a.csv", *FAST).code == 0
        assert sorted(c["org"] or 0 for c in api.seen()) == [0, 5]
        desk.write("b.csv", rows(range(1, 3)))
        assert desk.do("run", "b.csv", *FAST, "--data-scope-org", "6").code == 0
        assert [c["org"] for c in api.seen()[2:]] == [6, 6]

    def test_max_invalid(self, desk: Desk) -> None:
        desk.write("a.csv", [*rows(range(1, 10)), ("x", 1001, 2001)])
        assert desk.do("plan", "a.csv").code == 1
        assert desk.do("plan", "a.csv", "--max-invalid", "9%").code == 65
        assert desk.do("plan", "a.csv", "--max-invalid", "0").code == 65
        assert desk.do("plan", "a.csv", "--max-invalid", "1").code == 1
        desk.write("b.csv", [*rows(range(1, 5)), ("x", 1001, 2001)])
        assert desk.do("plan", "b.csv").code == 1
        ended = desk.do("run", "b.csv", "--sandbox", "--yes", "--json")
        assert ended.code == 65
        assert ended.json["rows"]["invalid"] == 1
        assert desk.do("resume", "b-rehearsal.unenroll").code == 2


class TestPlan:
    def test_what_it_prints(self, desk: Desk, witness: Start) -> None:
        api = witness()
        path = desk.write("a.csv", [*rows(people(100)), *rows(people(5), 1001, 2002),
                                    ("4.2E+08", 1001, 2001), *rows(people(1))])  # fmt: skip
        out = desk.do("plan", "a.csv", "--rate", "50/min").out
        import hashlib

        assert hashlib.sha256(path.read_bytes()).hexdigest() in out
        assert "107 rows read = 1 invalid + 1 duplicate + 105" in out
        assert re.search(r"1001/2001\s+100\b", out)
        assert re.search(r"exponent\s+1\s+row 106", out)
        assert "105 to call" in out
        assert "2 min" in out
        assert not api.journal.read_text()

    def test_what_was_done_before(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(1, 11)))
        desk.do("run", "a.csv", *FAST)
        desk.write("a.csv", rows(range(6, 21)))
        out = desk.do("plan", "a.csv").out
        assert "5 of them were settled" in out
        assert "10 new, 5 known" in out


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601", "soon"])
@pytest.mark.parametrize("option", ["--read-timeout", "--connect-timeout"])
def test_a_timeout_is_a_number_of_seconds(option: str, seconds: str) -> None:
    parsed = CliRunner().invoke(cli, ["run", "a.csv", option, seconds])
    assert parsed.exit_code == 2
    assert seconds in parsed.output


class TestSending:
    def test_in_doubt_hold_and_max_attempts(self, desk: Desk, witness: Start) -> None:
        api = witness('[[rule]]\nact = "reset_after"\n')
        desk.write("a.csv", rows(range(1, 2)))
        ended = desk.do("run", "a.csv", *FAST, "--in-doubt", "hold", "--json")
        assert ended.code == 3
        assert ended.json["status"]["in_doubt"] == 1
        assert len(api.seen()) == 1
        ended = desk.do("resume", "a.unenroll", "--json")
        assert ended.json["exit"] == {
            "code": 3,
            "reason": "nothing is left to call: 1 row in doubt",
        }
        assert len(api.seen()) == 1, "the folder remembers that doubts are held"
        again = ("--in-doubt", "resend", "--max-attempts", "2", "--rate", "99/s")
        assert desk.do("resume", "a.unenroll", *again).code == 3
        assert len(api.seen()) == 3

    def test_read_timeout_ends_in_doubt(self, desk: Desk, witness: Start) -> None:
        witness('[[rule]]\nact = "silent"\n')
        desk.write("a.csv", rows(range(1, 2)))
        began = time.monotonic()
        ended = desk.do("run", "a.csv", *FAST, "--read-timeout", "0.5", "--max-attempts", "1",
                        "--json")  # fmt: skip
        assert ended.json["codes"] == {"timeout": 1}
        assert ended.json["next"] == "bulk-unenroll resume a.unenroll"
        assert time.monotonic() - began < 20  # its default is half a minute

    @pytest.mark.thorough
    def test_a_dripping_answer_is_cut_off_too(self, desk: Desk, witness: Start) -> None:
        witness('[[rule]]\nact = "drip"\n')
        desk.write("a.csv", rows(range(1, 2)))
        ended = desk.do("run", "a.csv", *FAST, "--read-timeout", "1.5", "--max-attempts", "1",
                        "--json", timeout_s=20)  # fmt: skip
        assert ended.json["codes"] == {"timeout": 1}

    def test_canary(self, desk: Desk, witness: Start) -> None:
        api = witness("[[rule]]\nact = 'answer'\ncode = 310011\n")
        desk.write("a.csv", rows(people(100)))
        ended = desk.do("run", "a.csv", *FAST, "--canary", "4", "--json")
        assert ended.code == 69
        assert ended.json["status"]["failed"] == len(api.seen()) == 4
        assert ended.json["status"]["pending"] == 96

    def test_max_failures(self, desk: Desk, witness: Start) -> None:
        api = witness("[[rule]]\nact = 'answer'\ncode = 310011\n")
        desk.write("a.csv", rows(people(100)))
        options = ("--canary", "0", "--max-failures", "0", "--concurrency", "1")
        assert desk.do("run", "a.csv", *FAST, *options).code == 69
        assert len(api.seen()) == 1
        never = ("--canary", "0", "--max-failures", "100%")
        assert desk.do("resume", "a.unenroll", "--rate", "999/s", *never).code == 1

    def test_stop_after_and_resume(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", rows(people(100)))
        ended = desk.do("run", "a.csv", "--yes", "--rate", "10/s", "--stop-after", "2s", "--json")
        assert ended.code == 3
        assert 5 < len(api.seen()) < 25
        assert ended.json["status"]["pending"] == 100 - len(api.seen())
        assert ended.json["next"] == "bulk-unenroll resume a.unenroll"

    def test_stop_at(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(1, 4)))
        later = (datetime.now() + timedelta(hours=2)).strftime("%H:%M")
        assert desk.do("run", "a.csv", *FAST, "--stop-at", later).code == 0
        assert desk.do("run", "a.csv", *FAST, "--stop-at", "25:00").code == 2

    def test_rate(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", rows(people(60)))
        assert desk.do("run", "a.csv", "--yes", "--rate", "20/s").code == 0
        at = [call["at_s"] for call in api.seen()]
        assert len(at) == 60
        for first, beyond in zip(at, at[20:], strict=False):
            # seen at the server, where a busy machine shifts arrivals; proof/test_pace.py is exact
            assert beyond - first > 0.9

    def test_retry_by_state_and_target(self, desk: Desk, witness: Start) -> None:
        api = witness('[book]\ntargets = ["1001/2001"]\n')
        desk.write("a.csv", [*rows(range(1, 6)), *rows(range(1, 6), 1001, 9),
                             *rows(range(1, 6), 7, 8)])  # fmt: skip
        ended = desk.do("run", "a.csv", *FAST, "--json")
        assert ended.json["status"]["blocked"] == 10
        api.ask("teach", {"targets": ["1001/9", "7/8"]})
        ended = desk.do("retry", "a.unenroll", "--target", "1001/9", "--json", "--rate", "99/s")
        assert ended.json["status"]["blocked"] == 5
        ended = desk.do("retry", "a.unenroll", "--state", "failed", "--json")
        assert ended.json["status"]["blocked"] == 5
        assert desk.do("retry", "a.unenroll", "--state", "blocked", "--rate", "99/s").code == 0

    def test_no_export(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(1, 4)))
        desk.do("run", "a.csv", *FAST, "--no-export")
        assert not (desk.folder / "a.unenroll/results.csv").exists()

    def test_oauth(self, desk: Desk, witness: Start) -> None:
        api = witness("[oauth]\nttl_s = 0.5\n")
        for name in ("USERNAME", "PASSWORD"):
            del desk.environment[f"BULK_UNENROLL_{name}"]
        secret = desk.folder / "secret"
        secret.write_text("sandbox-secret\n")
        desk.environment |= {
            "BULK_UNENROLL_CLIENT_KEY": "sandbox-key",
            "BULK_UNENROLL_CLIENT_SECRET_FILE": str(secret),
        }
        desk.write("a.csv", rows(people(100)))
        assert desk.do("run", "a.csv", "--yes", "--rate", "50/s").code == 0
        assert len(api.applied()) == 100


class TestOutput:
    def test_only_json_is_on_stdout(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(1, 4)))
        ended = desk.do("run", "a.csv", *FAST, "--json", "-v")
        keys = set(json.loads(ended.out))
        assert keys == {"folder", "run_id", "exit", "rows", "status", "codes", "attempts",
                        "warnings", "seconds", "next", "alarms", "rehearsal", "advice",
                        "settings", "job", "host", "plan_id"}  # fmt: skip

    def test_ids_are_logged_only_if_asked_for(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(423789336, 423789339)))
        ended = desk.do("run", "a.csv", *FAST, "-v", "--log-file", "a.log")
        assert "423789336" not in ended.err + ended.out + (desk.folder / "a.log").read_text()
        more = ("--allow", "again", "-v", "--log-file", "b.log", "--log-ids")
        desk.do("run", "a.csv", "--out", "b", *FAST, *more)
        assert "423789336" in (desk.folder / "b.log").read_text()

    def test_logs_are_json_off_a_terminal(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(range(1, 4)))
        lines = desk.do("run", "a.csv", *FAST, "-v").err.strip().splitlines()
        assert all(json.loads(line)["event"] for line in lines)
        lines = desk.do("resume", "a.unenroll", "--log-format", "console").err.splitlines()
        assert not lines[0].startswith("{")

    def test_warnings_count_answers_for_another_customer(self, desk: Desk, witness: Start) -> None:
        witness("""[[rule]]\nact = "answer"\nbody = '{"data": 5, "errors": null}'\n""")
        desk.write("a.csv", rows(range(1, 4)))
        ended = desk.do("run", "a.csv", *FAST, "--json")
        assert ended.code == 0
        assert ended.json["warnings"] == {"data_mismatch": 3}

    def test_export_explain_codes(self, desk: Desk, witness: Start) -> None:
        witness('[book]\ntargets = ["1001/2001"]\n')
        desk.write("a.csv", [*rows(range(1, 6)), *rows(range(1, 6), 1001, 9), (1, 1001, 2001)])
        desk.do("run", "a.csv", *FAST)
        desk.do("export", "a.unenroll", "--to", "b.csv", "--state", "blocked")
        assert len(desk.results("b.csv")) == 5
        desk.do("export", "a.unenroll", "--to", "b.parquet", "--code", "310018")
        table = pq.read_table(desk.folder / "b.parquet")
        assert table["customer_id"].to_pylist() == [1, 2, 3, 4, 5]
        assert str(table.schema.field("customer_id").type) == "int64"
        told = desk.do("explain", "a.unenroll/ledger.sqlite", "1").out
        for word in ("row 1", "succeeded", "blocked", "duplicate", "1001/9"):
            assert word in told
        listed = desk.do("codes").out
        assert "310018" in listed
        assert "target rule not found" in listed


class TestTerminal:
    """On a terminal the user types the number of customers."""

    def talk(self, desk: Desk, typed: str) -> tuple[int, str]:
        words = ("run", "a.csv", "--rate", "999/s")
        return talk(desk, words, ("Type the number", typed))

    def test_the_question_names_the_place_and_the_number(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.write("a.csv", rows(people(30)))
        _, said = self.talk(desk, "30")
        place = desk.environment["BULK_UNENROLL_BASE_URL"].partition("://")[2]
        said = " ".join(said.split())
        assert f"This cannot be undone. 30 customers would be called at {place}" in said

    @pytest.mark.parametrize("typed", ["1,200", *thorough("1 200", "1.200", "1200")])
    def test_separators_may_be_typed(self, desk: Desk, witness: Start, typed: str) -> None:
        api = witness()
        desk.write("a.csv", rows(people(1200)))
        code, said = self.talk(desk, typed)
        assert code == 0, said
        assert len(api.seen()) == 1200

    @pytest.mark.parametrize("typed", ["12,00", *thorough("1,2", "1200.", "1,2,00", "-1,200")])
    def test_other_separators_are_a_wrong_number(
        self, desk: Desk, witness: Start, typed: str
    ) -> None:
        api = witness()
        desk.write("a.csv", rows(people(1200)))
        code, said = self.talk(desk, typed)
        assert (code, api.seen()) == (2, []), said

    def test_what_was_typed_before_the_question_is_no_answer(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", rows(people(30)))
        words = ("run", "a.csv", "--rate", "999/s")
        code, _ = talk(desk, words, ("", "30"), ("Type the number", "31"))
        assert (code, api.seen()) == (2, [])

    def test_the_right_number_sends(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", rows(people(30)))
        code, said = self.talk(desk, "30")
        assert code == 0, said
        assert len(api.seen()) == 30

    def test_a_wrong_number_sends_nothing(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", rows(people(30)))
        code, said = self.talk(desk, "yes")
        assert code == 2
        assert "nothing was sent" in said
        assert not api.journal.read_text()


@pytest.mark.thorough
def test_every_command_of_the_readme_runs(desk: Desk, witness: Start) -> None:
    """Each line that begins with bulk-unenroll, in order, but for servers and the real API."""
    witness()
    text = (REPO / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    (desk.folder / "sample_inputs").symlink_to(SAMPLES)
    desk.do("run", SAMPLES / "cleanup.csv", *FAST)
    ran = 0
    for line in lines:
        if not line.startswith("bulk-unenroll ") or "--port" in line or "customers.csv" in line:
            continue
        if "s3://" in line or line.startswith("bulk-unenroll serve"):
            continue
        words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
        if words[0] in ("run", "resume", "retry"):
            words += ["--rate", "2000/s"]
        ended = desk.do(*words)
        assert ended.code in (0, 1), (line, ended.err)
        ran += 1
    assert ran >= 12


def test_the_help_of_every_command(desk: Desk) -> None:
    names = ("plan", "run", "resume", "retry", "status", "export", "explain", "verify", "codes",
             "sandbox")  # fmt: skip
    listed = desk.do("--help").out
    for name in names:
        assert name in listed
        ended = desk.do(name, "--help")
        assert ended.code == 0
        assert "Usage:" in ended.out
    assert Path("--help").name not in desk.do("run", "--help").out.split("Options:")[0]
