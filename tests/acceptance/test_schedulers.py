"""The examples for schedulers, read by the tools of each scheduler that is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from datetime import time as dt_time
from pathlib import Path

import pytest
import yaml

from bulk_unenroll.cli.app import cli
from bulk_unenroll.option_values import parse_window
from tests.kit.command import REPO, Desk, Witness, people

EXAMPLES = REPO / "jobs" / "schedulers"
AIRFLOW = os.environ.get("AIRFLOW_ENVIRONMENT")
"""A virtual environment with Airflow in it; `.ci/run` makes one."""


def command_is_known(words: list[str]) -> bool:
    """Whether the program has the command, and a job of that name."""
    group, command, job = words
    known = command in getattr(cli.commands[group], "commands", {})
    return known and (REPO / "jobs" / Path(job).name).exists()


def test_cron() -> None:
    lines = (EXAMPLES / "crontab").read_text().splitlines()
    ((*times, command),) = [line.split(maxsplit=5) for line in lines if re.match(r"[0-9*]", line)]
    assert len(times) == 5
    words = shlex.split(command)
    assert command_is_known(words[1:4])


def test_kubernetes() -> None:
    job = yaml.safe_load((EXAMPLES / "cronjob.yaml").read_text())
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert command_is_known(container["args"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    wait_s = pod["terminationGracePeriodSeconds"]
    assert wait_s > 75, "a clean stop waits as long as --read-timeout"


def test_a_night_that_was_missed_is_not_made_up_for_by_day() -> None:
    timer = (EXAMPLES / "bulk-unenroll.timer").read_text()
    assert "Persistent" not in timer
    job = tomllib.loads((REPO / "jobs/nightly-cleanup.toml").read_text())
    assert dt_time(2) in parse_window(job["schedule"]["window"])
    assert dt_time(9) not in parse_window(job["schedule"]["window"])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd(tmp_path: Path) -> None:
    for path in EXAMPLES.glob("bulk-unenroll.*"):
        text = path.read_text()
        command = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
        if command:
            assert command_is_known(shlex.split(command[1])[1:])
            text = text.replace(shlex.split(command[1])[0], sys.executable)
        (tmp_path / path.name).write_text(text)
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "bulk-unenroll" in line]
    assert (done.returncode, said) == (0, [])


STOPPED_TASK = """
import signal, sys, types

for name in ("airflow", "airflow.exceptions", "airflow.sdk"):
    sys.modules[name] = types.ModuleType(name)
for name in ("AirflowException", "AirflowFailException", "AirflowSkipException"):
    setattr(sys.modules["airflow.exceptions"], name, type(name, (Exception,), {}))
sdk = sys.modules["airflow.sdk"]
sdk.dag = lambda **_: lambda function: lambda: None
sdk.task = lambda function=None, **_: function
import airflow_dag

def stopped(*_):
    raise sys.modules["airflow.exceptions"].AirflowException("the task was stopped")

signal.signal(signal.SIGTERM, stopped)
airflow_dag.run_to_its_end(sys.argv[1:])
"""


def test_an_airflow_task_that_is_stopped_stops_its_run_cleanly(
    desk: Desk, witness: Callable[..., Witness]
) -> None:
    """Airflow sends TERM to all processes of a task, and raises in it."""
    api = witness("[[rule]]\nprobability = 1\ndelay_s = 1\n")
    desk.write("job.csv", [(who, 1001, 2001) for who in people(400)])
    command = ("run", "job.csv", "--yes", "--rate", "40/s", "--canary", "0")
    task = subprocess.Popen(
        [sys.executable, "-c", STOPPED_TASK, *desk.program, *command],
        cwd=desk.folder,
        env={**desk.environment, "PYTHONPATH": f"{REPO}:{EXAMPLES}"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    api.wait_for_calls(20)
    os.killpg(task.pid, signal.SIGTERM)
    _, err = task.communicate(timeout=60)
    assert b"the task was stopped" in err
    status = desk.do("status", "job.unenroll", "--json").json
    assert status["exit"]["code"] == 143
    assert (status["status"]["in_doubt"], status["status"]["sending"]) == (0, 0)
    assert status["status"]["succeeded"] == len(api.seen()) < 400


def airflow(desk: Desk, *commands: Sequence[str], **more: str) -> str:
    """Run commands of Airflow, whose DAGs are those of the examples; what the last one printed.

    What the DAGs call is listed in ``called.txt``.
    """
    dags, bin_ = desk.folder / "dags", desk.folder / "bin"
    dags.mkdir()
    bin_.mkdir()
    shutil.copy(EXAMPLES / "airflow_dag.py", dags)
    program = bin_ / "bulk-unenroll"
    program.write_text(
        f'#!/bin/sh\necho "$1" >>{desk.folder}/called.txt\n'
        f'PYTHONPATH={REPO} exec {sys.executable} -m bulk_unenroll "$@"\n'
    )
    program.chmod(0o755)
    environment = {
        **{name: value for name, value in desk.environment.items() if name != "PYTHONPATH"},
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(desk.folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **more,
    }
    out = ""
    for words in (["db", "migrate"], *commands):
        done = subprocess.run(
            [f"{AIRFLOW}/bin/airflow", *words],
            cwd=desk.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        out = done.stdout
        assert done.returncode == 0, out[-3000:] + done.stderr[-3000:]
    return out


needs_airflow = pytest.mark.skipif(
    not AIRFLOW, reason="AIRFLOW_ENVIRONMENT names no environment with Airflow"
)


@pytest.mark.thorough
@needs_airflow
def test_airflow(desk: Desk) -> None:
    drop = desk.folder / "drop"
    drop.mkdir()
    desk.write("drop/good.csv", [(1, 1001, 2001)])
    desk.write("drop/some.csv", [(2, 1001, 2001), (999310011, 1001, 2001)])
    out = airflow(
        desk,
        ["dags", "test", "bulk_unenroll"],
        UNENROLL_DROP=str(drop),
        UNENROLL_RUNS=str(desk.folder / "runs"),
        UNENROLL_OPTIONS="--sandbox --rate 500/s --max-failures 100%",
    )
    assert "look at" in out
    assert "runs/some.unenroll/failed.csv" in out
    assert len(desk.results("runs/good.unenroll/results.csv")) == 1
    assert len(desk.results("runs/some.unenroll/failed.csv")) == 1


@pytest.mark.thorough
@needs_airflow
def test_airflow_with_a_shared_job(
    desk: Desk, witness: Callable[..., Witness], ledger_url: str
) -> None:
    """Airflow puts the tasks in an order of its own: one that comes too early is tried again."""
    api = witness()
    desk.write("a.csv", [(who, 1001, 2001) for who in people(60)])
    airflow(
        desk,
        ["dags", "test", "bulk_unenroll_shared", "-c", '{"input": "a.csv", "job": "cleanup"}'],
        BULK_UNENROLL_LEDGER_URL=ledger_url,
        UNENROLL_SENDERS="3",
        UNENROLL_SHARED_OPTIONS="--rate 500/s",
    )
    called = (desk.folder / "called.txt").read_text().split()
    assert called.count("run") == 1
    assert called.count("work") == len(called) - 1 >= 2
    assert api.applied() == set(people(60))
