"""Senders that Dask places: ``run --on dask://HOST:PORT``, with a cluster of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kit.command import CREDENTIALS, Desk, Witness, people
from tests.kit.dask_cluster import DaskCluster
from tests.kit.tiers import long

needs_dask = pytest.mark.needs("distributed")
Start = Callable[..., Witness]
StartCluster = Callable[..., DaskCluster]
JOB = ("--job", "cleanup")
SENDERS = 2
CONCURRENCY = 16
SLOW = "[[rule]]\nprobability = 1\ndelay_s = 0.1\n"
GIVE_UP_NOBODY = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
GIVE_UP_AT_ONCE = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}


@pytest.fixture
def cluster(desk: Desk, ledger_url: str) -> Iterator[StartCluster]:
    """Starts a cluster, whose processes have the desk's environment, with changes."""
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
    with ExitStack() as stack:

        def start(workers: int, **changes: str) -> DaskCluster:
            environment = {**desk.environment, **changes}
            return stack.enter_context(DaskCluster(desk.folder, environment, workers))

        yield start


def begin(desk: Desk, cluster: DaskCluster, rows: int) -> subprocess.Popen[bytes]:
    desk.write("a.csv", [(who, 1001, 2001) for who in people(rows)])
    how = ("--yes", "--rate", "100/s", "--concurrency", CONCURRENCY, "--first-time", "go")
    there = ("--on", cluster.address, "--senders", SENDERS)
    return desk.start("run", "a.csv", *JOB, *how, *there, "--log-format", "json")


def ended(process: subprocess.Popen[bytes]) -> tuple[int, list[dict[str, Any]]]:
    """How a command ended, and what it logged."""
    _, err = process.communicate(timeout=300)
    lines = err.decode().splitlines()
    print(err.decode())
    return process.returncode, [json.loads(line) for line in lines if line.startswith("{")]


def logged(log: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in log if line["event"] == event]


def await_end(process_id: int, timeout_s: float = 30) -> None:
    """Wait until a process that is not ours has ended."""
    command = Path(f"/proc/{process_id}/cmdline")
    end_s = time.monotonic() + timeout_s
    with suppress(FileNotFoundError):
        while command.read_bytes():  # one that nobody waits for has no words any more
            assert time.monotonic() < end_s, "it goes on"
            time.sleep(0.1)


def check_all_called(desk: Desk, api: Witness, rows: int, most_doubts: int = 0) -> None:
    """Nobody is left, and whoever was called twice is listed as often."""
    assert api.applied() == set(people(rows))
    seen = [call["customer"] for call in api.seen()]
    twice = {who for who in seen if seen.count(who) > 1}
    assert len(twice) <= most_doubts
    assert desk.do("export", *JOB, "--to", "attempts.csv", "--attempts").code == 0
    listed = (desk.folder / "attempts.csv").read_text()
    assert all(listed.count(f",{who},") == seen.count(who) for who in twice)
    found = desk.do("status", *JOB, "--json").json["status"]
    settled = found["succeeded"] + found["not_enrolled"]  # the second call finds nobody enrolled
    assert (settled, found["in_doubt"], found["sending"]) == (rows, 0, 0)


def senders_at_work(desk: Desk) -> int:
    """How many senders have settled calls and go on, as a user sees it."""
    shown = desk.do("status", *JOB, "--json")
    return sum(bool(sender["settled"]) for sender in shown.json.get("senders", []))


def await_all_at_work(desk: Desk) -> None:
    end_s = time.monotonic() + 120
    while senders_at_work(desk) < SENDERS + 1:
        assert time.monotonic() < end_s, "not all of them send"


