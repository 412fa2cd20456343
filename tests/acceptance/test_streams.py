"""Whom a command talks to may be gone, full or deaf: calls and exit codes stay what they are."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kit.command import Desk, Ended, Witness, people
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
SLOW = ("--rate", "40/s", "--yes", "-v")
RUN = ("run", "job.csv")
TIMEOUT_S = 60


@pytest.fixture
def job(desk: Desk) -> Desk:
    desk.write("job.csv", [(who, 1001, 2001) for who in people(200)])
    return desk


def in_shell(desk: Desk, words: Sequence[object], redirection: str) -> int:
    """Run a command with what a shell does to its descriptors; its exit code."""
    line = f'exec "$@" {redirection}'
    program = ["sh", "-c", line, "sh", *desk.program, *map(str, words)]
    done = subprocess.run(
        program, cwd=desk.folder, env=desk.environment, timeout=TIMEOUT_S, check=False
    )
    return done.returncode


LOST = {
    "standard error is closed": "2>&-",
    "standard output is closed": ">&-",
    "all are closed": "<&- >&- 2>&-",
    "standard error is full": "2>/dev/full",
    "standard output is full": ">/dev/full",
    "both are full": ">/dev/full 2>/dev/full",
    "standard error can only be read": "2</dev/null",
}
OFTEN_LOST = ["both are full"]


@pytest.mark.parametrize("lost", [*OFTEN_LOST, *thorough(*sorted(LOST.keys() - OFTEN_LOST))])
@pytest.mark.parametrize("more", [(), *thorough(("--json",), ("-v", "--log-format", "json"))])
def test_a_lost_stream_changes_nothing(
    job: Desk, witness: Start, lost: str, more: Sequence[str]
) -> None:
    api = witness()
    assert in_shell(job, (*RUN, *FAST, *more), LOST[lost]) == 0
    assert api.applied() == set(people(200))
    found = job.do("status", "job.unenroll", "--json").json
    assert (found["status"]["succeeded"], found["attempts"]) == (200, 200)
    assert job.do("verify", "job.unenroll").code == 0


@pytest.mark.parametrize("place", ["/dev/full", *thorough("{folder}/gone/a.log")])
@pytest.mark.thorough
def test_a_log_that_is_lost_changes_nothing(job: Desk, witness: Start, place: str) -> None:
    api = witness()
    (job.folder / "gone").mkdir()
    log = place.format(folder=job.folder)
    process = job.start(*RUN, *SLOW, "--log-file", log)
    api.wait_for_calls(20)
    subprocess.run(["rm", "-rf", str(job.folder / "gone")], check=True)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert api.applied() == set(people(200))
    if place == "/dev/full":
        assert b"/dev/full was lost: No space left on device" in err


def test_the_loss_of_an_answer_is_said(job: Desk, witness: Start) -> None:
    witness()
    program = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *job.program, *RUN, *FAST, "--json"]
    done = subprocess.run(
        program, cwd=job.folder, env=job.environment, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"standard output was lost: No space left on device" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_loss(job: Desk) -> None:
    line = f"{sys.executable} -m bulk_unenroll codes 2>err | head -1 >/dev/null"
    subprocess.run(["bash", "-c", line], cwd=job.folder, env=job.environment, check=True)
    assert (job.folder / "err").read_text() == ""


def test_no_message_gets_into_a_file_of_the_job(job: Desk, witness: Start) -> None:
    """A file that is opened while a descriptor is missing would get its number."""
    witness()
    assert in_shell(job, (*RUN, *SLOW, "--rate", "2000/s"), "<&- >&- 2>&-") == 0
    for file in (job.folder / "job.unenroll").iterdir():
        assert b"first_of_code" not in file.read_bytes()


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


# ── stops ────────────────────────────────────────────────────────────────────────────────────────

SIGNALS = [signal.SIGHUP, *thorough(signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("lost", ["both", *thorough("stderr", "stdout")])
def test_a_stop_is_obeyed_though_nobody_listens(
    job: Desk, witness: Start, number: signal.Signals, lost: str
) -> None:
    api = witness()
    process = job.start(*RUN, *SLOW)
    api.wait_for_calls(10)
    for name in ("stdout", "stderr"):
        if lost in (name, "both"):
            getattr(process, name).close()
    api.wait_for_calls(15)
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == (130 if number == signal.SIGINT else 143)
    close_pipes(process)
    called = len(api.seen())
    assert called < 100
    found = job.do("status", "job.unenroll", "--json").json["status"]
    assert (found["succeeded"], found["in_doubt"], found["sending"]) == (called, 0, 0)


@pytest.mark.thorough
def test_a_stop_is_obeyed_though_a_reader_is_asleep(job: Desk, witness: Start) -> None:
    """A terminal that is paused, or a pager that waits, takes no more of what is written."""
    api = witness()
    read, write = os.pipe()
    os.set_blocking(write, False)
    while True:
        try:
            os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    process = subprocess.Popen(
        [*job.program, *RUN, *SLOW],
        cwd=job.folder,
        env=job.environment,
        stdout=subprocess.DEVNULL,
        stderr=write,
    )
    api.wait_for_calls(30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 143
    os.close(read)
    assert len(api.seen()) < 200


def test_a_stop_is_obeyed_after_the_terminal_is_gone(job: Desk, witness: Start) -> None:
    api = witness()
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*job.program, *RUN, *SLOW],
        cwd=job.folder,
        env=job.environment,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    api.wait_for_calls(10)
    os.close(parent)
    process.send_signal(signal.SIGHUP)
    assert process.wait(TIMEOUT_S) == 143
    assert len(api.seen()) < 200


@pytest.mark.parametrize("number", thorough(signal.SIGHUP, signal.SIGINT))
def test_a_signal_that_is_to_be_ignored_is(
    job: Desk, witness: Start, number: signal.Signals
) -> None:
    """As ``nohup`` asks for, and a shell for its background jobs."""
    api = witness()
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' {number.name[3:]}; exec \"$@\"", "sh", *job.program, *RUN, *SLOW],
        cwd=job.folder,
        env=job.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    api.wait_for_calls(10)
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 0
    assert api.applied() == set(people(200))


# ── every end is an event ────────────────────────────────────────────────────────────────────────


def ends_of(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "run_ended"]


ENDS: dict[str, tuple[int, Sequence[str]]] = {
    "a wrong option": (2, ("run", "job.csv", "--rate", "fast")),
    "no answer": (2, ("run", "job.csv")),
    "a refused input": (65, ("run", "bad.csv", "--yes")),
    "another number": (65, ("run", "job.csv", "--expect", "1", "--yes")),
    "no input": (66, ("run", "none.csv", "--yes")),
    "no folder": (66, ("resume", "none.unenroll")),
    "no place": (73, ("run", "job.csv", "--out", "job.csv/x", "--yes")),
    "another host": (78, ("run", "job.csv", "--base-url", "http://example.com/v3.1", "--yes")),
    "good": (0, ("run", "job.csv", *FAST)),
}


@pytest.mark.in_process
@pytest.mark.parametrize(("code", "words"), ENDS.values(), ids=ENDS)
def test_every_end_is_an_event(job: Desk, witness: Start, code: int, words: Sequence[str]) -> None:
    witness()
    (job.folder / "bad.csv").write_text("a,b\n1,2\n")
    ended = job.do(*words, "--log-format", "json")
    (end,) = ends_of(ended.err)
    assert (ended.code, end["exit"]) == (code, code)
    assert end["host"]
    assert end["seconds"] >= 0
    if code:
        assert end["reason"] in ended.last_lines[0].replace("  ", " ")
        only_json(ended)
    else:
        assert (end["folder"], end["succeeded"]) == ("job.unenroll", 200)


def only_json(ended: Ended) -> None:
    """Every line of standard error but the last two is an object."""
    *lines, _, _ = ended.err.splitlines()
    assert all(json.loads(line)["event"] for line in lines)


@pytest.mark.in_process
def test_it_is_in_the_log_file(job: Desk) -> None:
    job.do("run", "none.csv", "--yes", "--log-file", "a.log")
    (end,) = ends_of((job.folder / "a.log").read_text())
    assert (end["exit"], end["folder"]) == (66, "none.unenroll")


@pytest.mark.in_process
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_with_json_logs_words_go_elsewhere(job: Desk, witness: Start, more: Sequence[str]) -> None:
    witness()
    ended = job.do("run", "job.csv", *FAST, "--log-format", "json", *more)
    assert all(json.loads(line)["event"] for line in ended.err.splitlines())
    assert ("to call" in ended.out) == (not more)


@pytest.mark.in_process
@pytest.mark.parametrize("words", [ENDS["no input"][1], ENDS["another host"][1]])
def test_metrics_know_of_an_early_end(job: Desk, words: Sequence[str]) -> None:
    ended = job.do(*words, "--metrics-file", "m.prom")
    assert re_exit(job.folder / "m.prom") == ended.code


def re_exit(path: Path) -> int:
    lines = path.read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("bulk_unenroll_exit_code{")]
    return int(float(found.rpartition(" ")[2]))


@pytest.mark.in_process
def test_a_job_s_early_end_names_the_job(job: Desk) -> None:
    (job.folder / "night.toml").write_text(
        'input.files = "none.csv"\napi.sandbox = true\nschedule.unattended = true\n'
        "output.json_summary = true\n"
    )
    ended = job.do("job", "run", "night.toml")
    assert (ended.code, ended.json["exit"]["code"], ended.json["job"]) == (66, 66, "night.toml")
    (end,) = ends_of(ended.err)
    assert end["job"] == "night.toml"


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────

WINDOWS = """
import sys
sys.platform = "win32"
for name in ("fcntl", "termios", "uvloop", "pty", "resource", "pwd"):
    sys.modules[name] = None
from bulk_unenroll.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "a.csv"], 78, "does not run on Windows: use it in WSL"),
        ([], 78, "does not run on Windows"),
        (["--version"], 0, "version"),
    ],
)
def test_windows_gets_one_line(desk: Desk, words: Sequence[str], code: int, said: str) -> None:
    desk = Desk(desk.folder, (sys.executable, "-c", WINDOWS))
    ended = desk.do(*words)
    assert ended.code == code
    assert said in ended.out + ended.err
    assert len((ended.out + ended.err).splitlines()) == 1
