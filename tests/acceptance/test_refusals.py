"""What cannot go on: one clear line, the next step, the documented exit code, nothing lost."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.command import CREDENTIALS, PROGRAM, SAMPLES, Desk, Ended, Witness, people

Start = Callable[..., Witness]
HEADER = "customerId,targetGroupId,targetId\n"
GOOD = HEADER + "423789336,1001,2001\n"

WITH_FILES_AT_MOST = """
import os, resource, sys
most_bytes = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
os.execv(sys.executable, [sys.executable, "-m", "bulk_unenroll", *sys.argv[2:]])
"""


def refused(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended.err
    what, then = ended.last_lines
    assert what.endswith(f"(exit {code})")
    assert then.startswith("next: ")
    for word in words:
        assert word in what


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "a.csv", "--rate", "fast"), 2),
        (("run", "a.csv", "--sandbox"), 2),
        (("plan", "headless.csv"), 65),
        (("plan", "none.csv"), 66),
        (("run", "a.csv", "--yes", "--base-url", "http://127.0.0.1:9/v3.1"), 78),
        (("plan", "a.csv", "--out", "a.csv"), 73),
        (("status", "damaged"), 74),
    ],
)
def test_a_process_ends_with_the_documented_code_and_two_lines(
    desk: Desk, words: tuple[str, ...], code: int
) -> None:
    """The tests below run in the process of the tests; this one starts real processes."""
    (desk.folder / "a.csv").write_text(GOOD)
    (desk.folder / "headless.csv").write_text(GOOD.removeprefix(HEADER))
    damaged = desk.folder / "damaged"
    damaged.mkdir()
    (damaged / "ledger.sqlite").write_text("not a ledger")
    refused(desk.do(*words), code)


@pytest.mark.in_process
class TestInput:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("", ["no header"]),
            ("423789336,1001,2001\n423789337,1001,2001\n", ["no header"]),
            ("customerId,targetId\n1,2\n", ["targetGroupId"]),
            ("customerId,userId,targetGroupId,targetId\n1,1,2,3\n", ["two columns"]),
            ("customerId,customer_id,targetGroupId,targetId\n1,1,2,3\n", ["two columns"]),
            (GOOD + '423789337,1001,"2001\n' + "423789338,1001,2001\n" * 50, ["row 2", "never"]),
            (GOOD + '"423789337,1001,2001\n1,"1001",2\n', ["row 2", "never"]),
            (GOOD + "1,1\n" * 5, ["5 of 6 rows", "--max-invalid"]),
        ],
    )
    def test_what_cannot_be_trusted_is_refused(
        self, desk: Desk, content: str, words: list[str]
    ) -> None:
        (desk.folder / "a.csv").write_text(content)
        refused(desk.do("run", "a.csv", "--sandbox", "--yes"), 65, *words)
        refused(desk.do("plan", "a.csv", "--max-invalid", "10%"), 65, *words)
        ended = desk.do("resume", "a-rehearsal.unenroll", "--sandbox")
        assert ended.code == 2

    def test_the_first_bad_byte_is_named(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_bytes(GOOD.encode() + "1,1001,2001,Zoë\n".encode("cp1252"))
        refused(desk.do("plan", "a.csv"), 65, "0xeb", f"byte {len(GOOD) + 14}")

    def test_a_broken_archive(self, desk: Desk) -> None:
        (desk.folder / "a.csv.gz").write_bytes(gzip.compress(GOOD.encode() * 999)[:-20])
        refused(desk.do("plan", "a.csv.gz"), 65, "a.csv.gz")

    def test_a_broken_parquet_file(self, desk: Desk) -> None:
        whole = (SAMPLES / "cleanup.parquet").read_bytes()
        (desk.folder / "a.parquet").write_bytes(whole[: len(whole) // 2])
        refused(desk.do("plan", "a.parquet"), 65, "Parquet")

    @pytest.mark.parametrize("name", ["nothing.csv", "*.csv", "folder"])
    def test_an_input_that_does_not_exist(self, desk: Desk, name: str) -> None:
        (desk.folder / "folder").mkdir()
        refused(desk.do("plan", name), 66, name)

    def test_a_folder_that_does_not_exist(self, desk: Desk) -> None:
        for command in (
            ("status", "x"),
            ("resume", "x", "--sandbox"),
            ("retry", "x", "--sandbox"),
            ("verify", "x"),
            ("explain", "x", "1"),
            ("export", "x", "--to", "a.csv"),
        ):
            refused(desk.do(*command), 66, "x")

    def test_a_header_and_no_rows_is_nothing_to_do(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_text(HEADER)
        assert desk.do("plan", "a.csv").code == 0
        assert desk.do("run", "a.csv", "--sandbox").code == 0


@pytest.mark.in_process
class TestSettings:
    @pytest.mark.parametrize(
        ("url", "word"),
        [
            (None, "no base URL"),
            ("http://example.com/v3.1", "in the clear"),
            ("ftp://127.0.0.1/v3.1", "is not valid"),
            ("https://user:secret@example.com/v3.1", "user"),
            ("https://example.com/v3.1?x=1", "query"),
            ("https://[", "invalid host"),
            ("nonsense", "is not valid"),
        ],
    )
    def test_base_urls(self, desk: Desk, url: str | None, word: str) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        desk.environment |= CREDENTIALS
        given = ["--base-url", url] if url else []
        ended = desk.do("run", "a.csv", "--yes", *given)
        refused(ended, 78, word)
        assert "secret" not in ended.err

    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {"USERNAME": "u"},
            {"PASSWORD": "p"},
            {"CLIENT_KEY": "k"},
            {"USERNAME": "u", "PASSWORD": "p", "PASSWORD_MD5": "m"},
            {"USERNAME": "u", "PASSWORD": "p", "CLIENT_KEY": "k", "CLIENT_SECRET": "s"},
            {"USERNAME": "u", "PASSWORD_FILE": "nowhere"},
        ],
    )
    def test_credentials(self, desk: Desk, variables: dict[str, str]) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        desk.environment |= {f"BULK_UNENROLL_{k}": v for k, v in variables.items()}
        refused(desk.do("run", "a.csv", "--yes", "--base-url", "http://127.0.0.1:9/v3.1"), 78)

    def test_another_org_needs_the_endpoint_that_reads_the_scope(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        desk.environment |= CREDENTIALS
        url = ("--base-url", "http://127.0.0.1:9/v3")
        ended = desk.do("run", "a.csv", "--yes", *url, "--data-scope-org", "7")
        refused(ended, 78, "/v3.1")

    def test_plan_needs_neither(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        assert desk.do("plan", "a.csv").code == 0


@pytest.mark.in_process
class TestQuestion:
    def test_off_a_terminal_nobody_can_answer(self, desk: Desk, witness: Start) -> None:
        api = witness()
        (desk.folder / "a.csv").write_text(GOOD)
        refused(desk.do("run", "a.csv"), 2, "terminal")
        assert not api.journal.read_text()

    def test_expect_must_be_right(self, desk: Desk, witness: Start) -> None:
        witness()
        (desk.folder / "a.csv").write_text(GOOD)
        refused(desk.do("run", "a.csv", "--yes", "--expect", "2"), 65, "1 customers")
        assert desk.do("run", "a.csv", "--yes", "--expect", "1").code == 0

    def test_usage(self, desk: Desk) -> None:
        refused(desk.do("run"), 2)
        refused(desk.do("plan", "a.csv", "--rate", "fast"), 2, "fast")
        refused(desk.do("export", "x", "--to", "a.pdf"), 2, "a.pdf")
        ended = desk.do("plan", "--json")
        assert json.loads(ended.out)["exit"]["code"] == 2


@pytest.mark.in_process
class TestApi:
    def test_nobody_listens(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        desk.environment |= CREDENTIALS
        ended = desk.do("run", "a.csv", "--yes", "--json", "--base-url", "http://127.0.0.1:9/v3.1")
        refused(ended, 69, "cannot be reached")
        assert ended.json["status"]["pending"] == 1
        assert ended.json["attempts"] == 0

    def test_wrong_credentials(self, desk: Desk, witness: Start) -> None:
        witness()
        desk.environment["BULK_UNENROLL_PASSWORD"] = "wr0ng-Secret"
        (desk.folder / "a.csv").write_text(GOOD)
        ended = desk.do("run", "a.csv", "--yes", "--json")
        refused(ended, 77)
        assert ended.json["status"]["pending"] == 1
        assert ended.json["next"] == "bulk-unenroll resume a.unenroll"
        assert "wr0ng" not in ended.err + ended.out

    def test_a_redirect(self, desk: Desk, witness: Start) -> None:
        api = witness('[[rule]]\nact = "redirect"\n')
        (desk.folder / "a.csv").write_text(GOOD)
        refused(desk.do("run", "a.csv", "--yes"), 78)
        assert len(api.seen()) == 1


@pytest.mark.in_process
class TestFolder:
    def test_a_folder_that_cannot_be_made(self, desk: Desk) -> None:
        (desk.folder / "a.csv").write_text(GOOD)
        refused(desk.do("plan", "a.csv", "--out", "a.csv"), 73)
        refused(desk.do("plan", "a.csv", "--out", "a.csv/below"), 73)

    @pytest.mark.parametrize("damage", ["empty", "cut", "text", "middle"])
    def test_a_damaged_ledger_is_refused(self, desk: Desk, damage: str) -> None:
        desk.do("run", SAMPLES / "orgs.csv", "--sandbox", "--yes", "--rate", "999/s")
        path = desk.folder / "orgs-rehearsal.unenroll/ledger.sqlite"
        whole = path.read_bytes()
        half = len(whole) // 2
        changed = {
            "empty": b"",
            "cut": whole[:half],
            "text": b"not a ledger" * 100,
            "middle": whole[:half] + b"\xa5" * 4096 + whole[half + 4096 :],
        }
        path.write_bytes(changed[damage])
        for command in ("status", "verify"):
            refused(desk.do(command, "orgs-rehearsal.unenroll"), 74)
        for command in ("resume", "retry"):
            refused(desk.do(command, "orgs-rehearsal.unenroll"), 74)
        refused(desk.do("plan", SAMPLES / "orgs.csv", "--out", path.parent), 74)


def test_a_full_disk_stops_sending_and_loses_nothing(desk: Desk, witness: Start) -> None:
    api = witness()
    desk.write("job.csv", [(who, 1001, 2001) for who in people(2000)])
    desk.do("plan", "job.csv")
    limit_bytes = (desk.folder / "job.unenroll/ledger.sqlite").stat().st_size + 200_000
    desk.program = (sys.executable, "-c", WITH_FILES_AT_MOST, str(limit_bytes))
    stopped = desk.do("run", "job.csv", "--yes", "--rate", "2000/s", "--json")
    desk.program = PROGRAM
    refused(stopped, 74)
    found = stopped.json
    assert found["folder"] == "job.unenroll"
    assert found["run_id"]
    assert found["rows"]["read"] == sum(found["status"].values()) == 2000
    assert 0 < len(api.seen()) < 2000
    ended = desk.do("resume", "job.unenroll", "--rate", "2000/s", "--json")
    assert ended.code == 0, ended.err
    assert api.applied() == set(people(2000))


@pytest.mark.in_process
def test_an_https_server_with_a_strange_certificate_halts(desk: Desk, tmp_path: Path) -> None:
    import ssl
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=elsewhere", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (desk.folder / "a.csv").write_text(GOOD)
    desk.environment |= CREDENTIALS
    url = f"https://127.0.0.1:{server.server_port}/v3.1"
    refused(desk.do("run", "a.csv", "--yes", "--base-url", url), 78, "certificate")
    server.shutdown()
    server.server_close()


@pytest.mark.in_process
def test_a_file_s_name_need_not_be_text(desk: Desk) -> None:
    desk.environment["PYTHONIOENCODING"] = "utf-8:strict"
    (desk.folder / os.fsdecode(b"\xff.csv")).write_text("customerId,targetGroupId,targetId\n")
    refused(desk.do("plan", os.fsdecode(b"\xff.csv"), "--json"), 65)


@pytest.mark.in_process
def test_the_last_two_lines_are_two_whatever_a_file_is_called(desk: Desk) -> None:
    refused(desk.do("plan", "two\nlines.csv"), 66)


@pytest.mark.in_process
def test_a_name_that_begins_with_a_dash_leads_to_a_command_that_works(desk: Desk) -> None:
    desk.write("-a.csv", [(999310011, 1001, 2001)])
    ended = desk.do("run", "--sandbox", "--yes", "--canary", "0", "--", "-a.csv")
    assert ended.code == 1, ended.err
    words = shlex.split(ended.last_lines[1].removeprefix("next: "))[1:]
    assert desk.do(*words).code == 1


@pytest.mark.in_process
def test_an_input_that_is_not_there_may_be_a_good_end(desk: Desk, witness: Start) -> None:
    api = witness()
    for command in (("plan", "none.csv"), ("run", "none.csv", "--yes")):
        assert desk.do(*command).code == 66
        ended = desk.do(*command, "--missing-ok")
        assert ended.code == 0
        assert "none.csv does not exist: nothing to do" in ended.out
        found = desk.do(*command, "--missing-ok", "--json").json
        assert found["exit"]["code"] == 0
    desk.write("there.csv", [(who, 1001, 2001) for who in people(20)])
    half = desk.do("run", "there.csv", "none.csv", "--yes", "--missing-ok")
    assert (half.code, api.seen()) == (66, []), "the other file would be left out silently"
    (desk.folder / "night.toml").write_text(
        '[input]\nfiles = "none.csv"\nmissing_ok = true\n[schedule]\nunattended = true\n'
    )
    assert desk.do("job", "run", "night.toml").code == 0
    assert api.seen() == []
