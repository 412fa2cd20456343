"""Shared jobs: the ledger in PostgreSQL, and senders on several machines."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.proxy import HOST, Proxy

Start = Callable[..., Witness]
JOB = ("--job", "cleanup")
FAST = ("--yes", "--rate", "500/s", "--first-time", "go")
AT_100 = ("--yes", "--rate", "100/s", "--first-time", "go", "--concurrency", "8")
SLOW = "[[rule]]\nprobability = 1\ndelay_s = 1\n"
"""With ``AT_100`` eight calls a second and sender, so that others can join at their leisure."""
MANY = people(300)


def rows(number: int) -> list[tuple[int, int, int]]:
    return [(who, 1001, 2001) for who in people(number)]


@pytest.fixture
def shared(desk: Desk, witness: Start, ledger_url: str) -> Callable[..., Witness]:
    """Starts an API, and lets the desk know where the ledger is."""

    def start(scenario: str = "") -> Witness:
        api = witness(scenario)
        desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
        return api

    return start


def senders_of(desk: Desk) -> list[dict[str, object]]:
    found: list[dict[str, object]] = desk.do("status", *JOB, "--json").json["senders"]
    return found


def delay_answers(api: Witness, delay_s: float) -> None:
    """Take so long for every answer from now on."""
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": delay_s}]})


def join(desk: Desk, number: int = 1) -> list[subprocess.Popen[bytes]]:
    """Start more senders of a run, and wait until each has had an answer."""
    before = len(senders_of(desk))
    workers = [desk.start("work", *JOB, "--concurrency", "8") for _ in range(number)]
    deadline = time.monotonic() + 60
    while sum(bool(one["settled"]) for one in senders_of(desk)) < before + number:
        assert time.monotonic() < deadline
        assert [worker.poll() for worker in workers] == [None] * number
        time.sleep(0.1)
    return workers


def wait_for(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, err = process.communicate(timeout=90)
    return process.returncode, err.decode()


@pytest.mark.thorough
def test_every_command_takes_a_job_where_it_takes_a_folder(
    desk: Desk, shared: Start, tmp_path: Path
) -> None:
    api = shared(f"[[rule]]\ncustomers = [{MANY[3]}]\nattempt = 1\ncode = 310011\n")
    desk.write("a.csv", rows(40))
    assert desk.do("plan", "a.csv", *JOB).code == 0
    assert desk.do("run", "a.csv", *JOB, *FAST).code == 1
    assert len(api.applied()) == 39
    assert desk.do("status", *JOB, "--json").json["status"]["failed"] == 1
    assert desk.do("export", *JOB, "--to", "out.csv").code == 0
    assert len((desk.folder / "out.csv").read_text().splitlines()) == 41
    assert "310011" in desk.do("explain", str(MANY[3]), *JOB).out
    assert desk.do("report", *JOB, "--to", "r.html").code == 0
    retried = desk.do("retry", *JOB, "--yes", "--code", "310011")
    assert retried.code == 0, retried.err
    assert desk.do("resume", *JOB, "--yes").code == 0
    assert desk.do("verify", *JOB).code == 0
    assert desk.do("stop", *JOB).code == 3
    assert desk.do("work", *JOB).code == 0
    assert api.applied() == set(people(40))
    # and the folder that stands for it here does as well
    assert desk.do("status", "cleanup.unenroll", "--json").json["status"]["succeeded"] == 40
    assert (desk.folder / "cleanup.unenroll" / "results.csv").exists()
    assert not (desk.folder / "cleanup.unenroll" / "ledger.sqlite").exists()


def test_the_name_of_a_job_is_that_of_its_input(desk: Desk, shared: Start, ledger_url: str) -> None:
    shared()
    desk.write("Members June (2).csv", rows(20))
    del desk.environment["BULK_UNENROLL_LEDGER_URL"]
    assert desk.do("plan", "Members June (2).csv", "--ledger", ledger_url).code == 0
    assert desk.do("status", "--ledger", ledger_url, "--job", "members-june-2").code == 0


@pytest.mark.thorough
def test_three_senders_are_one_run_at_one_rate(desk: Desk, shared: Start) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(1500))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(12)
    workers = join(desk, 2)
    senders = senders_of(desk)
    assert len(senders) == 3
    assert all("@" in str(sender["name"]) for sender in senders)
    delay_answers(api, 0.1)
    for process in (run, *workers):
        code, err = wait_for(process)
        assert code == 0, err
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(1500))
    at = sorted(call["at_s"] for call in api.seen())
    assert min(b - a for a, b in zip(at, at[103:], strict=False)) > 1.0


@pytest.mark.thorough
def test_what_a_killed_sender_had_in_flight_is_taken_over_and_told(
    desk: Desk, shared: Start
) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(1000))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    (lost,) = join(desk)
    delay_answers(api, 20)
    api.wait_for_calls(len(api.seen()) + 8 + 1)  # more than eight in flight: one at least is lost's
    lost.kill()
    wait_for(lost)
    delay_answers(api, 0)
    code, err = wait_for(run)
    assert code == 0, err
    assert api.applied() == set(people(1000))
    seen = [call["customer"] for call in api.seen()]
    twice = {who for who in seen if seen.count(who) > 1}
    desk.do("export", *JOB, "--to", "attempts.csv", "--attempts")
    listed = (desk.folder / "attempts.csv").read_text()
    assert "sender_lost" in listed
    for who in twice:
        assert listed.count(f",{who},") == 2


@pytest.mark.thorough
def test_a_stop_reaches_every_sender(desk: Desk, shared: Start) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(1000))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    (worker,) = join(desk)
    assert desk.do("stop", *JOB, "--wait").code == 0
    for process in (run, worker):
        code, err = wait_for(process)
        assert (code, "stopped by `bulk-unenroll stop`" in err) == (3, True), err
    found = desk.do("status", *JOB, "--json").json["status"]
    assert (found["in_doubt"], found["succeeded"]) == (0, len(api.seen()))


@pytest.mark.thorough
def test_a_sender_that_is_told_to_end_gives_back_what_it_had(desk: Desk, shared: Start) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(900))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    (worker,) = join(desk)
    worker.send_signal(signal.SIGTERM)
    code, _ = wait_for(worker)
    assert code == 143
    delay_answers(api, 0)
    assert wait_for(run)[0] == 0
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(900))


@pytest.mark.thorough
def test_a_job_is_planned_by_one_while_nobody_sends(desk: Desk, shared: Start) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(400))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    (desk.folder / "two").mkdir()
    second = subprocess.run(
        [*desk.program, "resume", *JOB, "--yes"],
        cwd=desk.folder / "two", env=desk.environment, capture_output=True, check=False,
    )  # fmt: skip
    assert second.returncode == 75, second.stderr
    assert second.stderr.decode().splitlines()[-1] == "next: bulk-unenroll status cleanup.unenroll"
    delay_answers(api, 0)
    assert wait_for(run)[0] == 0


@pytest.mark.thorough
def test_first_calls_that_fail_stop_all_whoever_made_them(desk: Desk, shared: Start) -> None:
    """After --begin-only every sender has joined; the next one must not make first calls anew."""
    api = shared("[[rule]]\nprobability = 1\ncode = 310149\ndelay_s = 2\n")
    desk.write("a.csv", rows(300))
    assert desk.do("run", "a.csv", *JOB, *FAST, "--begin-only").code == 0
    workers = [desk.start("work", *JOB) for _ in range(2)]
    for worker in workers:
        code, err = wait_for(worker)
        assert (code, "canary failed" in err) == (69, True), err
    assert len(api.seen()) == 10


@pytest.mark.thorough
def test_an_org_that_is_refused_stops_no_other_org(desk: Desk, shared: Start) -> None:
    api = shared()
    for name, words in (("a.csv", ("--data-scope-org", 7)), ("b.csv", ())):
        desk.write(name, rows(60))
        assert desk.do("run", name, *JOB, *FAST, *words, "--limit", 10).code == 3
    api.ask("teach", {"rules": [{"orgs": [7], "act": "answer", "code": 310144}]})
    ended = desk.do("resume", *JOB, "--yes", "--canary", 0)
    assert (ended.code, "(org 7)" in ended.err) == (78, True), ended.err
    status = desk.do("status", *JOB, "--json").json["status"]
    assert (status["succeeded"], status["pending"]) == (70, 50)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "most"), [(("--limit", "16"), 16), (("--first-time", "hold"), 10)]
)
def test_nobody_joins_a_run_that_must_leave_most_calls(
    desk: Desk, shared: Start, words: tuple[str, ...], most: int
) -> None:
    """Another sender would make them, while the first one works or once it was killed."""
    api = shared(SLOW)
    desk.write("a.csv", [(who, 1001, 4711) for who in people(60)])
    run = desk.start("run", "a.csv", *JOB, *AT_100, *words)
    api.wait_for_calls(5)
    early = desk.do("work", *JOB)
    assert (early.code, "no run to be joined" in early.err) == (75, True), early.err
    assert wait_for(run)[0] == 3
    late = desk.do("work", *JOB)
    assert (late.code, "no run goes on" in late.err) == (3, True), late.err
    assert len(api.seen()) == most


@pytest.mark.thorough
def test_nor_one_whose_only_sender_was_killed(desk: Desk, shared: Start) -> None:
    api = shared(SLOW)
    desk.write("a.csv", rows(60))
    killed = desk.start("run", "a.csv", *JOB, *AT_100, "--limit", "16")
    api.wait_for_calls(5)
    killed.kill()
    wait_for(killed)
    late = desk.do("work", *JOB)
    assert (late.code, "no run goes on" in late.err) == (3, True), late.err
    for words in (("--begin-only",), ("--on", "dask://127.0.0.1:9")):
        assert desk.do("run", "a.csv", *JOB, *AT_100, "--limit", "16", *words).code == 2
    assert len(api.seen()) <= 16


@pytest.fixture
def tunnelled(desk: Desk, shared: Start, tmp_path: Path) -> Iterator[Witness]:
    """An API that each process reaches only through the proxy of its environment."""
    api = shared(SLOW)
    proxy = Proxy(api.base_url, tmp_path)
    desk.environment |= {
        "BULK_UNENROLL_BASE_URL": f"https://{HOST}/v3.1",
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "SSL_CERT_FILE": str(proxy.authority),
    }
    yield api
    proxy.stop()


@pytest.mark.thorough
def test_a_machine_that_alone_does_not_reach_the_api_stops_nobody(
    desk: Desk, tunnelled: Witness
) -> None:
    desk.write("a.csv", rows(600))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    tunnelled.wait_for_calls(20)
    desk.environment["HTTPS_PROXY"] = "http://127.0.0.1:9"
    cut_off = desk.do("work", *JOB)
    assert cut_off.code == 75, cut_off.err
    assert "other senders of the run get answers" in cut_off.last_lines[0]
    assert cut_off.last_lines[1] == "next: bulk-unenroll work --job cleanup"
    delay_answers(tunnelled, 0)
    assert wait_for(run)[0] == 0
    assert sorted(call["customer"] for call in tunnelled.seen()) == sorted(people(600))
    assert desk.do("status", *JOB, "--json").json["status"]["succeeded"] == 600


@pytest.mark.thorough
def test_an_api_that_nobody_reaches_stops_all(desk: Desk, tunnelled: Witness) -> None:
    desk.write("a.csv", rows(60))
    assert desk.do("run", "a.csv", *JOB, *FAST, "--begin-only").code == 0
    desk.environment["HTTPS_PROXY"] = "http://127.0.0.1:9"
    for worker in [desk.start("work", *JOB) for _ in range(2)]:
        code, err = wait_for(worker)
        assert (code, "cannot be reached" in err) == (69, True), err


@pytest.mark.thorough
def test_who_would_call_as_somebody_else_does_not_join(desk: Desk, shared: Start) -> None:
    """A user of another org would take out others, and each user would have the whole rate."""
    api = shared(SLOW)
    desk.write("a.csv", rows(300))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    own = desk.environment["BULK_UNENROLL_USERNAME"]
    desk.environment["BULK_UNENROLL_USERNAME"] = "somebody"
    late = desk.do("work", *JOB)
    assert (late.code, "not as somebody" in late.err) == (78, True), late.err
    delay_answers(api, 0)
    assert wait_for(run)[0] == 0, "it stops nobody"
    desk.environment["BULK_UNENROLL_USERNAME"] = own
    assert {call["customer"] for call in api.seen()} == set(people(300))


@pytest.mark.thorough
def test_the_run_outlives_the_last_sender_that_is_told_to_end(desk: Desk, shared: Start) -> None:
    """What evicts a pod, or restarts a service, starts another one after it."""
    api = shared(SLOW)
    desk.write("a.csv", rows(400))
    run = desk.start("run", "a.csv", *JOB, *AT_100)
    api.wait_for_calls(20)
    (worker,) = join(desk)
    for process in (run, worker):
        seen = len(api.seen())
        api.wait_for_calls(seen + 5)
        process.send_signal(signal.SIGTERM)
        assert wait_for(process)[0] == 143
    status = desk.do("status", *JOB, "--json").json
    assert (status["exit"]["code"], status["status"]["in_doubt"]) == (3, 0)
    assert "nobody sends for the run now" in status["exit"]["reason"]
    timed = desk.do("work", *JOB, "--stop-after", "3s")
    assert timed.code == 3, timed.err
    delay_answers(api, 0)
    assert desk.do("work", *JOB).code == 0
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(400))
    assert desk.do("status", *JOB, "--json").json["exit"]["code"] == 0


@pytest.mark.thorough
def test_who_comes_after_all_were_stopped_ends_as_they_did(desk: Desk, shared: Start) -> None:
    api = shared()
    desk.write("a.csv", rows(50))
    api.ask("teach", {"rules": [{"act": "answer", "status": 401}]})
    assert desk.do("run", "a.csv", *JOB, *FAST).code == 77
    late = desk.do("work", *JOB)
    assert late.code == 77
    assert "the run was stopped:" in late.last_lines[0]


@pytest.mark.thorough
def test_what_only_a_person_can_decide_is_not_complete(desk: Desk, shared: Start) -> None:
    shared(f'[[rule]]\ncustomers = [{MANY[3]}]\nact = "silent"\n')
    desk.write("a.csv", rows(50))
    run = desk.do("run", "a.csv", *JOB, *FAST, "--in-doubt", "hold", "--read-timeout", "1")
    assert run.code == 3, run.err
    late = desk.do("work", *JOB)
    assert late.code == 3
    assert "1 are in doubt" in late.last_lines[0]
    assert "retry" in late.last_lines[1]


@pytest.mark.thorough
def test_a_run_can_be_begun_for_others(desk: Desk, shared: Start) -> None:
    """A scheduler plans and begins once, then starts senders that are all alike."""
    api = shared()
    desk.write("a.csv", rows(60))
    begun = desk.do("run", "a.csv", *JOB, *FAST, "--begin-only", "--json")
    assert (begun.code, api.seen()) == (0, []), begun.err
    assert begun.json["next"] == "bulk-unenroll work cleanup.unenroll"
    workers = [desk.start("work", *JOB) for _ in range(2)]
    assert [wait_for(worker)[0] for worker in workers] == [0, 0]
    assert sorted(call["customer"] for call in api.seen()) == sorted(people(60))
    assert desk.do("run", "a.csv", "--out", "own", *FAST, "--begin-only").code == 2


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────

SECRET = "s3cr3t-pass"


@pytest.mark.thorough
def test_a_password_among_the_words_of_a_command_is_refused(desk: Desk, shared: Start) -> None:
    shared()
    desk.write("a.csv", rows(5))
    for url in (f"postgresql://u:{SECRET}@127.0.0.1/x", f"postgresql://u@h/x?password={SECRET}"):
        ended = desk.do("plan", "a.csv", "--ledger", url, *JOB)
        assert ended.code == 78
        assert "--ledger has a password" in ended.err
        assert SECRET not in ended.out + ended.err
    assert desk.do("plan", "a.csv", "--ledger", "mysql://h/x", *JOB).code == 2
    assert not (desk.folder / "cleanup.unenroll").exists()


def test_one_in_a_file_is_used_and_written_nowhere(
    desk: Desk, shared: Start, ledger_url: str
) -> None:
    shared()
    desk.write("a.csv", rows(5))
    del desk.environment["BULK_UNENROLL_LEDGER_URL"]
    secret = desk.folder / "url.txt"
    secret.write_text(ledger_url.replace("unenroll@", f"unenroll:{SECRET}@") + "\n")
    desk.environment["BULK_UNENROLL_LEDGER_URL_FILE"] = str(secret)
    ended = desk.do("run", "a.csv", *JOB, *FAST, "-v")
    assert ended.code == 0, ended.err
    assert SECRET not in ended.out + ended.err
    pointer = desk.folder / "cleanup.unenroll" / "ledger.json"
    assert json.loads(pointer.read_text()) == {"job": "cleanup", "url": ""}
    assert stat.S_IMODE(pointer.stat().st_mode) == 0o600
    del desk.environment["BULK_UNENROLL_LEDGER_URL_FILE"]
    without = desk.do("status", "cleanup.unenroll")
    assert without.code == 78
    assert "has a password" in without.err


# ── words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "--job", "cleanup"), 2, "needs the address of its ledger"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x"), 2, "Missing argument 'FOLDER'"),
        (("work", "own.unenroll"), 66, "is not there"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x", "--job", "A B"), 2, "not a name"),
        (("status", "--ledger", "postgresql://u@127.0.0.1:9/x", "--job", "a"), 75, "not listen"),
    ],
)
def test_what_is_missing_is_said(desk: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    ended = desk.do(*words)
    assert ended.code == code, ended.err
    assert said in ended.err


@pytest.mark.thorough
def test_a_job_that_nobody_made(desk: Desk, shared: Start) -> None:
    shared()
    ended = desk.do("status", "--job", "none")
    assert ended.code == 66
    assert "there is no job none" in ended.last_lines[0]
    assert desk.do("work", "--job", "none").code == 66
    assert desk.do("resume", "--job", "none", "--yes").code == 66
    assert desk.do("status", "--job", "none").code == 66  # it was not made by that
    assert not (desk.folder / "none.unenroll").exists()


@pytest.mark.thorough
def test_a_folder_with_a_ledger_of_its_own_stays_so(desk: Desk, shared: Start) -> None:
    shared()
    desk.write("cleanup.csv", rows(5))
    assert desk.do("run", "cleanup.csv", *FAST).code == 0
    for words in (("plan", "cleanup.csv", *JOB), ("status", *JOB)):
        ended = desk.do(*words)
        assert ended.code == 2
        assert "has a ledger of its own" in ended.last_lines[0]
    assert desk.do("work", "cleanup.unenroll").code == 2
