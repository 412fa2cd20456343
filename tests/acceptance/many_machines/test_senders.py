"""Several senders of one run: they share it, replace each other, and stop together."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.many_machines.kit import (
    AT_100,
    FAST,
    JOB,
    SLOW,
    Start,
    delay_answers,
    join,
    rows,
    senders_of,
    wait_for,
)
from tests.kit.command import Desk, Witness, people
from tests.kit.proxy import HOST, Proxy

pytestmark = pytest.mark.thorough


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


@pytest.mark.parametrize(
    ("words", "most"), [(("--limit", "16"), 16), (("--first-time", "hold"), 10)]
)
def test_nobody_joins_a_run_that_must_leave_most_calls(
    desk: Desk, shared: Start, words: tuple[str, ...], most: int
) -> None:
    """Another sender would make them, while the first one works or once it was killed."""
    api = shared()
    delay_answers(api, 15)
    desk.write("a.csv", [(who, 1001, 4711) for who in people(60)])
    run = desk.start("run", "a.csv", *JOB, *AT_100, *words)
    api.wait_for_calls(8)
    early = desk.do("work", *JOB)
    assert (early.code, "no run to be joined" in early.err) == (75, True), early.err
    delay_answers(api, 0)
    assert wait_for(run)[0] == 3
    late = desk.do("work", *JOB)
    assert (late.code, "no run goes on" in late.err) == (3, True), late.err
    assert len(api.seen()) == most


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


def test_an_api_that_nobody_reaches_stops_all(desk: Desk, tunnelled: Witness) -> None:
    desk.write("a.csv", rows(60))
    assert desk.do("run", "a.csv", *JOB, *FAST, "--begin-only").code == 0
    desk.environment["HTTPS_PROXY"] = "http://127.0.0.1:9"
    for worker in [desk.start("work", *JOB) for _ in range(2)]:
        code, err = wait_for(worker)
        assert (code, "cannot be reached" in err) == (69, True), err


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


def test_who_comes_after_all_were_stopped_ends_as_they_did(desk: Desk, shared: Start) -> None:
    api = shared()
    desk.write("a.csv", rows(50))
    api.ask("teach", {"rules": [{"act": "answer", "status": 401}]})
    assert desk.do("run", "a.csv", *JOB, *FAST).code == 77
    late = desk.do("work", *JOB)
    assert late.code == 77
    assert "the run was stopped:" in late.last_lines[0]


def test_what_only_a_person_can_decide_is_not_complete(desk: Desk, shared: Start) -> None:
    shared(f'[[rule]]\ncustomers = [{people(50)[3]}]\nact = "silent"\n')
    desk.write("a.csv", rows(50))
    run = desk.do("run", "a.csv", *JOB, *FAST, "--in-doubt", "hold", "--read-timeout", "1")
    assert run.code == 3, run.err
    late = desk.do("work", *JOB)
    assert late.code == 3
    assert "1 are in doubt" in late.last_lines[0]
    assert "retry" in late.last_lines[1]


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