@needs_dask
def test_placed_senders_and_the_one_here_finish_a_run_together(
    desk: Desk, witness: Start, cluster: StartCluster
) -> None:
    api = witness(SLOW)
    dask = cluster(SENDERS)
    with begin(desk, dask, 1500) as run:
        await_all_at_work(desk)
        code, log = ended(run)
    assert code == 0
    check_all_called(desk, api, 1500)
    assert logged(log, "progress")[-1]["done"] > 600, "it shows what all of them have done"
    (placed,) = logged(log, "senders_placed")
    assert placed["senders"] == placed["threads"] == SENDERS
    assert not {line["event"] for line in log} & {"senders_wait", "sender_ended", "senders_go_on"}
    assert not any(secret in dask.log for secret in CREDENTIALS.values())


@needs_dask
@pytest.mark.parametrize(
    ("with_its_sender", "setting"),
    [(False, GIVE_UP_NOBODY), (True, GIVE_UP_AT_ONCE)],
    ids=["a worker", "a machine, and Dask gives its task up"],
)
def test_a_killed_worker_is_replaced(
    desk: Desk,
    witness: Start,
    cluster: StartCluster,
    with_its_sender: bool,
    setting: dict[str, str],
) -> None:
    """A killed worker's sender ends well. One that is killed with it leaves calls in doubt."""
    api = witness(SLOW)
    dask = cluster(SENDERS + 1, **setting)
    with begin(desk, dask, 2000) as run:
        await_all_at_work(desk)
        worker, sender = next(iter(dask.senders().items()))
        worker.kill()
        if with_its_sender:
            os.kill(sender, signal.SIGKILL)
        worker.wait()
        await_end(sender)
        again = dask.await_senders(SENDERS)
        assert worker not in again
        code, log = ended(run)
    assert code == 0
    check_all_called(desk, api, 2000, 2 * CONCURRENCY if with_its_sender else 0)
    assert bool(logged(log, "sender_placed_anew")) == (setting is GIVE_UP_AT_ONCE)


@needs_dask
def test_a_killed_scheduler_loses_nothing(
    desk: Desk, witness: Start, cluster: StartCluster
) -> None:
    api = witness(SLOW)
    dask = cluster(SENDERS)
    with begin(desk, dask, 2000) as run:
        await_all_at_work(desk)
        dask.scheduler.kill()
        code, log = ended(run)
    assert code == 0
    check_all_called(desk, api, 2000)
    (lost,) = logged(log, "scheduler_lost")
    assert "bulk-unenroll work --job cleanup" in lost["hint"]


@needs_dask
def test_work_finishes_what_a_killed_scheduler_and_a_killed_run_left(
    desk: Desk, witness: Start, cluster: StartCluster
) -> None:
    api = witness(SLOW)
    dask = cluster(SENDERS)
    with begin(desk, dask, 2000) as run:
        await_all_at_work(desk)
        dask.scheduler.kill()
        run.kill()
    assert len(api.seen()) < 2000
    code = 75
    while code == 75:
        code = desk.do("work", *JOB, timeout_s=90).code
    assert code == 0
    check_all_called(desk, api, 2000, 2 * CONCURRENCY)


@needs_dask
@pytest.mark.parametrize("number", [signal.SIGTERM, *long(signal.SIGINT)])
def test_a_signal_here_stops_the_senders_there(
    desk: Desk, witness: Start, cluster: StartCluster, number: signal.Signals
) -> None:
    api = witness(SLOW)
    dask = cluster(SENDERS)
    with begin(desk, dask, 2000) as run:
        await_all_at_work(desk)
        run.send_signal(number)
        code, _ = ended(run)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    seen = len(api.seen())
    shown = desk.do("status", *JOB, "--json").json
    found = shown["status"]
    assert (found["in_doubt"], found["sending"], found["succeeded"]) == (0, 0, seen)
    assert shown["senders"] == []
    assert seen < 2000
    dask.await_senders(0)
    assert len(api.seen()) == seen
    assert desk.do("work", *JOB).code == 3, "nothing goes on by itself"


