"""Airflow: one task for each dropped file, retried only where a retry can help.

Needs ``bulk-unenroll`` in the environment of the workers. The folder with the ledgers must be on a
local disk, so use a pool or a queue that keeps these tasks on one worker.

The second DAG sends for one shared job from several workers. Its ledger is in PostgreSQL, so its
tasks may be anywhere.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

DROP = Path(os.environ.get("UNENROLL_DROP", "/srv/drop"))
RUNS = Path(os.environ.get("UNENROLL_RUNS", "/srv/unenroll"))
OPTIONS = os.environ.get("UNENROLL_OPTIONS", "--rate 100/min --stop-after 3h").split()

DONE = {0, 1}
"""1: some rows failed, and the next task lists their files."""

TRY_AGAIN = {3, 69, 74, 130, 143}
"""Rows left, API unreachable, disk full, stopped: the same command continues."""

BUSY = 75

CLEAN_STOP_S = 110
"""A clean stop waits for the answers to calls in flight: 75 s by default."""

SENDERS = int(os.environ.get("UNENROLL_SENDERS", "3"))
SHARED_OPTIONS = os.environ.get("UNENROLL_SHARED_OPTIONS", "--rate 1000/min").split()

TURN = ["--stop-after", os.environ.get("UNENROLL_TURN", "1h")]
"""So long a task sends; the next try of it goes on. No task of Airflow should run for weeks."""

GOES_ON = {3, 75, 130, 143}
"""Of a shared job: its time is up, it was given up by the others, stopped. Not 74: see its log."""

NO_JOB = 66


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=15)},
)
def bulk_unenroll() -> None:
    """Take out the customers in every dropped file."""

    @task
    def dropped() -> list[str]:
        return sorted(str(path) for path in DROP.glob("*.csv"))

    @task(max_active_tis_per_dag=1)  # the rate limit is for the API, not for each file
    def take_out(path: str) -> dict[str, object]:
        folder = RUNS / f"{Path(path).stem}.unenroll"
        command = ["bulk-unenroll", "run", path, "--out", str(folder), "--yes", *OPTIONS]
        code = run_to_its_end(command)
        raise_for(code)
        return {"folder": str(folder), "failed_rows": code == 1}

    @task(trigger_rule="all_done")
    def report(results: list[dict[str, object]]) -> None:
        for result in results:
            if result["failed_rows"]:
                print(f"look at {result['folder']}/failed.csv")

    report(take_out.expand(path=dropped()))


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"input": "/srv/drop/cleanup.csv", "job": "cleanup"},
    default_args={"retries": 24 * 40, "retry_delay": timedelta(minutes=1)},
)
def bulk_unenroll_shared() -> None:
    """Take out the customers of one input, from several workers at one rate."""

    @task
    def send(sender: int, params: dict[str, str]) -> None:
        job = ["--job", params["job"], *TURN]
        run = ["bulk-unenroll", "run", params["input"], *job, "--yes", *SHARED_OPTIONS]
        work = ["bulk-unenroll", "work", *job]
        code = BUSY if sender else run_to_its_end(run)
        if code == BUSY:  # another task sends: join it
            code = run_to_its_end(work)
            if code == NO_JOB:
                raise AirflowException("the first task has not begun yet")
        if code in GOES_ON:
            raise AirflowException(f"exit {code}: the next try goes on")
        if code not in DONE:
            raise AirflowFailException(f"exit {code}: check the log and fix the cause")

    send.expand(sender=list(range(SENDERS)))


def run_to_its_end(command: list[str]) -> int:
    """Run a command; its exit code. If the task is stopped, stop the command cleanly, and wait.

    The command has a session of its own, so that Airflow's signals, which go to all processes of a
    task, do not reach it: a second signal would end it at once, and leave calls in doubt.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait()
    except BaseException:  # what Airflow raises depends on its version
        process.terminate()
        process.wait(CLEAN_STOP_S)
        raise


def raise_for(code: int) -> None:
    """Raise the exception that makes Airflow skip, retry or fail a task with this exit code."""
    if code == BUSY:
        raise AirflowSkipException("another run works in this folder")
    if code in TRY_AGAIN:
        raise AirflowException(f"exit {code}: continues with the next try")
    if code not in DONE:
        raise AirflowFailException(f"exit {code}: check the log and fix the cause")


bulk_unenroll()
bulk_unenroll_shared()