@needs_dask
@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ("BULK_UNENROLL_USERNAME", "the credentials are incomplete"),
        pytest.param(
            "BULK_UNENROLL_LEDGER_URL", "needs the address of its ledger", marks=pytest.mark.long
        ),
    ],
)
def test_workers_without_their_environment_are_told_of_and_the_run_goes_on_here(
    desk: Desk, witness: Start, cluster: StartCluster, lacking: str, reason: str
) -> None:
    api = witness(SLOW)
    with begin(desk, cluster(SENDERS, **{lacking: ""}), 1000) as run:
        code, log = ended(run)
    assert code == 0
    check_all_called(desk, api, 1000)
    told = logged(log, "sender_ended")
    assert len(told) == SENDERS
    assert all(reason in line["reason"] for line in told)


@needs_dask
def test_senders_outlive_a_killed_run(desk: Desk, witness: Start, cluster: StartCluster) -> None:
    api = witness(SLOW)
    dask = cluster(SENDERS)
    with begin(desk, dask, 1500) as run:
        await_all_at_work(desk)
        run.kill()
    dask.await_senders(0)
    check_all_called(desk, api, 1500, 2 * CONCURRENCY)


IN_PYTHON = """
import logging, sys
import bulk_unenroll as bu

logging.getLogger("bulk_unenroll").addHandler(logging.StreamHandler(sys.stdout))
end = bu.run(
    "a.csv", out=bu.shared("cleanup"), on=sys.argv[1], senders=2, rate="500/s", first_time="go"
)
assert end.exit == 0, end.exit
"""


@needs_dask
def test_what_waits_for_room_on_a_cluster_holds_nobody_up(
    desk: Desk, witness: Start, cluster: StartCluster
) -> None:
    """From Python, too."""
    api = witness()
    dask = cluster(0)
    desk.write("a.csv", [(who, 1001, 2001) for who in people(500)])
    script = Desk(desk.folder, (sys.executable, "-c", IN_PYTHON))
    script.environment = desk.environment
    done = script.do(dask.address)
    assert done.code == 0, done.err
    assert "event=senders_wait" in done.out
    check_all_called(desk, api, 500)


# ── words ────────────────────────────────────────────────────────────────────────────────────────

NO_DASK = (
    "import sys; sys.modules['distributed'] = None; from bulk_unenroll.__main__ import main; main()"
)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--senders", 2), 2, "--senders says how many, but not where; add --on"),
        (("--on", "dask://h:1"), 2, "only the senders of a shared job"),
        (("--on", "h:1"), 2, "write dask://HOST:PORT"),
    ],
)
@pytest.mark.in_process
def test_what_cannot_be_placed_is_refused(
    desk: Desk, witness: Start, words: tuple[object, ...], code: int, said: str
) -> None:
    api = witness()
    desk.write("a.csv", [(1, 1001, 2001)])
    refused = desk.do("run", "a.csv", "--yes", *words)
    assert (refused.code, said in refused.err) == (code, True), refused.err
    assert not api.seen()


@pytest.mark.thorough
def test_without_its_extra_nothing_is_sent(desk: Desk, witness: Start, ledger_url: str) -> None:
    api = witness()
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
    desk.write("a.csv", [(1, 1001, 2001)])
    without = Desk(desk.folder, (sys.executable, "-c", NO_DASK))
    without.environment = desk.environment
    refused = without.do("run", "a.csv", *JOB, "--yes", "--on", "dask://127.0.0.1:9")
    assert refused.code == 2
    assert "pip install 'bulk-unenroll[dask]'" in refused.err
    assert not api.seen()


@needs_dask
def test_without_a_scheduler_nothing_is_sent(desk: Desk, witness: Start, ledger_url: str) -> None:
    api = witness()
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
    desk.write("a.csv", [(1, 1001, 2001)])
    refused = desk.do("run", "a.csv", *JOB, "--yes", "--on", "dask://127.0.0.1:9")
    assert refused.code == 78
    assert "no Dask scheduler answers at dask://127.0.0.1:9: nothing was sent" in refused.err
    assert not api.seen()
